"""limma's moderated t: a two-sample t statistic whose variances borrow from all variables.

G. K. Smyth 2004, Linear models and empirical Bayes methods for assessing differential expression in
microarray experiments, Stat. Appl. Genet. Mol. Biol. 3:3. With n0 rows before, n after, s^2 the
pooled variance of the two (d = n0 + n - 2 degrees of freedom) and s~^2 the same moved towards a
common prior (`moderation`),

    score = |mean after - mean before| / (s~ sqrt(1 / n0 + 1 / n)).

It has d0 + d degrees of freedom under the null, the same for every variable of a regime, so the
order is that of the p-values. Three rows per side suffice, where a plain t statistic puts those
variables first whose variance happens to be underestimated.

Units: the prior supposes that all variables are in the same units, such as log expression. Scaling
all columns together changes nothing, but scaling one changes every score a little, the more the
fewer the rows. This is the method, not a defect; `target-shift` takes no notice of units from 30
rows on.

It has no parameters. Deviations from limma: two groups only; neither a trend of the variance with
the mean nor the robust fit; variances of zero are left out of the prior's fit, where limma sets
them to a constant, and variables that are constant throughout get NaN.

Reference: https://bioconductor.org/packages/limma (GPL), `lmFit` and `eBayes`; written from the
paper. Licence of this file: MIT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.method import MethodInfo
from cdnbench.methods.statistics.columns import column_blocks
from cdnbench.methods.statistics.control_scale import require_a_score
from cdnbench.moderation import moderated, variance_prior
from cdnbench.task import Task


@dataclass(frozen=True)
class ModeratedT:
    """Absolute moderated t statistic of each variable."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="moderated-t",
        summary="limma's moderated t statistic of each variable, for a few rows of variables in "
        "common units",
        citation="Smyth 2004, Linear models and empirical Bayes methods for assessing "
        "differential expression in microarray experiments, Stat. Appl. Genet. Mol. Biol. 3",
        licence="MIT",
        reference="https://bioconductor.org/packages/limma",
        preload=("scipy.special",),
        timeout_s=lambda sizes: 60.0 + 0.01 * sizes.n_variables * sizes.n_regimes,
        min_samples=1,
        depends_on_units=True,
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores >= 0; NaN for constant variables.

        Raises
        ------
        CannotRun: fewer than three rows in a regime and the control together, or nothing varies.
        """
        mean0, squares0 = _sums(task.observational)
        scores = np.empty((task.n_regimes, task.n_variables))
        for r, after in enumerate(task.regimes):
            df = len(task.observational) + len(after) - 2
            if df < 1:
                raise CannotRun("one row before and one after; a variance needs a third")
            mean, squares = _sums(after)
            variance = (squares0 + squares) / df
            still = (variance == 0) & (mean == mean0)
            variance = np.where(still, np.nan, variance)
            variance = moderated(variance, df, variance_prior(variance, df))
            variance = np.where(variance > 0, variance, np.nan)  # no prior, no variance
            error = variance * (1 / len(task.observational) + 1 / len(after))
            scores[r] = np.abs(mean - mean0) / np.sqrt(error)
        return require_a_score(scores)


def _sums(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) means and sums of squares about them of an (n, N) array; exactly 0 where a column is
    constant."""
    n_variables = samples.shape[1]
    mean, squares = np.empty((2, n_variables))
    for block in column_blocks(len(samples), n_variables):
        x = np.array(samples[:, block], dtype=np.float64)
        first = x[0].copy()
        x -= first
        shift = x.mean(axis=0)
        mean[block] = first + shift
        squares[block] = ((x - shift) ** 2).sum(axis=0)
    return mean, squares
