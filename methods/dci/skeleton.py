"""The first two phases of DCI for all subsamples and levels at once: the difference graph and the
skeleton.

Difference graph. K = S^-1 is the precision matrix of a data set with n rows on N variables. Pair i
- j is in at alpha_ug if

    (K0_ij - K1_ij)^2 / ((K0_ii K0_jj + K0_ij^2) / n0 + (K1_ii K1_jj + K1_ij^2) / n1)

has a p <= alpha_ug under F(1, n0 + n1 - 2 N + 2). Variables with a pair are the *conditioning
nodes*.

Skeleton. A pair of that graph goes at alpha_skeleton if, for any set C of up to max_set_size other
conditioning nodes and either direction, the coefficient b of x_j in the regression of x_i on C + j
has p > alpha_skeleton:

    T = (b0 - b1)^2 [(w0 P0 + w1 P1)^-1]_jj  under  F(1, n0 + n1 - 2 (|C| + 1)),
    P = S_{C+j, C+j}^-1,   w = s^2 / (n - 1),   s^2 = var(x_i | C, j) n / (n - |C|).

Whether a pair goes does not depend on the order of the tests, so sets are tried by size on the
pairs that are left, and p is never needed: at each size T is compared with the critical values of
the levels. The tests themselves are compiled (`compiled_skeleton.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cdnbench.methods.dci.covariances import Covariances, critical_f


@dataclass(frozen=True)
class Skeletons:
    """Pairs of the loosest difference graph, P over all subsamples, and the levels at which they
    are kept.

    subsample, first, second: (P,) indices, first < second; sorted by subsample.
    kept: (P, alpha_ug, alpha_skeleton) bool.
    node_level: (B, N), the strictest (lowest) index into alpha_ug at which a variable is a
        conditioning node.
    """

    subsample: np.ndarray
    first: np.ndarray
    second: np.ndarray
    kept: np.ndarray
    node_level: np.ndarray


def difference_graphs(before: Covariances, after: Covariances, alpha_ug: np.ndarray) -> np.ndarray:
    """(B, N, N): the lowest index into the increasing alpha_ug at which a pair is in, len(alpha_ug)
    if it never is."""
    n0, n1, n = before.n_rows, after.n_rows, before.n_variables
    k0, k1 = before.precisions, after.precisions
    d0, d1 = np.diagonal(k0, axis1=1, axis2=2), np.diagonal(k1, axis1=1, axis2=2)
    with np.errstate(all="ignore"):
        spread = (d0[:, :, None] * d0[:, None] + k0**2) / n0 + (
            d1[:, :, None] * d1[:, None] + k1**2
        ) / n1
        statistic = (k0 - k1) ** 2 / spread
        critical = critical_f(1, n0 + n1 - 2 * n + 2, alpha_ug)
        level = (~(statistic[..., None] >= critical)).sum(axis=-1)
    level[:, np.arange(n), np.arange(n)] = len(alpha_ug)
    return level


def skeletons(
    before: Covariances,
    after: Covariances,
    pair_level: np.ndarray,
    alpha_skeleton: np.ndarray,
    max_set_size: int,
) -> Skeletons:
    """The pairs that survive the regression tests. pair_level: of `difference_graphs`;
    alpha_skeleton increases."""
    from cdnbench.methods.dci.compiled_skeleton import exceeded_levels

    n = before.n_variables
    n_ug = int(pair_level.max(initial=0))  # the diagonal holds the number of levels
    node_level = np.ascontiguousarray(pair_level.min(axis=2, initial=n_ug))
    pairs = np.nonzero(np.triu(pair_level < n_ug, 1))
    subsample, first, second = (np.ascontiguousarray(place) for place in pairs)
    present = pair_level[subsample, first, second][:, None] <= np.arange(n_ug)
    sizes = range(min(max_set_size, n - 2) + 1)
    degrees = [before.n_rows + after.n_rows - 2 * (size + 1) for size in sizes]
    critical = np.array([critical_f(1, df, alpha_skeleton) for df in degrees if df > 0])
    exceeded = exceeded_levels(
        before.matrices,
        after.matrices,
        before.n_rows,
        after.n_rows,
        np.searchsorted(subsample, np.arange(len(node_level) + 1)),
        first,
        second,
        present,
        node_level,
        critical.reshape(-1, len(alpha_skeleton)),
    )
    kept = (exceeded[:, :, None] <= np.arange(len(alpha_skeleton))) & present[:, :, None]
    return Skeletons(subsample, first, second, kept, node_level)
