"""The regression tests of `skeleton.py`, compiled: one subsample at a time, so that its matrices
stay in the processor's first cache, and only on its own conditioning nodes.

Covariances given a set come from Schur complements: sweeping variable k out of S leaves S - S[:, k]
S[k, :] / S[k, k]. The first members of a set are swept out of the whole matrix, once for all sets
that begin with them; of the last one only the three numbers of each pair are made.

As [Q^-1]_jj >= 1 / Q_jj for Q = w0 P0 + w1 P1, the statistic has a bound that needs no inverse,

    T >= (b0 - b1)^2 / (w0 / var0(x_j | C) + w1 / var1(x_j | C)),

with equality for empty C. Most tests of a changed pair end at it; the matrix is inverted for the
others only. (The exact statistic with the inverse's diagonal is causaldag's; Welch's t^2 would be
the bound itself.)
"""

from __future__ import annotations

import numpy as np

from cdnbench.compilation import kept_njit

compiled = kept_njit(error_model="numpy")


@compiled
def _sweep(s, k, out, reciprocals):
    """Covariances given variable k into `out`, and one over their diagonal into `reciprocals`. s,
    out: (K, K)."""
    for r in range(len(s)):
        factor = s[r, k] / s[k, k]
        for c in range(len(s)):
            out[r, c] = s[r, c] - factor * s[k, c]
        reciprocals[r] = 1 / out[r, r]


@compiled
def _restricted(s, nodes, depth):
    """Room for (depth, K, K) covariances of some nodes given ever more variables, the first filled;
    and for (depth, K) reciprocals of their diagonals."""
    k = len(nodes)
    given, reciprocals = np.empty((depth, k, k)), np.empty((depth, k))
    for r in range(k):
        for c in range(k):
            given[0, r, c] = s[nodes[r], nodes[c]]
        reciprocals[0, r] = 1 / given[0, r, r]
    return given, reciprocals


@compiled
def _moments(s, reciprocals, i, j, k):
    """Variances of i and of j and their covariance given k, or as they are in s where k is
    negative."""
    if k < 0:
        return s[i, i], s[j, j], s[i, j]
    by_i, by_j = s[i, k] * reciprocals[k], s[j, k] * reciprocals[k]
    return s[i, i] - s[i, k] * by_i, s[j, j] - s[j, k] * by_j, s[i, j] - s[j, k] * by_i


@compiled
def _count(gone, present, n_skeleton, lowest):
    """lowest[g]: of the levels of alpha_skeleton, how many the pair exceeds at least, at g and all
    looser alpha_ug at which it is present; all of them where it is present at none."""
    for g in range(len(gone)):
        lowest[g] = n_skeleton
        most = 0
        for h in range(len(gone)):
            most = max(most, gone[h])
            if h >= g and present[h]:
                lowest[g] = min(lowest[g], most)


@compiled
def _last_of_inverse(s0, s1, w0, w1, members, room):
    """The last diagonal entry of (w0 P0 + w1 P1)^-1 = A (A + B)^-1 B with A = S0 / w0, B = S1 / w1.

    members: (k,), the variables of S0 and S1, the regressor last. room: (k + 2, k) at
    least, to work in.
    """
    k = len(members)
    total, left, right = room[:k], room[k], room[k + 1]
    last = members[k - 1]
    for r in range(k):
        for c in range(k):
            at = members[r], members[c]
            total[r, c] = s0[at] / w0 + s1[at] / w1
        left[r] = s0[last, members[r]] / w0
        right[r] = s1[members[r], last] / w1
    # eliminate all of A + B from its border: the last row of A on one side, the last column of B on
    # the other
    result = 0.0
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


@compiled
def advance(prefix, n):
    """The next increasing tuple of numbers below n, in place.

    Returns the first place that changed; -1 after the last tuple.
    """
    k = len(prefix)
    t = k - 1
    while t >= 0 and prefix[t] == n - k + t:
        t -= 1
    if t >= 0:
        prefix[t] += 1
        for u in range(t + 1, k):
            prefix[u] = prefix[u - 1] + 1
    return t


@compiled
def exceeded_levels(s0, s1, n0, n1, starts, first, second, present, node_level, critical):
    """(P, alpha_ug), how many of alpha_skeleton the largest p of each pair exceeds.

    s0, s1: (B, N, N) covariances of subsamples with n0 and n1 rows. starts: (B + 1,), where the
    pairs `first`, `second` (P,) of each subsample begin. present: (P, alpha_ug), node_level: (B, N)
    as in `Skeletons`. critical: (sizes, alpha_skeleton), of the sets of 0, 1, ... variables.
    """
    n_pairs, n_ug = present.shape
    n_sizes, n_skeleton = critical.shape
    # gone[p, g] counts the levels that some test exceeds whose conditioning nodes are all in at g,
    # and not all at a stricter one: the more nodes to condition on, the larger p
    gone = np.zeros((n_pairs, n_ug), dtype=np.int64)
    lowest = np.empty((n_pairs, n_ug), dtype=np.int64)
    for p in range(n_pairs):
        _count(gone[p], present[p], n_skeleton, lowest[p])
    place = np.empty(s0.shape[1], dtype=np.int64)
    room = np.empty((n_sizes + 3, n_sizes + 1))
    for b in range(len(starts) - 1):
        if starts[b] == starts[b + 1]:
            continue
        nodes = np.flatnonzero(node_level[b] < n_ug)
        levels = node_level[b][nodes]
        place[nodes] = np.arange(len(nodes))
        g0, r0 = _restricted(s0[b], nodes, max(n_sizes, 1))
        g1, r1 = _restricted(s1[b], nodes, max(n_sizes, 1))
        for size in range(min(n_sizes, len(nodes) - 1)):
            w0, w1 = n0 / (n0 - size) / (n0 - 1), n1 / (n1 - size) / (n1 - 1)
            depth = max(size - 1, 0)
            prefix, members = np.arange(depth), np.empty(size + 1, dtype=np.int64)
            swept = changed = 0  # how many of the prefix are swept out; where it changed
            while changed >= 0:
                swept = min(swept, changed)
                prefix_level = 0
                for t in range(depth):
                    members[t] = prefix[t]
                    prefix_level = max(prefix_level, levels[prefix[t]])
                for p in range(starts[b], starts[b + 1]):
                    i, j = place[first[p]], place[second[p]]
                    if lowest[p, prefix_level] == n_skeleton or i in prefix or j in prefix:
                        continue
                    while swept < depth:
                        to = swept + 1
                        _sweep(g0[swept], prefix[swept], g0[to], r0[to])
                        _sweep(g1[swept], prefix[swept], g1[to], r1[to])
                        swept = to
                    begin = -1 if size == 0 else prefix[-1] + 1 if depth else 0
                    for k in range(begin, len(nodes) if size else 0):
                        if k in (i, j):
                            continue
                        level = prefix_level if k < 0 else max(prefix_level, levels[k])
                        vi0, vj0, vij0 = _moments(g0[depth], r0[depth], i, j, k)
                        vi1, vj1, vij1 = _moments(g1[depth], r1[depth], i, j, k)
                        # w of the module's docstring, times var j or var i
                        noise0 = w0 * (vi0 * vj0 - vij0 * vij0)
                        noise1 = w1 * (vi1 * vj1 - vij1 * vij1)
                        for regressor, v0, v1 in ((j, vj0, vj1), (i, vi0, vi1)):
                            # only a p above the next level that the pair has not yet exceeded
                            # tells something
                            ahead = lowest[p, level]
                            if ahead == n_skeleton:
                                break
                            difference = vij0 * v1 - vij1 * v0
                            bound = critical[size, ahead] * (noise0 * v1 * v1 + noise1 * v0 * v0)
                            if not difference * difference < bound:
                                continue
                            if k < 0:
                                diagonal = 1 / (noise0 / (v0 * v0) + noise1 / (v1 * v1))
                            else:
                                members[size - 1], members[size] = k, regressor
                                diagonal = _last_of_inverse(
                                    g0[0], g1[0], noise0 / v0, noise1 / v1, members, room
                                )
                            slope = difference / (v0 * v1)
                            above = (slope * slope * diagonal < critical[size]).sum()
                            if above > gone[p, level]:
                                gone[p, level] = above
                                _count(gone[p], present[p], n_skeleton, lowest[p])
                changed = advance(prefix, len(nodes) - 1) if depth else -1
    for p in range(n_pairs):
        for g in range(1, n_ug):
            gone[p, g] = max(gone[p, g], gone[p, g - 1])
    return gone
