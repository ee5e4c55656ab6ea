"""The loops of `orientation.py`, compiled."""

from __future__ import annotations

import numpy as np

from cdnbench.methods.dci.compiled_skeleton import advance, compiled


@compiled
def distinct_skeletons(starts, kept, node_level):
    """Which cells of the grid have the same skeleton and conditioning nodes in a subsample.

    starts, kept, node_level: of `Skeletons`. Returns (B, alpha_ug, alpha_skeleton), the number of
    the skeleton, -1 if it is empty; and for each number (subsample, alpha_ug, alpha_skeleton), the
    first cell that has it.
    """
    n_subsamples, n = node_level.shape
    _, n_ug, n_skeleton = kept.shape
    same = np.full((n_subsamples, n_ug, n_skeleton), -1)
    owner = np.empty((n_subsamples * n_ug * n_skeleton, 3), dtype=np.int64)
    n_distinct = 0
    for q in range(n_subsamples):
        first = n_distinct
        for ug in range(n_ug):
            for s in range(n_skeleton):
                if not kept[starts[q] : starts[q + 1], ug, s].any():
                    continue
                for d in range(first, n_distinct):
                    equal = True
                    for v in range(n):
                        equal &= (node_level[q, v] <= ug) == (node_level[q, v] <= owner[d, 1])
                    for pair in range(starts[q], starts[q + 1]):
                        equal &= kept[pair, ug, s] == kept[pair, owner[d, 1], owner[d, 2]]
                    if equal:
                        same[q, ug, s] = d
                if same[q, ug, s] < 0:
                    same[q, ug, s] = n_distinct
                    owner[n_distinct] = q, ug, s
                    n_distinct += 1
    return same, owner[:n_distinct]


@compiled
def neighbourhoods(starts, first, second, kept, owner, n):
    """(D, N, N) bool, the neighbours of each variable in each distinct skeleton."""
    result = np.zeros((len(owner), n, n), dtype=np.bool_)
    for d in range(len(owner)):
        q, ug, s = owner[d]
        for pair in range(starts[q], starts[q + 1]):
            if kept[pair, ug, s]:
                result[d, first[pair], second[pair]] = True
                result[d, second[pair], first[pair]] = True
    return result


@compiled
def open_variables(subsample, ug, neighbours, ancestors, descendants, undecided, node_level):
    """The variables that some graph of a subsample has not decided: their subsamples (L,) and
    numbers (L,), and which variables may and which must be in their sets, each (L, N) bool. The
    arguments are those of `Graphs`; what holds in all graphs of a subsample now holds for good."""
    n_graphs, n = undecided.shape
    q, variables = np.empty(node_level.size, np.int64), np.empty(node_level.size, np.int64)
    allowed = np.empty((node_level.size, n), np.bool_)
    required = np.empty((node_level.size, n), np.bool_)
    rows = begin = 0
    while begin < n_graphs:
        end = begin
        while end < n_graphs and subsample[end] == subsample[begin]:
            end += 1
        for i in range(n):
            loosest = -1
            for g in range(begin, end):
                if undecided[g, i]:
                    loosest = max(loosest, ug[g])
            if loosest < 0:
                continue
            q[rows], variables[rows] = subsample[begin], i
            for k in range(n):
                barred = needed = True
                for g in range(begin, end):
                    if undecided[g, i]:
                        barred &= descendants[g, i, k]
                        needed &= neighbours[g, i, k] and ancestors[g, i, k]
                barred |= k == i or node_level[subsample[begin], k] > loosest
                allowed[rows, k], required[rows, k] = not barred, needed
            rows += 1
        begin = end
    return q[:rows], variables[:rows], allowed[:rows], required[:rows]


@compiled
def _sweep_rest(s, k, begin, whole, out):
    """Covariances given variable k into `out`, those of variable 0 and of the variables from
    `begin` on; of these the variances only, unless `whole`."""
    out[0, 0] = s[0, 0] - s[0, k] * s[0, k] / s[k, k]
    factor = s[0, k] / s[k, k]
    for c in range(begin, len(s)):
        out[0, c] = s[0, c] - factor * s[k, c]
    for r in range(begin, len(s)):
        factor = s[k, r] / s[k, k]
        for c in range(r, len(s) if whole else r + 1):
            out[r, c] = s[r, c] - factor * s[k, c]


@compiled
def _given(s, i, required, free, depth):
    """Room for (depth, 1 + F, 1 + F) covariances of variable i and the free ones, the first filled
    with those given the required ones. Only the upper triangle means something."""
    order = np.concatenate((required, np.array([i]), free))
    m = len(required)
    work = np.empty((len(order), len(order)))
    for r in range(len(order)):
        for c in range(r, len(order)):
            work[r, c] = s[order[r], order[c]]
    for k in range(m):
        for r in range(k + 1, len(order)):
            factor = work[k, r] / work[k, k]
            for c in range(r, len(order)):
                work[r, c] -= factor * work[k, c]
    given = np.empty((depth, len(order) - m, len(order) - m))
    given[0] = work[m:, m:]
    return given


@compiled
def _ratios(s0, s1, begin, correction, out):
    """Variances of variable 0 before over after, given each variable from `begin` on; times
    `correction`."""
    for k in range(begin, len(s0)):
        before = s0[0, 0] - s0[0, k] * s0[0, k] / s0[k, k]
        after = s1[0, 0] - s1[0, k] * s1[0, k] / s1[k, k]
        out[k] = before / after * correction


@compiled
def _larger(owners, members, ratios):
    """Copies with room for twice as many sets."""
    n = len(owners)
    new_owners, new_ratios = np.empty(2 * n, np.int64), np.empty(2 * n)
    new_members = np.empty((2 * n, members.shape[1]), np.int16)
    new_owners[:n], new_members[:n], new_ratios[:n] = owners, members, ratios
    return new_owners, new_members, new_ratios


@compiled
def invariant_sets(s0, s1, q, i, allowed, required, size, low, high, correction):
    """All sets of a size whose ratio of residual variances of x_i, times `correction`, is between
    `low` and `high`.

    s0, s1: (B, N, N) covariances. q, i: (L,), subsamples and variables. allowed, required: (L, N)
    bool, which variables may and must be in the set. Returns for each set found its place in q and
    i, its members (T, size) and the ratio, in the order of q and i.
    """
    found = 0
    owners, ratios = np.empty(1024, np.int64), np.empty(1024)
    members = np.empty((1024, size), np.int16)
    for row in range(len(q)):
        must = np.flatnonzero(required[row])
        free = np.flatnonzero(allowed[row] & ~required[row])
        n_must, n_chosen = len(must), size - len(must)
        if n_chosen < 0 or n_chosen > len(free):
            continue
        missing = False
        for k in must:
            missing |= not allowed[row, k]
        if missing:
            continue
        depth = max(n_chosen - 1, 0)
        g0 = _given(s0[q[row]], i[row], must, free, depth + 1)
        g1 = _given(s1[q[row]], i[row], must, free, depth + 1)
        here = np.empty(len(free) + 1)
        prefix = np.arange(depth)  # of the free ones; in the matrices they begin at 1
        changed = 0
        while changed >= 0:
            for t in range(changed, depth):
                k, whole = prefix[t] + 1, t < depth - 1
                _sweep_rest(g0[t], k, k + 1, whole, g0[t + 1])
                _sweep_rest(g1[t], k, k + 1, whole, g1[t + 1])
            if n_chosen:
                begin, end = (prefix[-1] + 2 if depth else 1), len(here)
                _ratios(g0[depth], g1[depth], begin, correction, here)
            else:
                begin, end = 0, 1
                here[0] = g0[0, 0, 0] / g1[0, 0, 0] * correction
            for k in range(begin, end):
                if low < here[k] < high:
                    if found == len(owners):
                        owners, members, ratios = _larger(owners, members, ratios)
                    owners[found], ratios[found] = row, here[k]
                    for t in range(n_must):
                        members[found, t] = must[t]
                    for t in range(depth):
                        members[found, n_must + t] = free[prefix[t]]
                    if n_chosen:
                        members[found, size - 1] = free[k - 1]
                    found += 1
            changed = advance(prefix, len(free) - 1) if depth else -1
    return owners[:found], members[:found], ratios[:found]


@compiled
def _possible(members, barred, neighbours, ancestors):
    """Whether a set has no descendant of its variable and all ancestors that are neighbours."""
    needed = 0
    for k in range(len(ancestors)):
        needed += neighbours[k] and ancestors[k]
    for k in members:
        if barred[k]:
            return False
        needed -= neighbours[k] and ancestors[k]
    return needed == 0


@compiled
def _direct(i, members, neighbours, edges, ancestors, descendants):
    """Decide variable i of one graph: neighbours in the set are parents, the others children. All
    but `members` are (N, N) bool."""
    n = len(edges)
    above, below = ancestors[i].copy(), descendants[i].copy()
    above[i] = below[i] = True
    for j in range(n):
        if neighbours[i, j]:
            if j in members:
                edges[j, i] = True
                above |= ancestors[j]
                above[j] = True
            else:
                edges[i, j] = True
                below |= descendants[j]
                below[j] = True
    for a in range(n):
        if above[a]:
            descendants[a] |= below
        if below[a]:
            ancestors[a] |= above
    for k in range(n):  # reaching oneself does not count
        if above[k] and below[k]:
            descendants[k, k] = ancestors[k, k] = False


@compiled
def decide(
    subsample, ug, alpha, neighbours, edges, ancestors, descendants, undecided,
    row, starts, p, members, level,
):  # fmt: skip
    """Take the candidates of all undecided variables of each graph by falling p; of equal ones, the
    lower variable first. The arguments are those of `Graphs`, which are changed in place, and of
    `Candidates`."""
    n_graphs, n = undecided.shape
    at, end = np.empty(n, np.int64), np.empty(n, np.int64)
    for g in range(n_graphs):
        for i in range(n):
            at[i] = end[i] = 0
            owner = row[subsample[g], i]
            if undecided[g, i] and owner >= 0:
                at[i], end[i] = starts[owner], starts[owner + 1]
        while True:
            best = -1
            for i in range(n):
                # on to the next set that does not contradict the graph as it is now
                while at[i] < end[i]:
                    t = at[i]
                    if p[t] <= alpha[g]:
                        end[i] = t
                    elif level[t] <= ug[g] and _possible(
                        members[t], descendants[g, i], neighbours[g, i], ancestors[g, i]
                    ):
                        break
                    else:
                        at[i] += 1
                if at[i] < end[i] and (best < 0 or p[at[i]] > p[at[best]]):
                    best = i
            if best < 0:
                break
            chosen = members[at[best]]
            _direct(best, chosen, neighbours[g], edges[g], ancestors[g], descendants[g])
            undecided[g, best] = False
            end[best] = at[best]
