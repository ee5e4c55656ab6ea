"""A case: what one real experiment measured before and after an intervention, and its target.

Readers make cases, and `suites` makes tasks of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdnbench.digest import generator

PERTURBED, CONTROL = "perturbed", "control"
DRAWS = 10
"""Tasks of control against control per data set, where its controls allow so many."""
DETECTABLE = 0.01
"""The level of Student's t-test by which a target's own column moved."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """One experiment.

    unit: what statistics count as one (a gene, an incident). It may name the target: methods never
        see it.
    variables: N names.
    observational, perturbed: (rows, N) float, in the units that methods get.
    target: what was intervened on; "" for control against control. Where it is none of the
        variables, it was not measured.
    """

    unit: str
    variables: tuple[str, ...]
    observational: np.ndarray
    perturbed: np.ndarray
    target: str = ""

    @property
    def kind(self) -> str:
        return PERTURBED if self.target else CONTROL

    def targets(self) -> np.ndarray:
        """(1, N) bool."""
        return np.array([[v == self.target for v in self.variables]])

    def n_unmeasured(self) -> np.ndarray:
        """(1,) int: 1 where the target is none of the variables, 0 for controls."""
        return np.array([bool(self.target) and self.target not in self.variables], dtype=np.int64)


def detectable(
    observational: np.ndarray, regimes: Sequence[np.ndarray], targets: np.ndarray
) -> np.ndarray:
    """(R, N) bool: True but for targets whose own column does not move.

    Student's t-test with one variance decides, at the level `DETECTABLE`. Its null hypothesis is
    that nothing changed at all: five perturbed rows say little of their own variance. A column that
    is constant on both sides moves where the constant changes. What looks at each variable alone
    has nothing to find in a target that does not move.
    """
    moved = np.ones(targets.shape, bool)
    for r, column in np.argwhere(targets):
        before, after = (x[:, column].astype(np.float64) for x in (observational, regimes[r]))
        moved[r, column] = _moved(before, after)
    return moved


def _moved(before: np.ndarray, after: np.ndarray) -> bool:
    from scipy import stats  # half a second, which listing suites need not take

    shift, freedom = abs(after.mean() - before.mean()), len(before) + len(after) - 2
    squares = ((before - before.mean()) ** 2).sum() + ((after - after.mean()) ** 2).sum()
    if squares == 0 or freedom == 0:
        return bool(shift > 0)
    t = shift / np.sqrt(squares / freedom * (1 / len(before) + 1 / len(after)))
    return bool(2 * stats.t.sf(t, freedom) < DETECTABLE)


def control_cases(
    name: str,
    variables: tuple[str, ...],
    controls: np.ndarray,
    sizes: Sequence[int],
    *,
    strata: np.ndarray | None = None,
    draws: int = DRAWS,
) -> list[Case]:
    """Controls against controls: in each draw some rows stand in for perturbed ones.

    Parameters
    ----------
    name: of the data set; it names the random stream.
    controls: (M, N).
    sizes: rows of the data set's perturbed samples, smallest first. The draws take these numbers in
        turn, at most M / 2, as how large a score gets depends on the number of rows. Where the
        controls are no more than the perturbed rows (sachs, sahin), both sides of a draw are
        smaller than those of a perturbed task.
    strata: (M,) labels; both sides have the same share of each (batches, times).
    """
    strata = np.zeros(len(controls), int) if strata is None else np.asarray(strata)
    cases = []
    for draw in range(draws):
        size = min(sizes[draw % len(sizes)], len(controls) // 2)
        rng = generator("real", name, "controls", draw)
        taken = np.zeros(len(controls), bool)
        for label in np.unique(strata):
            rows = np.flatnonzero(strata == label)
            n = round(size * len(rows) / len(controls))
            taken[rng.choice(rows, size=n, replace=False)] = True
        cases.append(
            Case(
                unit=f"control {draw}",
                variables=variables,
                observational=controls[~taken],
                perturbed=controls[taken],
            )
        )
    return cases
