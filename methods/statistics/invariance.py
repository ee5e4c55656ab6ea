"""Did the regression of one variable on some others change? Linear and additive-spline tests, all
regimes at once.

The tests of `regression-invariance` (a Chow test of the coefficients and a variance-ratio test of
the noise, which Fisher's combination makes one p), with any regressors and on a basis of several
functions per variable. Everything comes from one Gram matrix per data set, so a test costs a few
small solves for all regimes together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cdnbench.methods.statistics.tails import log_f_sf, log_f_two_sided

_RIDGE = 1e-6  # of a basis function's variance: keeps collinear and constant columns solvable
_SMALLEST_VARIANCE = 1e-10  # of a residual, in pooled variances


class RegressionTests:
    """Tests of one task.

    samples: the observational (M0, N) and R perturbed (Mr, N) arrays. n_knots: knots of the linear
    splines at equally spaced quantiles of the pooled samples; 0 is linear regression. A test
    without rows for its splines is linear.
    """

    def __init__(self, samples: Sequence[np.ndarray], n_knots: int = 0) -> None:
        pooled = np.vstack(samples).astype(np.float64)
        self._n_variables = pooled.shape[1]
        low, width = pooled.mean(axis=0), pooled.std(axis=0)
        pooled = (pooled - low) / np.where(width > 0, width, 1.0)
        knots = np.quantile(pooled, np.arange(1, n_knots + 1) / (n_knots + 1), axis=0)
        self._rows = np.array([len(x) for x in samples])
        grams = []
        for x in np.split(pooled, np.cumsum(self._rows)[:-1]):
            functions = np.hstack(
                [np.ones((len(x), 1)), x, *(np.maximum(x - knot, 0) for knot in knots)]
            )
            grams.append(functions.T @ functions)
        self._grams = np.stack(
            grams
        )  # (R + 1, F, F) with F = 1 + N (1 + n_knots), the observational one first
        total = self._grams.sum(axis=0)
        variances = np.diag(total) / self._rows.sum() - (total[0] / self._rows.sum()) ** 2
        self._penalty = _RIDGE * np.where(variances > 1e-12, variances, 1.0)
        self._penalty[0] = 0.0
        self._n_knots = n_knots

    def minus_log_p(self, node: int, regressors: Sequence[int]) -> np.ndarray:
        """(R,) -log p that the regression of `node` is the same in each regime as without
        intervention.

        NaN where a data set has no more than one row more than the linear regression has
        coefficients.
        """
        return self._test(node, regressors, 1)[:, 0]

    def minus_log_p_of_functions(self, node: int, regressors: Sequence[int]) -> np.ndarray:
        """(R, 1 + n_knots) the same for each of the node's basis functions as the response, the
        node itself first.

        Together they follow its whole conditional distribution, and not its mean and variance only.
        """
        return self._test(node, regressors, 1 + self._n_knots)

    def _test(self, node: int, regressors: Sequence[int], n_responses: int) -> np.ndarray:
        functions = np.arange(self._n_knots + 1)[:, None] * self._n_variables + 1
        columns = [0, *(1 + np.asarray(regressors, dtype=int))]
        additive = [0, *(functions + np.asarray(regressors, dtype=int)).ravel()]
        if self._rows.min() > 2 * len(additive):
            columns = additive
        responses = functions[:n_responses, 0] + node
        k = len(columns)
        left = self._grams[:, columns][:, :, columns] + self._rows[:, None, None] * np.diag(
            self._penalty[columns]
        )
        right = self._grams[:, columns][:, :, responses]
        squares = self._grams[:, responses, responses]
        rows = self._rows[:, None]
        rss0, rss1 = np.split(_residual_sums(left, right, squares, rows), [1])
        rss = _residual_sums(*(x[:1] + x[1:] for x in (left, right, squares, rows)))
        n0, n1 = self._rows[0], self._rows[1:, None]
        df0, df1 = max(n0 - k, 1), np.maximum(n1 - k, 1)
        coefficients = np.maximum(rss - rss0 - rss1, 0) / k / ((rss0 + rss1) / (df0 + df1))
        noise = (rss0 / df0) / (rss1 / df1)
        s = -log_f_sf(coefficients, k, df0 + df1) - log_f_two_sided(noise, df0, df1)
        return np.where((n0 > k + 1) & (n1 > k + 1), s - np.log1p(s), np.nan)


def _residual_sums(
    left: np.ndarray, right: np.ndarray, squares: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """(D, K) penalised residual sums of squares of K responses in D data sets.

    left: (D, k, k) products of the regressors with the penalty. right: (D, k, K) with the
        responses. squares: (D, K) of the
    responses. rows: (D, 1).
    """
    rss = squares - (right * np.linalg.solve(left, right)).sum(axis=1)
    return np.maximum(rss, _SMALLEST_VARIANCE * rows)
