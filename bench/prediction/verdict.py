"""What follows from a prediction, in one sentence: targets at a stated false discovery rate, or
that nothing moved, or that something moved and no measured variable explains it.

Two questions are answered one after the other.

1. Did anything move? The perturbation's q-value decides (`certainty.moved`, `q_values` over all
   perturbations of a screen). Among the perturbations that pass, at most the stated share is
   expected to be of those that did nothing.
2. What was hit? By probabilities where the method has them: the largest set of variables whose mean
   of 1 - probability is at most the rate, which is the expected share of wrong names in it if the
   probabilities are right (Bayesian false discovery rate; Newton et al. 2004, Biostatistics 5;
   Efron et al. 2001). Where no variable is probable enough, the verdict is "unexplained": the
   target may not have been measured, or several variables share the suspicion.

Few rows cannot tell one variable among thousands from chance, however far it moved. Where even the
clearest variable would not pass, that none passed says nothing, and the verdict is "undetermined".

A score without a probability cannot tell a target from what lies downstream of it at any stated
rate. For such a method the verdict names the variables that moved, by Benjamini-Hochberg on
p-values of each variable alone, in the order of the method, and says that these are not targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cdnbench.errors import InvalidParameter
from cdnbench.multiple_testing import q_values

Kind = Literal["targets", "moved", "nothing moved", "unexplained", "undetermined"]

_MOST_NAMED = 5


@dataclass(frozen=True)
class Verdict:
    """kind
        targets         `targets` are the targets, at the stated rate
        moved           `targets` moved, and which of them were targets is not known: the method
                        has no probabilities
        nothing moved   nothing was seen to move
        unexplained     something moved, and no variable can be named
        undetermined    the samples are too few to say, or too few for so many variables
    targets: names of variables, the likeliest first; empty for the other kinds.
    sentence: the verdict in plain English.
    """

    kind: Kind
    targets: tuple[str, ...]
    sentence: str


def verdict(
    variables: Sequence[str],
    q: float,
    *,
    scores: np.ndarray,
    method: str,
    probabilities: np.ndarray | None = None,
    variable_p: np.ndarray | None = None,
    fdr: float = 0.1,
    note: str = "",
    lone_q: float = 0.0,
    least_variable_p: float = 0.0,
) -> Verdict:
    """The verdict on one perturbation.

    Parameters
    ----------
    variables: names of the N candidates; the arrays below have one entry for each.
    q: q-value of the perturbation; NaN where no test could be made.
    scores: of the method, higher = more likely a target. method: its name, for the sentence.
    probabilities: of being a target, where the method has them; NaN counts as 0.
    variable_p: p-values of each variable alone (`Moved.variable_p`), used without probabilities.
    fdr: the false discovery rate, above 0 and below 1.
    note: of the calibration, see `calibration.Calibration`.
    lone_q: the q-value that one variable alone could reach, however far it moved.
    least_variable_p: the smallest of `variable_p` that it could have (`Moved.least_variable_p`).

    Raises
    ------
    InvalidParameter: a rate outside its range. ValueError: neither probabilities nor variable_p, or
    another number of them than of variables.
    """
    if not 0 < fdr < 1:
        raise InvalidParameter(f"The false discovery rate is {fdr:g}; it lies between 0 and 1.")
    evidence = variable_p if probabilities is None else probabilities
    if evidence is None or not len(evidence) == len(scores) == len(variables):
        raise ValueError("give probabilities or variable_p, one for each variable, and scores")
    rate = f"{100 * fdr:g} %"
    if np.isnan(q):
        return Verdict(
            "undetermined",
            (),
            "Whether anything moved cannot be said: the rows are too few, or no variable varies.",
        )
    if q > fdr and lone_q > fdr:
        return Verdict(
            "undetermined",
            (),
            f"Nothing was seen to move (q = {q:.2g}), but with so few rows and so many variables "
            f"no single variable could be seen, however far it moved: q would be {lone_q:.2g}, "
            f"above {rate}.",
        )
    if q > fdr:
        return Verdict(
            "nothing moved",
            (),
            f"Nothing moved that these samples could show (q = {q:.2g}, above {rate}).",
        )
    if probabilities is None:
        tested = np.asarray(variable_p)
        return _what_moved(variables, q, scores, tested, method, fdr, least_variable_p)
    p = np.nan_to_num(np.asarray(probabilities, dtype=np.float64))
    chosen = at_rate(p, fdr)
    names = tuple(variables[int(i)] for i in chosen)
    source = f"by the probabilities of {method}" + (f" ({note})" if note else "")
    if names:
        one = len(names) == 1
        expected = float(np.mean(1 - p[chosen]))
        return Verdict(
            "targets",
            names,
            f"The {'target is' if one else 'targets are'} most likely {listed(names)}: "
            f"{'the chance that this is wrong' if one else 'the share of wrong names expected'} "
            f"is {100 * expected:.2g} %, {source}.",
        )
    top = int(np.argmax(p))
    return Verdict(
        "unexplained",
        (),
        f"Something moved (q = {q:.2g}) that no measured variable explains at a false discovery "
        f"rate of {rate}: the likeliest, {variables[top]}, has a probability of {p[top]:.2g}, "
        f"{source}.",
    )


def at_rate(probabilities: np.ndarray, fdr: float) -> np.ndarray:
    """Indices of the largest set whose mean of 1 - probability is at most `fdr`, the likeliest
    first."""
    order = np.argsort(-probabilities, kind="stable")
    wrong = np.cumsum(1 - probabilities[order]) / np.arange(1, len(order) + 1)
    return order[: int((wrong <= fdr + 1e-12).sum())]  # the mean grows along the order


def _what_moved(
    variables: Sequence[str],
    q: float,
    scores: np.ndarray,
    variable_p: np.ndarray,
    method: str,
    fdr: float,
    least: float,
) -> Verdict:
    found = np.flatnonzero(q_values(variable_p) <= fdr)  # NaN is not
    rate = f"{100 * fdr:g} %"
    n = int(np.isfinite(variable_p).sum())
    if not len(found) and least * n > fdr:
        return Verdict(
            "undetermined",
            (),
            f"Something moved (q = {q:.2g}), but so few rows cannot say which of {n:,} variables: "
            f"a single one could not pass a false discovery rate of {rate}, however far it moved.",
        )
    if not len(found):
        return Verdict(
            "unexplained",
            (),
            f"Something moved (q = {q:.2g}), but no single measured variable did at a false "
            f"discovery rate of {rate}.",
        )
    order = found[np.argsort(-np.nan_to_num(scores[found], nan=-np.inf), kind="stable")]
    names = tuple(variables[int(i)] for i in order)
    moved = (
        f"{names[0]} moved" if len(names) == 1 else f"{len(names)} variables moved: {listed(names)}"
    )
    return Verdict(
        "moved",
        names,
        f"{moved} (false discovery rate {rate}, each variable tested alone). {method} gives no "
        "probabilities: it cannot say whether a variable that moved is a target or lies "
        "downstream of one, or whether the target was measured.",
    )


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; of more than five, the first five and how many more."""
    if len(names) > _MOST_NAMED:
        return f"{', '.join(names[:_MOST_NAMED])} and {len(names) - _MOST_NAMED} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
