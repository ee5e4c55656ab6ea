"""Two-sample Kolmogorov-Smirnov statistic of each variable: any change of its own distribution, in
shape too.

With F_0 and F_r the empirical distribution functions of n observational and m perturbed rows,

    score = max_x |F_0(x) - F_r(x)| * sqrt(n m / (n + m))       Smirnov 1948, Ann. Math. Stat.
    19:279

The statistic and not its p-value, which is a function of it and becomes zero for clear shifts. The
score ties only where two variables have the same D, as when both are separated completely. A
baseline of one variable at a time.

It has no parameters. Our own code, tested against `scipy.stats.ks_2samp`. Licence: MIT, with this
package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.method import MethodInfo
from cdnbench.methods.statistics.columns import column_blocks
from cdnbench.task import Task


@dataclass(frozen=True)
class KSShift:
    """Scaled Kolmogorov-Smirnov statistic of each variable."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="ks-shift",
        summary="Two-sample Kolmogorov-Smirnov statistic of each variable's own distribution",
        citation="Smirnov 1948, Table for estimating the goodness of fit of empirical "
        "distributions, "
        "Ann. Math. Stat. 19",
        licence="MIT",
        timeout_s=lambda sizes: 60.0 + 0.02 * sizes.n_variables * sizes.n_regimes,
        min_samples=1,
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores >= 0: D sqrt(n m / (n + m))."""
        n = len(task.observational)
        return np.stack(
            [
                ks_statistic(task.observational, x) * np.sqrt(n * len(x) / (n + len(x)))
                for x in task.regimes
            ]
        )


def ks_statistic(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N,) largest distance between the empirical distribution functions of each column of (n, N)
    and (m, N) arrays."""
    n, m = len(first), len(second)
    distance = np.empty(first.shape[1])
    for block in column_blocks(n + m, first.shape[1]):
        pooled = np.concatenate([first[:, block], second[:, block]])
        order = np.argsort(pooled, axis=0)
        # n m (F_0 - F_r) after each pooled value, in integers: exact, whatever the ties
        steps = np.cumsum(np.where(order < n, m, -n), axis=0)
        ordered = np.take_along_axis(pooled, order, axis=0)
        last_of_ties = np.ones(ordered.shape, bool)
        last_of_ties[:-1] = ordered[1:] != ordered[:-1]
        distance[block] = np.abs(np.where(last_of_ties, steps, 0)).max(axis=0) / (n * m)
    return distance
