"""Which k variables each marginal estimate looks at: SEA's two samplers.

The first batches of a data set pick variables uniformly, the others are guided by a statistic S >=
0 (zero diagonal) and inherit the visit counts. With W_ij = S_ij / sqrt(1 + visits_ij), S = 1 in the
uniform half:

    the first variable is drawn in proportion to the column sums of W,
    each next one in proportion to the sum of W_ij over the chosen i, the chosen ones excluded,
    then visits_ij += 1 for all pairs of the batch.

Where the weights sum to 0 the draw is uniform among the variables that are left.

The T batches of a data set depend on each other. Data sets do not, so they are drawn side by side.
Every draw is the inverse of a distribution function at a given uniform number; a data set's batches
are therefore the same whichever data sets are drawn beside it.

Source: Wu et al. 2024, Sample, estimate, aggregate (arXiv:2402.01929), section 3.1 and its public
code.
"""

from __future__ import annotations

import numpy as np


def sample_batches(
    statistic: np.ndarray,
    n_batches: int,
    k: int,
    rng: np.random.Generator,
    guided_share: float = 0.5,
) -> np.ndarray:
    """The variables (T, k) of each batch, in the order in which they were drawn; (T, N) where
    N < k.

    statistic: (N, N), symmetric.
    """
    k = min(k, len(statistic))
    return sample_batches_many(statistic[None], rng.random((1, n_batches, k)), guided_share)[0]


def sample_batches_many(
    statistics: np.ndarray, uniforms: np.ndarray, guided_share: float = 0.5
) -> np.ndarray:
    """The variables (D, T, k) of T batches of D data sets.

    statistics: (D, N, N), symmetric; the absolute value is taken and the diagonal ignored.
    uniforms: (D, T, k) in [0, 1) with k <= N, the numbers that decide each draw. guided_share: the
    share of the batches that the statistic guides; these come last.
    """
    n_sets, n_batches, k = uniforms.shape
    n_variables = statistics.shape[1]
    if k > n_variables:
        raise ValueError(f"batches of {k} variables out of {n_variables}")
    off_diagonal = 1.0 - np.eye(n_variables)
    visits = np.zeros((n_sets, n_variables, n_variables))
    scores = np.broadcast_to(off_diagonal, visits.shape)
    weights = scores.copy()
    sums = weights.sum(1)
    sets = np.arange(n_sets)
    batches = np.empty((n_sets, n_batches, k), dtype=np.int64)
    n_uniform = n_batches - int(n_batches * guided_share)
    for t in range(n_batches):
        if t == n_uniform:
            scores = np.abs(statistics) * off_diagonal
            weights = scores / np.sqrt(1 + visits)
            sums = weights.sum(1)
        left = np.ones((n_sets, n_variables), dtype=bool)
        chosen = batches[:, t]
        p = sums
        for step in range(k):
            chosen[:, step] = _draw(p, left, uniforms[:, t, step])
            left[sets, chosen[:, step]] = False
            row = weights[sets, chosen[:, step]]
            p = row if step == 0 else p + row
        block = (sets[:, None, None], chosen[:, :, None], chosen[:, None, :])
        visits[block] += 1
        new = scores[block] / np.sqrt(1 + visits[block])
        sums[sets[:, None], chosen] += (new - weights[block]).sum(1)
        weights[block] = new
    return batches


def _draw(weights: np.ndarray, left: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """One column (D,) for each row of weights (D, N), drawn among those left by inverting the
    distribution function."""
    cumulative = np.cumsum(np.where(left, weights, 0.0), axis=1)
    empty = cumulative[:, -1] <= 0
    if empty.any():
        cumulative[empty] = np.cumsum(left[empty], axis=1)
    # the last column that is left absorbs what rounding may leave above the sum
    passed = (cumulative <= (uniforms * cumulative[:, -1])[:, None]).sum(1)
    last = left.shape[1] - 1 - left[:, ::-1].argmax(1)
    return np.minimum(passed, last)
