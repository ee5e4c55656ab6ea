"""The third phase of DCI for all subsamples and levels at once: orienting the pairs of the
skeletons.

A variable whose residual variance given a set C of conditioning nodes is the same before and after
has the members of C among its neighbours in the skeleton as parents and its other neighbours as
children:

    p = 2 min(P(F <= s0^2 / s1^2), P(F > s0^2 / s1^2)),  F(n0 - |C|, n1 - |C|),  s^2 = var(x_i | C)
    n / (n - |C| + 1).

For |C| = 0, 1, ..., max_set_size + 1: of all undecided variables and sets with p > alpha_orient the
largest p comes first. A set is passed over that contradicts the edges made so far or would close a
cycle, that is, if C has a descendant of x_i or lacks an ancestor that is a neighbour; else the
variable is decided. Pairs left without direction take that of a directed path between their ends
where there is one.

These conditions only ever grow stricter, so a set once passed over stays so; and a decided
variable's other sets change nothing, though causaldag tries them. Both make one pass down a sorted
list per variable enough. (A directed cycle can still arise, through a parent and a child at once;
which path counts then follows Python's order of a set of the two numbers, here as there.)

p is needed for the candidates alone: variances given all sets come from `Conditionals` two
variables at a time, and ratios outside the critical values of the loosest alpha_orient are dropped
at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import comb

import numpy as np

from cdnbench.methods.dci.conditionals import CHUNK, Conditionals, critical_f, sizes_and_prefixes
from cdnbench.methods.dci.skeleton import Skeletons

_KEPT = 100_000
"""Candidate sets of one variable in one subsample; 40 variables have fewer up to size 4."""

_SETS = 8_000_000  # sets times subsamples that are worked on together
_POOL = 2_000_000  # candidates that are gathered before all but each variable's best are dropped


@dataclass
class _Graph:
    """A skeleton that is being oriented. Sets of variables are the bits of integers."""

    subsample: int
    ug: int
    alpha: float
    neighbours: dict[int, int]
    cells: list[tuple[int, int, int]]  # (alpha_ug, alpha_skeleton, alpha_orient) that share it
    undecided: set[int] = field(init=False)
    ancestors: dict[int, int] = field(init=False)
    descendants: dict[int, int] = field(init=False)
    edges: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.undecided = set(self.neighbours)
        self.ancestors = dict.fromkeys(self.neighbours, 0)
        self.descendants = dict.fromkeys(self.neighbours, 0)

    def required(self, i: int) -> int:
        """Variables that every parent set of i has to hold."""
        return self.neighbours[i] & self.ancestors[i]

    def decide(self, i: int, conditioning: int) -> None:
        above, below = 1 << i, 1 << i
        for j in bits(self.neighbours[i]):
            if conditioning >> j & 1:
                self.edges.add((j, i))
                above |= 1 << j | self.ancestors[j]
            else:
                self.edges.add((i, j))
                below |= 1 << j | self.descendants[j]
        above |= self.ancestors[i]
        below |= self.descendants[i]
        for a in bits(above):
            self.descendants[a] |= below
        for d in bits(below):
            self.ancestors[d] |= above
        for k in bits(above & below):  # reaching oneself does not count
            self.descendants[k] &= ~(1 << k)
            self.ancestors[k] &= ~(1 << k)
        self.undecided.discard(i)

    def result(self, labels: np.ndarray) -> list[tuple[int, int]]:
        """Changed edges, both directions of a pair that has none."""
        edges = list(self.edges)
        for i, around in self.neighbours.items():
            for j in bits(around):
                if i < j and (i, j) not in self.edges and (j, i) not in self.edges:
                    first, second = (j, i) if _swapped(int(labels[i]), int(labels[j])) else (i, j)
                    if self.descendants[first] >> second & 1:
                        edges.append((first, second))
                    elif self.descendants[second] >> first & 1:
                        edges.append((second, first))
                    else:
                        edges += [(i, j), (j, i)]
        return edges


@dataclass(frozen=True)
class _Candidates:
    """Sets of one size for one variable in one subsample, by falling p. members: (n, size); level:
    as node_level."""

    p: np.ndarray
    members: np.ndarray
    level: np.ndarray

    def next(self, t: int, graph: _Graph, i: int) -> tuple[float, int, int] | None:
        """-p, place and set of the first candidate from place t on that does not contradict the
        graph."""
        barred, required = graph.descendants[i], graph.required(i)
        for s in range(t, min(t + 8, len(self.p))):
            if self.p[s] <= graph.alpha:
                return None
            chosen = 0
            for k in self.members[s].tolist():
                chosen |= 1 << k
            if self.level[s] <= graph.ug and not chosen & barred and not required & ~chosen:
                return -float(self.p[s]), s, chosen
        t += 8
        if t >= len(self.p):
            return None
        members = self.members[t:]
        valid = (self.p[t:] > graph.alpha) & (self.level[t:] <= graph.ug)
        for k in bits(barred):
            valid &= (members != k).all(axis=1)
        for k in bits(required):
            valid &= (members == k).any(axis=1)
        s = int(valid.argmax()) if len(valid) else 0
        if not valid[s]:
            return None
        return -float(self.p[t + s]), t + s, sum(1 << k for k in members[s].tolist())


def orient(
    before: Conditionals,
    after: Conditionals,
    skeletons: Skeletons,
    alpha_orient: np.ndarray,
    max_set_size: int,
    labels: np.ndarray,
) -> np.ndarray:
    """(alpha_ug, alpha_skeleton, alpha_orient, N, N): in how many subsamples i -> j is a changed
    edge.

    labels: the variables' numbers, which break ties between the directions of a cycle.
    """
    n = before.n_variables
    n_ug, n_skeleton = skeletons.kept.shape[1:]
    graphs = _graphs(skeletons, alpha_orient)
    largest = min(max_set_size + 1, n - 1)
    for block in _blocks(len(skeletons.node_level), max(1, _SETS // comb(n, largest))):
        some = [graph for graph in graphs if block.start <= graph.subsample < block.stop]
        whole = len(some) == len(graphs)
        these, those, offset = (
            (before, after, 0) if whole else (before.block(block), after.block(block), block.start)
        )
        for size in range(largest + 1):
            wanted: dict[tuple[int, int], list[_Graph]] = {}
            for graph in some:
                for i in graph.undecided:
                    wanted.setdefault((graph.subsample, i), []).append(graph)
            if not wanted:
                break
            candidates = _candidates(
                these, those, skeletons.node_level, offset, wanted, size, float(alpha_orient.min())
            )
            for graph in some:
                _decide(graph, candidates)
    counts = np.zeros((n_ug, n_skeleton, len(alpha_orient), n, n), dtype=np.int64)
    for graph in graphs:
        edges = graph.result(labels)
        if edges:
            parents, children = np.array(edges).T
            for cell in graph.cells:
                counts[cell][parents, children] += 1
    return counts


def _graphs(skeletons: Skeletons, alpha_orient: np.ndarray) -> list[_Graph]:
    """One graph for each distinct skeleton with its conditioning nodes, subsample and
    alpha_orient."""
    graphs: dict[tuple, _Graph] = {}
    n_ug, n_skeleton = skeletons.kept.shape[1:]
    starts = np.searchsorted(skeletons.subsample, np.arange(len(skeletons.node_level) + 1))
    for q, (begin, end) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
        for ug in range(n_ug):
            nodes = (skeletons.node_level[q] <= ug).tobytes()
            for skeleton in range(n_skeleton):
                kept = begin + np.flatnonzero(skeletons.kept[begin:end, ug, skeleton])
                if not len(kept):
                    continue
                known = graphs.get((q, nodes, kept.tobytes(), 0))
                neighbours: dict[int, int] = {} if known is None else known.neighbours
                if known is None:
                    for i, j in zip(
                        skeletons.first[kept].tolist(), skeletons.second[kept].tolist(), strict=True
                    ):
                        neighbours[i] = neighbours.get(i, 0) | 1 << j
                        neighbours[j] = neighbours.get(j, 0) | 1 << i
                for o, alpha in enumerate(alpha_orient.tolist()):
                    key = (q, nodes, kept.tobytes(), o)
                    if known is None:
                        graphs[key] = _Graph(q, ug, alpha, neighbours, [])
                    graphs[key].cells.append((ug, skeleton, o))
    return list(graphs.values())


def _decide(graph: _Graph, candidates: dict[tuple[int, int], _Candidates]) -> None:
    """Take the candidates of all undecided variables by falling p."""
    heap = []
    for i in graph.undecided:
        own = candidates.get((graph.subsample, i))
        found = own.next(0, graph, i) if own else None
        if found:
            heap.append((found[0], i, found[1], found[2]))
    heapq.heapify(heap)
    while heap:
        _, i, t, chosen = heap[0]
        if not chosen & graph.descendants[i] and not graph.required(i) & ~chosen:
            graph.decide(i, chosen)
            heapq.heappop(heap)
            continue
        found = candidates[graph.subsample, i].next(t + 1, graph, i)
        if found:
            heapq.heapreplace(heap, (found[0], i, found[1], found[2]))
        else:
            heapq.heappop(heap)


def _candidates(
    before: Conditionals,
    after: Conditionals,
    node_level: np.ndarray,
    offset: int,
    wanted: dict[tuple[int, int], list[_Graph]],
    size: int,
    alpha: float,
) -> dict[tuple[int, int], _Candidates]:
    """The sets of this size with p > alpha, for each wanted (subsample, variable). offset: the
    sides' first subsample."""
    from scipy.special import fdtr

    n0, n1 = before.n_rows, after.n_rows
    if min(n0, n1) <= size:
        return {}
    q, i = np.array(list(wanted)).T
    allowed = (
        node_level[q]
        <= np.array([max(g.ug for g in graphs) for graphs in wanted.values()])[:, None]
    )
    allowed[np.arange(len(i)), i] = False
    required = np.zeros_like(allowed)
    for row, (variable, graphs) in enumerate(zip(i.tolist(), wanted.values(), strict=True)):
        # what holds in all of the graphs now holds for good
        barred = needed = -1
        for graph in graphs:
            barred &= graph.descendants[variable]
            needed &= graph.required(variable)
        allowed[row, list(bits(barred))] = False
        required[row, list(bits(needed))] = True
    low, high = critical_f(n0 - size, n1 - size, np.array([1 - alpha / 2, alpha / 2]))
    correction = (n0 / (n0 - size + 1)) / (n1 / (n1 - size + 1))
    found: list[tuple[np.ndarray, ...]] = [
        (np.empty(0, int), np.empty((0, size), np.int16), np.empty(0))
    ]
    pool = 0
    with np.errstate(all="ignore"):
        for rows, members, inside, var0, var1 in _variances(
            before, after, q - offset, i, allowed, required, size
        ):
            ratio = var0 / var1 * correction
            e, s = np.nonzero((ratio > low * (1 - 1e-9)) & (ratio < high * (1 + 1e-9)) & inside)
            below = fdtr(n0 - size, n1 - size, ratio[e, s])
            found.append((rows[e], members[s].astype(np.int16), 2 * np.minimum(below, 1 - below)))
            pool += len(e)
            if pool > _POOL:
                found = [_best(found, alpha)]
                pool = 0
    owner, members, p = _best(found, alpha)
    level = node_level[q[owner][:, None], members].max(axis=1, initial=0)
    starts = np.searchsorted(owner, np.arange(len(q) + 1))
    result = {}
    for key, begin, end in zip(wanted, starts[:-1], starts[1:], strict=True):
        if begin < end:
            result[key] = _Candidates(p[begin:end], members[begin:end], level[begin:end])
    return result


def _best(
    found: list[tuple[np.ndarray, ...]], alpha: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(owner, members, p) of the candidates with p > alpha: each owner's together, by falling p, at
    most _KEPT."""
    owner, members, p = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((-p, owner))
    order = order[p[order] > alpha]
    place = np.arange(len(order)) - np.searchsorted(owner[order], owner[order])
    order = order[place < _KEPT]
    return owner[order], members[order], p[order]


def _variances(
    before: Conditionals,
    after: Conditionals,
    q: np.ndarray,
    i: np.ndarray,
    allowed: np.ndarray,
    required: np.ndarray,
    size: int,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Residual variances of x_i in subsample q given all sets of this size, in blocks.

    q, i: (L,). allowed, required: (L, N), which variables may and must be in the set. Yields the
    rows of a block (E,), its sets (n, size), whether a set is allowed (E, n), and the variances
    before and after (E, n).
    """
    n = before.n_variables
    everything = np.arange(len(q))
    if size == 0:
        var0, var1 = before.covariances[q, i, i], after.covariances[q, i, i]
        inside = np.logical_not(required.any(axis=1))[:, None]
        yield everything, np.empty((1, 0), dtype=int), inside, var0[:, None], var1[:, None]
        return
    n_required = np.asarray(required.sum(axis=1))
    usable = np.asarray(allowed.any(axis=0))
    for prefix in sizes_and_prefixes(n, max(size - 2, 0)):
        if not usable[list(prefix)].all():
            continue
        missing = np.asarray(n_required - required[:, prefix].sum(axis=1))
        chosen = everything[allowed[:, prefix].all(axis=1) & (missing <= min(size, 2))]
        if not len(chosen):
            continue
        rest = (
            np.flatnonzero(usable[prefix[-1] + 1 :]) + prefix[-1] + 1
            if prefix
            else np.flatnonzero(usable)
        )
        first, second = np.triu_indices(len(rest), 1) if size > 1 else (np.arange(len(rest)), None)
        for sets in _blocks(len(first), CHUNK):
            a = rest[first[sets]]
            b = None if second is None else rest[second[sets]]
            members = np.empty((len(a), size), dtype=int)
            members[:, : len(prefix)] = prefix
            members[:, len(prefix)] = a
            if b is not None:
                members[:, -1] = b
            for rows in _blocks(len(chosen), max(1, CHUNK // max(len(a), 1))):
                some = chosen[rows]
                inside, held = allowed[some][:, a], required[some][:, a].astype(np.int8)
                if b is not None:
                    inside &= allowed[some][:, b]
                    held += required[some][:, b]
                inside &= held == missing[some, None]
                var0, var1 = (
                    _residual(side.given(prefix), q[some], i[some], a, b)
                    for side in (before, after)
                )
                yield some, members, inside, var0, var1


def _residual(
    given: np.ndarray, q: np.ndarray, i: np.ndarray, a: np.ndarray, b: np.ndarray | None
) -> np.ndarray:
    """(E, n) variances of x_i given x_a (and x_b), from covariances `given` the prefix: (B, N,
    N)."""
    rows = given[q, i]
    own = given[q, i, i][:, None]
    starts = np.append(True, q[1:] != q[:-1])  # callers list a subsample's variables together
    distinct, at = q[starts], np.cumsum(starts) - 1
    var_a = given[distinct[:, None], a, a]
    row_a = rows[:, a]
    if b is None:
        return own - row_a * row_a * (1 / var_a)[at]
    var_b, cov = given[distinct[:, None], b, b], given[distinct[:, None], a, b]
    per_determinant = 1 / (var_a * var_b - cov * cov)
    row_b = rows[:, b]
    result = row_a * row_a * (var_b * per_determinant)[at]
    result -= row_a * row_b * (2 * cov * per_determinant)[at]
    result += row_b * row_b * (var_a * per_determinant)[at]
    return np.subtract(own, result, out=result)


def _blocks(n: int, size: int) -> Iterator[slice]:
    for begin in range(0, n, size):
        yield slice(begin, begin + size)


def _swapped(i: int, j: int) -> bool:
    """Whether causaldag takes the pair i < j as (j, i).

    It puts the two integers into a set, which has an order of its own, and then into another.
    """
    first, _ = frozenset({i, j})
    second = j if first == i else i
    return next(iter(frozenset({first, second}))) != i


def bits(mask: int) -> Iterator[int]:
    """The members of a set of variables, smallest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
