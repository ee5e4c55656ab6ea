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
pairs that are left, and
p is never needed: at each size T is compared with the critical values of the levels. As [Q^-1]_jj
>= 1 / Q_jj for Q = w0 P0 + w1 P1,

    T >= (b0 - b1)^2 / (w0 / var0(x_j | C) + w1 / var1(x_j | C)),

with equality for empty C. Most tests of a changed pair end at this bound; the matrix is inverted
for the others only. (The exact statistic with the inverse's diagonal is causaldag's; Welch's t^2
would be the bound itself.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cdnbench.methods.dci.conditionals import CHUNK, Conditionals, critical_f, sizes_and_prefixes


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


def difference_graphs(
    before: Conditionals, after: Conditionals, alpha_ug: np.ndarray
) -> np.ndarray:
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
    before: Conditionals,
    after: Conditionals,
    pair_level: np.ndarray,
    alpha_skeleton: np.ndarray,
    max_set_size: int,
) -> Skeletons:
    """The pairs that survive the regression tests. pair_level: of `difference_graphs`;
    alpha_skeleton increases."""
    n_ug = int(pair_level.max(initial=0))  # the diagonal holds the number of levels
    node_level = pair_level.min(axis=2, initial=n_ug)
    subsample, first, second = np.nonzero(np.triu(pair_level < n_ug, 1))
    tests = _Tests(
        before, after, subsample, first, second, pair_level, node_level, len(alpha_skeleton)
    )
    n = before.n_variables
    with np.errstate(all="ignore"):
        for size in range(min(max_set_size, n - 2) + 1):
            df = before.n_rows + after.n_rows - 2 * (size + 1)
            critical = critical_f(1, df, alpha_skeleton)
            active = tests.active()
            for prefix in (
                sizes_and_prefixes(n - 1, max(size - 1, 0)) if df > 0 and len(active) else []
            ):
                begin = prefix[-1] + 1 if prefix else 0
                block = max(1, CHUNK // max(n - begin, 1)) if size else CHUNK
                chosen = tests.conditionable(active, prefix)
                for k in range(0, len(chosen), block):
                    tests.run(
                        chosen[k : k + block],
                        prefix,
                        np.arange(begin, n) if size else None,
                        critical,
                    )
    exceeded = tests.exceeded()
    kept = (exceeded[:, :, None] <= np.arange(len(alpha_skeleton))) & tests.present[:, :, None]
    return Skeletons(subsample, first, second, kept, node_level)


class _Tests:
    """Tests of the pairs, and what they have ruled out so far.

    gone: (P, alpha_ug), how many of alpha_skeleton some test exceeds whose conditioning nodes are
        all in at that alpha_ug, and not all at a stricter one. present: (P, alpha_ug) bool, pairs
        of the difference graphs.
    """

    def __init__(
        self,
        before: Conditionals,
        after: Conditionals,
        subsample: np.ndarray,
        first: np.ndarray,
        second: np.ndarray,
        pair_level: np.ndarray,
        node_level: np.ndarray,
        n_skeleton: int,
    ) -> None:
        n_ug = int(pair_level.max(initial=0))
        self.before, self.after = before, after
        self.subsample, self.first, self.second, self.node_level = (
            subsample,
            first,
            second,
            node_level,
        )
        self.present = pair_level[subsample, first, second][:, None] <= np.arange(n_ug)
        self.gone = np.zeros((len(subsample), n_ug), dtype=np.int8)
        self.n_skeleton = n_skeleton

    def exceeded(self, pairs: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(P, alpha_ug), how many of alpha_skeleton the largest p exceeds: more nodes to condition
        on, larger p."""
        return np.maximum.accumulate(self.gone[pairs], axis=1)

    def open(self, pairs: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(P, alpha_ug) bool, where a pair is left at some alpha_skeleton."""
        return self.present[pairs] & (self.exceeded(pairs) < self.n_skeleton)

    def active(self) -> np.ndarray:
        """Pairs that are left anywhere."""
        return np.flatnonzero(self.open().any(axis=1))

    def loosest(self, pairs: np.ndarray) -> np.ndarray:
        """(E,), one more than the index of the loosest alpha_ug at which a pair is left; 0 if it is
        left nowhere."""
        left = self.open(pairs)
        return np.where(left.any(axis=1), left.shape[1] - left[:, ::-1].argmax(axis=1), 0)

    def conditionable(self, pairs: np.ndarray, prefix: tuple[int, ...]) -> np.ndarray:
        """The pairs that are left somewhere with all variables of the prefix among their
        conditioning nodes."""
        held = (self.first[pairs, None] == prefix) | (self.second[pairs, None] == prefix)
        level = self.node_level[self.subsample[pairs, None], prefix].max(axis=1, initial=0)
        return pairs[~held.any(axis=1) & (level < self.loosest(pairs))]

    def run(
        self,
        pairs: np.ndarray,
        prefix: tuple[int, ...],
        rest: np.ndarray | None,
        critical: np.ndarray,
    ) -> None:
        """Both directions of E pairs given prefix + k for every k in `rest` (None: given the prefix
        alone)."""
        size = len(prefix) + (rest is not None)
        q, i, j = self.subsample[pairs], self.first[pairs], self.second[pairs]
        level = self.node_level[q[:, None], prefix].max(axis=1, initial=0)
        # only a p above the next level that the pair has not yet exceeded everywhere tells
        # something
        ahead = np.where(self.present[pairs], self.exceeded(pairs), self.n_skeleton).min(axis=1)
        to_beat = critical[ahead][:, None]
        sides = [_moments(side, prefix, q, i, j, rest) for side in (self.before, self.after)]
        weights = [n / (n - size) / (n - 1) for n in (self.before.n_rows, self.after.n_rows)]
        # w of the module's docstring, times var j or var i
        noise = [w * (vi * vj - vij * vij) for w, (vi, vj, vij) in zip(weights, sides, strict=True)]
        scaled = [to_beat * x for x in noise]
        last, allowed = level[:, None], np.ones((len(q), 1), dtype=bool)
        if rest is not None:
            last = self.node_level[:, rest][q]
            allowed = (
                (last < self.loosest(pairs)[:, None]) & (rest != i[:, None]) & (rest != j[:, None])
            )
        for regressor, which in ((j, 1), (i, 0)):
            # which: the regressor's place in (var i, var j, cov ij). The bound, times the
            # regressor's variances squared:
            v0, v1 = sides[0][which], sides[1][which]
            difference = sides[0][2] * v1 - sides[1][2] * v0
            undecided = difference * difference < scaled[0] * (v1 * v1) + scaled[1] * (v0 * v0)
            e, c = np.nonzero(undecided & allowed)
            if not len(e):
                continue
            v0, v1, difference = v0[e, c], v1[e, c], difference[e, c]
            w0, w1 = noise[0][e, c] / v0, noise[1][e, c] / v1
            at = level[e]
            if rest is None:
                diagonal = 1 / (w0 / v0 + w1 / v1)
            else:
                members = np.empty((len(e), size + 1), dtype=int)
                members[:, : size - 1] = prefix
                members[:, size - 1] = rest[c]
                members[:, size] = regressor[e]
                diagonal = _last_of_inverse(
                    self.before.covariances, self.after.covariances, q[e], members, (w0, w1)
                )
                at = np.maximum(at, last[e, c])
            statistic = (difference / (v0 * v1)) ** 2 * diagonal
            above = (statistic[:, None] < critical).sum(axis=1)
            np.maximum.at(self.gone, (pairs[e], at), above.astype(np.int8))


def _moments(
    side: Conditionals,
    prefix: tuple[int, ...],
    q: np.ndarray,
    i: np.ndarray,
    j: np.ndarray,
    rest: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances of i and of j and their covariance, each (E, rest), given prefix + k; (E, 1) given
    the prefix."""
    given = side.given(prefix)
    n = side.n_variables
    rows = given.reshape(-1, n)
    at_i, at_j = q * n + i, q * n + j
    vi, vj, vij = rows[at_i, i, None], rows[at_j, j, None], rows[at_i, j, None]
    if rest is None:
        return vi, vj, vij
    k = slice(rest[0], None)
    si, sj = rows[:, k][at_i], rows[:, k][at_j]
    per_variance = (1 / np.diagonal(given, axis1=1, axis2=2)[:, k])[q]
    scaled_i = si * per_variance
    return vi - si * scaled_i, vj - sj * sj * per_variance, vij - sj * scaled_i


def _last_of_inverse(
    s0: np.ndarray,
    s1: np.ndarray,
    q: np.ndarray,
    members: np.ndarray,
    noise: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """(T,): the last diagonal entry of (w0 P0 + w1 P1)^-1 = A (A + B)^-1 B with A = S0 / w0, B = S1
    / w1.

    members: (T, k), the variables of S0 and S1, the regressor last. noise: w0 and w1, each (T,).
    """
    k = members.shape[1]
    n = s0.shape[1]
    flat = (q[:, None, None] * n + members[:, :, None]) * n + members[:, None, :]
    a = s0.reshape(-1)[flat] / noise[0][:, None, None]
    b = s1.reshape(-1)[flat] / noise[1][:, None, None]
    # eliminate all of A + B from its border: the last row of A on one side, the last column of B on
    # the other
    total = np.ascontiguousarray(np.moveaxis(a + b, 0, 2))
    left, right = np.ascontiguousarray(a[:, -1].T), np.ascontiguousarray(b[:, :, -1].T)
    result = np.zeros(len(q))
    for p in range(k):
        pivot = 1 / total[p, p]
        scaled = right[p] * pivot
        result += left[p] * scaled
        for r in range(p + 1, k):
            factor = total[r, p] * pivot
            left[r] -= left[p] * factor
            right[r] -= total[r, p] * scaled
            for c in range(r, k):
                total[r, c] -= factor * total[c, p]
                total[c, r] = total[r, c]
    return result
