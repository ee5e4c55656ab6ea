"""Columns that are copies of each other: solved once, scored alike.

A variable with a perfect copy (the same measurement under two names, or in two units) is predicted
by its copy without error, before and after an intervention. Methods that condition on the other
variables then see no change left in either of the two, and the target comes last. Nothing tells
copies apart, so the answer is that of the task with one of them, given to each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cdnbench.methods.statistics.columns import column_blocks
from cdnbench.task import Task

_TOLERANCE = 1e-5  # in standard deviations of the column
_EPSILON = float(np.finfo(np.float32).eps)


def solve_without_copies(
    task: Task, solve: Callable[[Task], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Scores (R, N) per variant of a method that looks at one regime at a time.

    `solve` gets the task with one column of each group of copies, the first one; the members of a
    group get its score. Regimes with the same groups are solved together. Without copies `solve`
    gets the task itself.
    """
    together: dict[bytes, list[int]] = defaultdict(list)
    for r, after in enumerate(task.regimes):
        together[first_copies(task.observational, after).tobytes()].append(r)
    outputs: dict[str, np.ndarray] = {}
    for groups, regimes in together.items():
        first = np.frombuffer(groups, dtype=np.intp)
        kept = np.flatnonzero(first == np.arange(task.n_variables))
        part = task if len(regimes) == task.n_regimes else _with_regimes(task, regimes)
        found = solve(part if len(kept) == task.n_variables else part.select(kept.tolist()))
        for variant, scores in found.items():
            whole = outputs.setdefault(variant, np.empty((task.n_regimes, task.n_variables)))
            whole[regimes] = scores[:, np.searchsorted(kept, first)]
    return outputs


def _with_regimes(task: Task, regimes: list[int]) -> Task:
    return replace(
        task,
        regimes=[task.regimes[r] for r in regimes],
        candidates=np.asarray(task.candidates)[regimes],
    )


def first_copies(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(N,) for each column the index of the first column that it is a copy of: itself where there
    is none.

    Two columns are copies if one is a multiple of the other plus a constant, the same multiple and
    constant in every row of `before` (M0, N) and `after` (M, N), up to the rounding of float32. A
    column that is constant throughout is nobody's copy.
    """
    n_variables = before.shape[1]
    first = np.arange(n_variables)
    if n_variables < 2:
        return first
    scaled = _Scaled(before, after)
    keys, reach = scaled.keys()
    order = np.argsort(keys, kind="stable")
    order = order[np.isfinite(keys[order])]
    for k, i in enumerate(order[:-1]):
        for j in order[k + 1 :]:
            if keys[j] - keys[i] > reach[i] + reach[j]:
                break
            if first[i] != first[j] and scaled.are_copies(i, j):
                old, new = sorted((first[i], first[j]))[::-1]
                first[first == old] = new
    return first


class _Scaled:
    """Columns of two data sets in standard deviations of the first one, or of both where that is
    constant."""

    def __init__(self, before: np.ndarray, after: np.ndarray) -> None:
        self._parts = before, after
        n_variables = before.shape[1]
        self._mean, self._deviation, self._rounding = np.empty((3, n_variables))
        for block in column_blocks(len(before) + len(after), n_variables):
            x = np.concatenate([before[:, block], after[:, block]]).astype(np.float64)
            control = x[: len(before)]
            moves = np.ptp(control, axis=0) > 0
            deviation = np.where(moves, control.std(axis=0), x.std(axis=0))
            deviation = np.where(np.ptp(x, axis=0) > 0, deviation, np.nan)
            self._mean[block], self._deviation[block] = control.mean(axis=0), deviation
            self._rounding[block] = _EPSILON * np.abs(x).max(axis=0) / deviation

    def _columns(self, columns: slice | list[int]) -> np.ndarray:
        x = np.concatenate([part[:, columns] for part in self._parts]).astype(np.float64)
        return (x - self._mean[columns]) / self._deviation[columns]

    def keys(self) -> tuple[np.ndarray, np.ndarray]:
        """(N,) a number per column that copies share, whatever their units and sign, and (N,) how
        far rounding may move it. Columns that are constant throughout have NaN."""
        rows = sum(map(len, self._parts))
        weights = np.random.default_rng(0).standard_normal(rows)
        keys, reach = np.empty((2, len(self._mean)))
        for block in column_blocks(rows, len(self._mean)):
            z = self._columns(block)
            keys[block] = np.abs(weights @ z)
            tolerance = _TOLERANCE + self._rounding[block]
            reach[block] = 4 * tolerance * np.sqrt(weights**2 @ (1 + np.abs(z)) ** 2)
        return keys, reach

    def are_copies(self, i: int, j: int) -> bool:
        """Whether column j is column i or its mirror image, up to rounding."""
        x, y = self._columns([i, j]).T
        y = y * np.sign(x @ y)
        tolerance = _TOLERANCE + self._rounding[i] + self._rounding[j]
        return bool((np.abs(x - y) <= tolerance * (1 + np.abs(x))).all())
