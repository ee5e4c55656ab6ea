"""Root cause discovery by permutations and Cholesky decomposition, from a single abnormal row.

J. Li, B. B. Chu, I. F. Scheller, J. Gagneur, M. H. Maathuis 2025, Root cause discovery via
permutations and Cholesky decomposition, J. R. Stat. Soc. B (arXiv 2410.12151), Algorithm 2. In a
linear SEM whose variables are sorted by a causal order, with S = L L^T the covariance of the
controls and m their mean, L^-1 (x - m) are the standardised noise values of the row x. If one
variable was shifted, all of them are small but one. Other orders do the same as long as the root
cause comes after all variables that did not move and before all others that did. So, over many
orders:

    1. z_i^2 = ((x_i - m_i) / s_i)^2. For each threshold t of a grid the variables with z_i^2 > t
       count as moved, A.
    2. For each i in A, an order: the variables outside A, shuffled; i; the rest of A, shuffled.
       With v = |L^-1 (x - m)|, the largest entry of v scores (v_(1) - v_(2)) / v_(2), how far it
       stands above the second largest.
    3. A variable's score is its largest over all orders. Variables that never had the largest entry
       score z_i^2, scaled to lie between 0 and half of the smallest score of the others.

This is not `rcd` (Ikram et al. 2022), which has a similar name and tests independences.

Parameters (the values are the authors' code's)
    n_shuffles           orders per threshold and variable of A: 1
    smallest_threshold, largest_threshold, step    the grid of t: .1, 5 (left out), .2
    shrinkage            towards the identity, where there are no more rows than variables: .1,
                         scikit-learn's `ShrunkCovariance`, as there

Deviations from the reference
    - A regime of n rows counts as one row: its mean, times sqrt(n) so that without an intervention
      it varies as a single row does and the thresholds mean the same. One row is as in the code.
    - Columns are in control standard deviations. Results are the same but for the shrinkage and for
      the ridge that makes a nearly singular covariance regular, which depend on units there.
    - Orders of one threshold share the order of the variables outside A. Each has the distribution
      that it has in the reference, and a variable's own standardised noise does not depend on it.
      So L is computed once per threshold for these, and only the block of A per order.
    - No Algorithm 3 (a lasso per variable, for thousands of variables).
    - If no variable exceeds a threshold, or only one varies, scores are z_i^2; the code stops.
    - Orders are drawn by content and seed: relabelling the variables permutes the scores.
    - Copies of a column are scored as one (`copies.py`). A variable that is constant before and
      moves is measured in standard deviations of all rows; one that is constant throughout gets
      NaN.

Reference: https://github.com/Jinzhou-Li/RootCauseDiscovery (MIT), `root_cause_discovery_main`,
reimplemented. Licence of this file: MIT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.errors import InvalidParameter
from cdnbench.method import MethodInfo
from cdnbench.methods.copies import solve_without_copies
from cdnbench.methods.statistics.control_scale import mean_and_deviation, require_a_score
from cdnbench.ranges import FROM_0_TO_1, POSITIVE, at_least
from cdnbench.relabelling import in_canonical_order, task_generator
from cdnbench.task import Task

_SMALLEST_EIGENVALUE = 1e-6  # of the correlation matrix; the reference has it for the covariance
_LARGEST_RATIO = 1e12  # in place of a division by zero
_BLOCK = 2**24  # matrix entries decomposed at once


def _timeout_s(sizes) -> float:
    # 3 ms a regime at N = 20; 15 to 40 s at N = 300 where most variables moved; times 10 or more
    return 120.0 + sizes.n_regimes * (1.0 + 5e-8 * sizes.n_variables**4)


@dataclass(frozen=True)
class CholeskyRootCause:
    """Standardised noise of the abnormal row under many orders of the variables."""

    n_shuffles: int = 1
    smallest_threshold: float = 0.1
    largest_threshold: float = 5.0
    step: float = 0.2
    shrinkage: float = 0.1

    info: ClassVar[MethodInfo] = MethodInfo(
        name="cholesky-root-cause",
        summary="Root cause discovery from one abnormal row, by permutations and Cholesky "
        "decomposition",
        citation="Li, Chu, Scheller, Gagneur, Maathuis 2025, Root cause discovery via "
        "permutations and Cholesky decomposition, J. R. Stat. Soc. B",
        licence="MIT",
        reference="https://github.com/Jinzhou-Li/RootCauseDiscovery",
        stochastic=True,
        timeout_s=_timeout_s,
        max_variables=300,
        min_samples=1,
        takes={
            "n_shuffles": at_least(1),
            "smallest_threshold": at_least(0),
            "largest_threshold": POSITIVE,
            "step": POSITIVE,
            "shrinkage": FROM_0_TO_1,
        },
    )

    def __post_init__(self) -> None:
        if self.smallest_threshold >= self.largest_threshold:
            raise InvalidParameter(
                "cholesky-root-cause: smallest_threshold has to be below largest_threshold; got "
                f"{self.smallest_threshold:g} and {self.largest_threshold:g}."
            )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores >= 0; NaN for constant variables.

        Raises
        ------
        CannotRun: fewer than two control rows, or nothing varies.
        """
        rows = [self._regime(task.regime(r), seed) for r in range(task.n_regimes)]
        return require_a_score(np.vstack(rows))

    def _regime(self, task: Task, seed: int) -> np.ndarray:
        def solve(part: Task) -> dict[str, np.ndarray]:
            generator = task_generator(part, self.info.name, seed)
            return {"": self._scores(part, generator)[None]}

        return in_canonical_order(task, lambda ordered: solve_without_copies(ordered, solve))[""]

    def _scores(self, task: Task, generator: np.random.Generator) -> np.ndarray:
        """(N,) scores of a single-regime task."""
        before, after = task.observational, task.regimes[0]
        mean, deviation = mean_and_deviation(before, after)
        known = np.flatnonzero(np.isfinite(deviation))
        scores = np.full(task.n_variables, np.nan)
        if len(known) == 0:
            return scores
        row = (np.mean(after, axis=0, dtype=np.float64) - mean)[known] / deviation[known]
        row *= np.sqrt(len(after))
        correlation = self._correlation(
            (np.asarray(before[:, known], np.float64) - mean[known]) / deviation[known]
        )
        scores[known] = self.root_cause_scores(correlation, row, generator)
        return scores

    def _correlation(self, samples: np.ndarray) -> np.ndarray:
        """(N, N) regular correlation matrix of (n, N) samples in standard deviations; a column of
        zeros is independent of the others."""
        n, n_variables = samples.shape
        correlation = samples.T @ samples / (n - 1)
        np.fill_diagonal(correlation, 1.0)
        if n <= n_variables:
            correlation *= 1 - self.shrinkage
            correlation += self.shrinkage * np.eye(n_variables)
        smallest = np.linalg.eigvalsh(correlation)[0]
        if smallest < _SMALLEST_EIGENVALUE:
            correlation += (abs(smallest) + _SMALLEST_EIGENVALUE) * np.eye(n_variables)
        return correlation

    def root_cause_scores(
        self, correlation: np.ndarray, row: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """(N,) scores of a row (N,) in control standard deviations, from the controls' correlation
        matrix."""
        square = row**2
        best = np.zeros(len(row))
        for threshold in self._thresholds(square):
            for _ in range(self.n_shuffles):
                moved = np.flatnonzero(square > threshold)
                if len(moved) == 0 or len(row) < 2:
                    continue
                others = generator.permutation(np.flatnonzero(square <= threshold))
                top, ratio = _largest_entries(correlation, row, others, moved, generator)
                np.maximum.at(best, top, ratio)
        never = best == 0
        if never.all():
            return square
        if never.any() and square[never].max() > 0:
            best[never] = square[never] / square[never].max() * best[~never].min() / 2
        return best

    def _thresholds(self, square: np.ndarray) -> list[float]:
        """Those of the grid that some variable reaches, one for each set of moved variables."""
        kept, count = [], -1
        for threshold in np.arange(self.smallest_threshold, self.largest_threshold, self.step):
            below = int((square <= threshold).sum())
            if (square >= threshold).any() and below != count:
                kept.append(float(threshold))
                count = below
        return kept


def _largest_entries(
    correlation: np.ndarray,
    row: np.ndarray,
    others: np.ndarray,
    moved: np.ndarray,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """For one order per moved variable, the index of the largest standardised noise and how far it
    stands above the second, each (len(moved),)."""
    # One Cholesky factor for the variables that did not move, which all orders begin with
    factor = np.linalg.cholesky(correlation[np.ix_(others, others)])
    right = np.column_stack([correlation[np.ix_(others, moved)], row[others]])
    solved = np.linalg.solve(factor, right)
    weights, begin = solved[:, :-1], np.abs(solved[:, -1])
    schur = correlation[np.ix_(moved, moved)] - weights.T @ weights
    residual = row[moved] - weights.T @ solved[:, -1]

    a = len(moved)
    orders = np.empty((a, a), dtype=np.intp)
    for i in range(a):
        orders[i] = [i, *generator.permutation(np.delete(np.arange(a), i))]
    ends = []
    width = max(1, _BLOCK // a**2)
    for start in range(0, a, width):
        some = orders[start : start + width]
        factors = np.linalg.cholesky(schur[some[:, :, None], some[:, None, :]])
        ends.append(np.abs(np.linalg.solve(factors, residual[some][..., None])[..., 0]))
    noise = np.concatenate([np.tile(begin, (a, 1)), np.concatenate(ends)], axis=1)
    names = np.concatenate([np.tile(others, (a, 1)), moved[orders]], axis=1)
    top = noise.argmax(axis=1)
    second, first = np.partition(noise, -2, axis=1)[:, -2:].T
    ratio = np.minimum(
        (first - second) / np.maximum(second, first / _LARGEST_RATIO), _LARGEST_RATIO
    )
    return names[np.arange(a), top], ratio
