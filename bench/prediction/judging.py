"""Joins certainty to findings: probabilities, p and q of each perturbation, and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from cdnbench.digest import generator
from cdnbench.loaded import LoadedMethod
from cdnbench.method import Calibrated
from cdnbench.multiple_testing import q_values
from cdnbench.prediction.agreement import agreement
from cdnbench.prediction.certainty import Controls, moved
from cdnbench.prediction.result import Finding
from cdnbench.prediction.verdict import verdict

FDR = 0.1
N_PERMUTATIONS = 999
_RESOLUTION = 1e-3
_SMALLEST = "The smallest p-value that this test can give is"
MANY_VALUES = 200
"""Values of a finding's first variable that are kept per side, to be drawn."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """That anything moved under one perturbation: p, how it was found, and the p-value of each
    variable by its name; and the smallest that one variable alone can reach of either
    (`certainty.Moved`)."""

    p: float
    how: str
    resolution: float
    variable_p: Mapping[str, float]
    lone_p: float = 0.0
    least_variable_p: float = 0.0


def evidence_of(control: Any, perturbed: Any, variables: np.ndarray, *, seed: int) -> Evidence:
    """Test one perturbation.

    control: (M0, N), or `Controls`. perturbed: (M1, N). variables: (N,) names. The seed and the
    numbers of rows decide the permutations: the same rows under another name have the same p.
    """
    rng = generator("predict", "moved", seed)
    found = moved(control, perturbed, rng=rng, n_permutations=N_PERMUTATIONS)
    by_name = dict(zip(map(str, variables), found.variable_p.tolist(), strict=True))
    return Evidence(
        found.p, found.how, found.resolution, by_name, found.lone_p, found.least_variable_p
    )


def controls_of(rows: Any, *, seed: int) -> Controls:
    """Controls that several perturbations share."""
    return Controls(rows, generator("predict", "controls of the test", seed))


def drawn_values(control: np.ndarray, perturbed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `MANY_VALUES` of either side, evenly spread over its rows."""

    def some(values: np.ndarray) -> np.ndarray:
        places = np.linspace(0, len(values) - 1, min(len(values), MANY_VALUES)).astype(int)
        return np.asarray(values, dtype=np.float64)[places]

    return some(control), some(perturbed)


def with_probability(finding: Finding, method: LoadedMethod) -> tuple[Finding, str]:
    """The finding with the method's probabilities, if it has any, and the note of their
    calibration.

    Raises
    ------
    InvalidData: the file of the calibration cannot be read.
    """
    if not method.info.probabilities or finding.failed:
        return finding, ""
    calibration = cast(Calibrated, method.method).calibration()
    return replace(finding, probability=calibration.probabilities(finding.scores)), calibration.note


def judged(
    findings: Sequence[Finding],
    methods: Mapping[str, LoadedMethod],
    evidence: Mapping[tuple[str, str], Evidence],
    fdr: float,
) -> tuple[list[Finding], list[str]]:
    """The findings with probabilities, p, q and verdicts, and notes on them.

    methods: by `Finding.method`. evidence: by perturbation and group; q-values are over all of
    these. fdr: the false discovery rate of the verdicts.

    Raises
    ------
    InvalidParameter: the rate is not between 0 and 1. InvalidData: a calibration cannot be read.
    """
    q_of = dict(
        zip(evidence, q_values(np.array([e.p for e in evidence.values()])).tolist(), strict=True)
    )
    lone_q = _lone_q(evidence, q_of, fdr)
    found, uncalibrated, undecided = [], {}, set()
    for finding in findings:
        key = (finding.perturbation, finding.group)
        seen, q = evidence[key], q_of[key]
        finding, note = with_probability(finding, methods[finding.method])
        if note:
            uncalibrated[finding.method] = note
        finding = replace(finding, p=seen.p, q=q)
        if not finding.failed:
            names = [str(name) for name in finding.variables]
            said = verdict(
                names,
                q,
                scores=finding.scores,
                method=finding.method,
                probabilities=finding.probability,
                variable_p=np.array([seen.variable_p.get(name, np.nan) for name in names]),
                fdr=fdr,
                note=note,
                lone_q=lone_q[key],
                least_variable_p=seen.least_variable_p,
            )
            if said.kind == "undetermined" and np.isfinite(q):
                undecided.add(key)
            finding = replace(
                finding, verdict=said.kind, named=said.targets, sentence=said.sentence
            )
        found.append(finding)
    notes = [f"Probabilities of {name} are {why}." for name, why in uncalibrated.items()]
    notes += _how(list(evidence.values()))
    return found, [*notes, *_on_undecided(len(undecided), len(evidence)), *_counts(q_of, fdr)]


def _lone_q(
    evidence: Mapping[tuple[str, str], Evidence], q: Mapping[tuple[str, str], float], fdr: float
) -> dict[tuple[str, str], float]:
    """By perturbation and group, the q-value that one variable alone could reach under it, beside
    the p-values of all others; 0 where this is not asked."""
    p, found = np.array([e.p for e in evidence.values()]), dict.fromkeys(evidence, 0.0)
    for i, (key, seen) in enumerate(evidence.items()):
        if q[key] > fdr and seen.lone_p > fdr / len(p):
            instead = p.copy()
            instead[i] = min(p[i], seen.lone_p)
            found[key] = float(q_values(instead)[i])
    return found


def _on_undecided(n: int, of: int) -> list[str]:
    """A note on perturbations with too few rows for their number of variables."""
    if not n:
        return []
    share = f"For {n:,} of {of:,} perturbations the" if of > 1 else "The"
    return [
        f"{share} rows are too few to decide among so many variables: ranks of so few rows cannot "
        "tell a single variable from chance, however far it moved. More rows can, or a file with "
        "the variables of interest only. If the rows are bulk replicates, --method moderated-t "
        "ranks the variables by limma's statistic, which is made for them."
    ]


def _how(evidence: Sequence[Evidence]) -> list[str]:
    """How the p-values were found, and the smallest that they can be."""
    if len(evidence) == 1:
        one = evidence[0]
        least = f" {_SMALLEST} {one.resolution:.1g}." if one.resolution > 0 else ""
        return [f"Whether anything moved: {one.how}.{least}"]
    permuted = [e for e in evidence if e.resolution > 0]
    few = [e for e in evidence if e.resolution == 0]
    none = len(evidence) - len(permuted) - len(few)
    notes = []
    if permuted:
        notes.append(
            f"Whether anything moved was tested by up to {N_PERMUTATIONS} permutations of the rows "
            f"with a fitted tail for {len(permuted):,} of {len(evidence):,} perturbations. "
            f"{_SMALLEST} {min(e.resolution for e in permuted):.1g}."
        )
    if few:
        notes.append(
            f"For {len(few):,} of {len(evidence):,} perturbations the rows are too few to be "
            "permuted; a moderated t of each variable, combined by Simes' rule, takes their place."
        )
    if none:
        notes.append(f"For {none:,} perturbations no test can be made.")
    coarse = [e for e in permuted if e.resolution > _RESOLUTION]
    if coarse:
        notes.append(
            f"{len(coarse):,} of them have so few rows that no p-value can be below "
            f"{max(e.resolution for e in coarse):.1g}."
        )
    return notes


def _counts(q: Mapping[tuple[str, str], float], fdr: float) -> list[str]:
    if len(q) < 2:
        return []
    n = sum(value <= fdr for value in q.values())
    return [
        f"Something moved under {n:,} of {len(q):,} perturbations, at a false discovery rate of "
        f"{100 * fdr:g} % over all of them. The rankings of the others may be of noise."
    ]


def agreements(findings: Sequence[Finding]) -> tuple[dict[tuple[str, str], str], list[str]]:
    """(perturbation, group) -> how far its first two methods agree, and a note for all of them."""
    of_each: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if not finding.failed and not np.isnan(finding.scores[0]):
            of_each.setdefault((finding.perturbation, finding.group), []).append(finding)
    said, same = {}, 0
    for key, (one, other, *_) in ((k, f) for k, f in of_each.items() if len(f) > 1):
        found = agreement(one, other)
        said[key] = found.sentence((one.method, other.method))
        same += found.same_first
    if len(said) < 2:
        return said, list(said.values())
    return said, [
        f"The two methods put the same variable first for {same:,} of {len(said):,} perturbations. "
        "What both name deserves more trust."
    ]
