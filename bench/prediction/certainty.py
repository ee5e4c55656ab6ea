"""How certain it is that anything moved between control and perturbed rows.

`moved` gives one p-value per perturbation; `cdnbench.multiple_testing.q_values` makes q-values of
those of a screen, and `verdict` says what follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from cdnbench.errors import InvalidData
from cdnbench.multiple_testing import q_values, simes
from cdnbench.prediction.few_rows import moderated_p_values
from cdnbench.prediction.normal_scores import Controls, thinned
from cdnbench.prediction.permutations import (
    combined,
    labels,
    permuted,
    separated,
    variable_p_values,
    with_level,
)
from cdnbench.prediction.tails import tail_p

__all__ = ["Controls", "Moved", "moved", "q_values"]

N_PERMUTATIONS = 1999
_FIRST = 199
_STOP_AT = 20
"""So many of the first permutations at or above the observed statistic, and no more are made."""
LEAST_SPLITS = 10_000
"""With fewer ways to split the rows, the smallest p-value of permutations would be too large."""


@dataclass(frozen=True, eq=False)
class Moved:
    """Whether anything moved.

    p: p-value of "the perturbed rows come from the same law as the controls"; NaN where nothing can
        be said. statistic: the larger, the stronger the evidence; comparable within one `how`.
    how: the test in words. resolution: no p-value of this test is below it.
    variable_p: (N,) two-sided p-values of each variable alone: that its level or its spread moved.
        NaN where nothing can be said of it.
    lone_p: the p that one variable alone can reach, one without ties of which all perturbed rows
        lie beyond all controls. least_variable_p: the smallest of `variable_p` that it can have.
        0 where there is no such bound. A test of few rows and many variables cannot see a lone
        variable, however far it moved.
    """

    p: float
    statistic: float
    how: str
    resolution: float
    variable_p: np.ndarray
    lone_p: float = 0.0
    least_variable_p: float = 0.0


def moved(
    control: Any,
    perturbed: Any,
    *,
    rng: np.random.Generator,
    n_permutations: int = N_PERMUTATIONS,
) -> Moved:
    """Test whether anything moved.

    By permutations of the rows' labels (`permutations`): 199 first, and where fewer than 20 of them
    reach the observed statistic, `n_permutations`, whose largest ones are extended by a fitted tail
    (`tails`). Stopping early keeps the p-value valid: it then exceeds 0.1, and it is below that
    only if the longer series says so (Besag and Clifford 1991). With fewer than 10,000 ways to
    split the rows, such as 3 against 3, by the moderated t of each variable (`few_rows`), combined
    by Simes' rule.

    What it assumes. Permutations: the rows are exchangeable where nothing moved, that is, controls
    and perturbed rows were sampled alike. Ties, constant columns, dependent variables and unequal
    sides do no harm. Rows that depend on each other (cells of one animal, samples in time order) or
    batches that hold one side only make p too small, as in any test on rows; compare within
    batches then. Moderated t: also Gaussian rows in common units.

    It sees levels, spreads and what each variable has to do with the others, and no other change.
    The p-values of single variables approximate the permutation laws of their level and spread
    (`permutations.variable_p_values`).

    Parameters
    ----------
    control: (M0, N) array or sparse matrix, or `Controls` of one, which saves work where many
        perturbations share their controls.
    perturbed: (M1, N), the same.
    rng: draws the permutations, and the rows where a side has more than 2,000.
    n_permutations: 999 or more.

    Raises
    ------
    InvalidData: the two sides differ in their number of variables, or hold values that are not
    finite. ValueError: fewer than 999 permutations.
    """
    if n_permutations < 999:
        raise ValueError(f"n_permutations is {n_permutations}; a tail needs at least 999")
    controls = control if isinstance(control, Controls) else Controls(control, rng)
    perturbed = thinned(perturbed, rng)
    if perturbed.shape[1] != controls.n_variables:
        raise InvalidData(
            f"The controls have {controls.n_variables} variables and the perturbed samples "
            f"{perturbed.shape[1]}. Give both the same ones."
        )
    n0, n1 = controls.n_rows, perturbed.shape[0]
    splits = comb(n0 + n1, n1)
    if splits < LEAST_SPLITS:
        return _by_moderated_t(controls, perturbed)
    floor = max(1 / splits, 1.0 / n_permutations**2)
    rows = f"{n0:,} control and {n1:,} perturbed rows"

    outcome = permuted(controls, perturbed, labels(n0, n1, _FIRST, rng))
    made = combined(outcome.statistics)
    p, fitted = _share(made), False
    if p * (1 + _FIRST) <= _STOP_AT:
        outcome = permuted(controls, perturbed, labels(n0, n1, n_permutations, rng))
        made = combined(outcome.statistics)
        p, fitted = tail_p(made[1:], made[0], floor)
    n_made = len(made) - 1
    most, least = separated(n0, n1)
    lone = combined(with_level(outcome.statistics, most))
    return Moved(
        p=p,
        statistic=float(made[0]),
        how=f"{n_made:,} permutations of {rows}"
        + (", extended by a generalised Pareto tail" if fitted else ""),
        resolution=floor,
        variable_p=variable_p_values(outcome),
        lone_p=tail_p(lone[1:], lone[0], floor)[0],
        least_variable_p=least,
    )


def _share(made: np.ndarray) -> float:
    slack = 1e-5 * max(abs(made[0]), 1e-12)
    return float((made >= made[0] - slack).sum() / len(made))


def _by_moderated_t(controls: Controls, perturbed: Any) -> Moved:
    n0, n1 = controls.n_rows, perturbed.shape[0]
    rows = f"{n0:,} control and {n1:,} perturbed rows"
    nothing = np.full(controls.n_variables, np.nan)
    if n0 + n1 < 3:
        how = f"no test: {rows} do not tell a variance"
        return Moved(np.nan, np.nan, how, np.nan, nothing)
    variable_p = moderated_p_values(controls.rows, perturbed)
    p = simes(variable_p)
    how = (
        f"moderated t of each variable with {rows}, combined by Simes' rule: the rows are too few "
        "to be permuted, and are taken as Gaussian"
        if np.isfinite(p)
        else f"no test: with {rows}, no variable varies"
    )
    return Moved(p, -np.log(max(p, 1e-300)), how, 0.0, variable_p)
