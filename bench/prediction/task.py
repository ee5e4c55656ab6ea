"""What `--method auto` needs to know of a task, and what it gives to the methods that it chose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cdnbench.prediction.choice import MANY, Choice, choose
from cdnbench.task import Task
from cdnbench.values import kind_of_values

BULK_TOTAL, CELL_TOTAL = 1e6, 1e4
"""Counts are brought to so many per sample before logarithms: the habit for bulk samples, and for
single cells."""


def choose_for(task: Task, *, lowered: bool = False) -> Choice:
    """`choose` for the first regime of a task; its variables are genes if it has symbols.

    lowered: whether the intervention is known to lower its target's own values. Raises as `choose`.
    """
    before, after = task.observational, task.regimes[0]
    return choose(
        len(before),
        len(after),
        task.n_variables,
        kind_of_values(np.concatenate([before, after])),
        task.has_symbols,
        lowered=lowered,
        dependent=rows_depend(before),
    )


def prepared(task: Task, choice: Choice, method: str) -> Task:
    """The task as one of the chosen methods should get it: with logarithms of the counts where the
    choice says so.

    They are log(1 + counts per million) where both sides have fewer than 30 rows, as bulk samples
    have, and else log(1 + counts per ten thousand). A row without counts stays zero.
    """
    if method not in choice.log_counts:
        return task
    arrays = (task.observational, *task.regimes)
    total = BULK_TOTAL if max(map(len, arrays)) < MANY else CELL_TOTAL
    before, *after = (_log_per(counts, total) for counts in arrays)
    return replace(task, observational=before, regimes=after)


def _log_per(counts: np.ndarray, total: float) -> np.ndarray:
    counts = np.asarray(counts, dtype=np.float64)
    depth = counts.sum(axis=1, keepdims=True)
    return np.log1p(counts * (total / np.where(depth > 0, depth, 1.0))).astype(np.float32)


def rows_depend(samples: np.ndarray) -> bool:
    """Whether rows (M, N) resemble the rows before them, as in a time series or sorted batches.

    For each variable the correlation of its ranks with those of the next row is computed. Rows
    depend if a quarter of the variables exceeds .2 and 2.5 standard errors, 1 / sqrt(M). With fewer
    than 20 rows the answer is no, as nothing can be said. Of many variables 200 are looked at,
    evenly spread.
    """
    from scipy.stats import rankdata

    if len(samples) < 20:
        return False
    columns = np.unique(np.linspace(0, samples.shape[1] - 1, 200).astype(int))
    ranks = rankdata(samples[:, columns], axis=0)
    ranks -= ranks.mean(axis=0)
    squares = (ranks**2).sum(axis=0)
    varies = squares > 0
    if not varies.any():
        return False
    lagged = (ranks[1:] * ranks[:-1]).sum(axis=0)[varies] / squares[varies]
    return bool(np.quantile(lagged, 0.75) > max(0.2, 2.5 / np.sqrt(len(samples))))
