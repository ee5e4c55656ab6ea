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

p is needed for the candidates alone: ratios outside the critical values of the loosest alpha_orient
are dropped at once. The sets and the graphs are gone through by compiled loops
(`compiled_orientation.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np

from cdnbench.methods.dci.covariances import Covariances, critical_f
from cdnbench.methods.dci.skeleton import Skeletons

_KEPT = 100_000
"""Candidate sets of one variable in one subsample; 40 variables have fewer up to size 4."""

_POOL = 2_000_000  # sets that are tried before all but each variable's best are dropped


@dataclass(frozen=True)
class Graphs:
    """The distinct skeletons that are being oriented, G of them, sorted by subsample.

    subsample, ug: (G,), which subsample, and which alpha_ug its conditioning nodes are those of.
    alpha: (G,), the level alpha_orient. neighbours, edges, ancestors, descendants: (G, N, N) bool;
    edges[g, i, j] is i -> j, ancestors[g, i, j] and descendants[g, i, j] say what j is to i.
    undecided: (G, N) bool. cells: (B, alpha_ug, alpha_skeleton, alpha_orient), the graph of each
    cell of the grid; -1 where it has no edges.
    """

    subsample: np.ndarray
    ug: np.ndarray
    alpha: np.ndarray
    neighbours: np.ndarray
    edges: np.ndarray
    ancestors: np.ndarray
    descendants: np.ndarray
    undecided: np.ndarray
    cells: np.ndarray

    @classmethod
    def of(cls, skeletons: Skeletons, alpha_orient: np.ndarray) -> Graphs:
        """One graph for each distinct skeleton with its conditioning nodes, subsample and
        alpha_orient."""
        from cdnbench.methods.dci.compiled_orientation import distinct_skeletons, neighbourhoods

        n_subsamples, n = skeletons.node_level.shape
        n_levels = len(alpha_orient)
        starts = np.searchsorted(skeletons.subsample, np.arange(n_subsamples + 1))
        same, owner = distinct_skeletons(starts, skeletons.kept, skeletons.node_level)
        q, ug, _ = owner.T
        neighbours = neighbourhoods(
            starts, skeletons.first, skeletons.second, skeletons.kept, owner, n
        )
        neighbours = np.repeat(neighbours, n_levels, axis=0)
        cells = np.where(same[..., None] < 0, -1, same[..., None] * n_levels + np.arange(n_levels))
        return cls(
            np.repeat(q, n_levels),
            np.repeat(ug, n_levels),
            np.tile(alpha_orient, len(owner)),
            neighbours,
            np.zeros_like(neighbours),
            np.zeros_like(neighbours),
            np.zeros_like(neighbours),
            np.asarray(neighbours.any(axis=2)),
            cells,
        )

    def directed(self, labels: np.ndarray) -> np.ndarray:
        """(G, N, N) bool, the changed edges; both directions of a pair that has none."""
        open_pairs = self.neighbours & ~self.edges & ~self.edges.transpose(0, 2, 1)
        along, against = self.descendants, self.descendants.transpose(0, 2, 1)
        result = self.edges | (open_pairs & (along | ~against))
        for g, i, j in np.argwhere(np.triu(open_pairs & along & against)):
            first, second = (j, i) if swapped(int(labels[i]), int(labels[j])) else (i, j)
            result[g, first, second], result[g, second, first] = True, False
        return result


@dataclass(frozen=True)
class Candidates:
    """Sets of one size, each variable's together, by falling p.

    row: (B, N), which of the variables these are; -1 if it is none of them. starts: where the sets
    of each begin. p: (T,). members: (T, size). level: (T,), as node_level.
    """

    row: np.ndarray
    starts: np.ndarray
    p: np.ndarray
    members: np.ndarray
    level: np.ndarray


def orient(
    before: Covariances,
    after: Covariances,
    skeletons: Skeletons,
    alpha_orient: np.ndarray,
    max_set_size: int,
    labels: np.ndarray,
) -> np.ndarray:
    """(alpha_ug, alpha_skeleton, alpha_orient, N, N): in how many subsamples i -> j is a changed
    edge.

    labels: the variables' numbers, which break ties between the directions of a cycle.
    """
    from cdnbench.methods.dci.compiled_orientation import decide

    n = before.n_variables
    graphs = Graphs.of(skeletons, alpha_orient)
    for size in range(min(max_set_size + 1, n - 1) + 1):
        if not graphs.undecided.any() or min(before.n_rows, after.n_rows) <= size:
            break
        found = candidates(before, after, skeletons.node_level, graphs, size)
        decide(
            graphs.subsample,
            graphs.ug,
            graphs.alpha,
            graphs.neighbours,
            graphs.edges,
            graphs.ancestors,
            graphs.descendants,
            graphs.undecided,
            found.row,
            found.starts,
            found.p,
            found.members,
            found.level,
        )
    directed = np.append(graphs.directed(labels), np.zeros((1, n, n), dtype=bool), axis=0)
    return directed[graphs.cells].sum(axis=0)  # -1, no edges, is the last


def candidates(
    before: Covariances, after: Covariances, node_level: np.ndarray, graphs: Graphs, size: int
) -> Candidates:
    """The sets of this size with p > the lowest alpha_orient, for each variable that some graph of
    its subsample has not decided."""
    from scipy.special import fdtr

    from cdnbench.methods.dci.compiled_orientation import invariant_sets, open_variables

    n0, n1, n = before.n_rows, after.n_rows, before.n_variables
    alpha = float(graphs.alpha.min())
    q, i, allowed, required = open_variables(
        graphs.subsample,
        graphs.ug,
        graphs.neighbours,
        graphs.ancestors,
        graphs.descendants,
        graphs.undecided,
        node_level,
    )
    low, high = critical_f(n0 - size, n1 - size, np.array([1 - alpha / 2, alpha / 2]))
    correction = (n0 / (n0 - size + 1)) / (n1 / (n1 - size + 1))
    parts = []
    together = max(1, _POOL // comb(n, size))
    for begin in range(0, len(q), together):
        some = slice(begin, begin + together)
        owner, members, ratio = invariant_sets(
            before.matrices,
            after.matrices,
            q[some],
            i[some],
            allowed[some],
            required[some],
            size,
            low * (1 - 1e-9),
            high * (1 + 1e-9),
            correction,
        )
        below = fdtr(n0 - size, n1 - size, ratio)
        best = _best(owner, 2 * np.minimum(below, 1 - below), alpha)
        parts.append((owner[best[0]] + begin, members[best[0]], best[1]))
    owner, members, p = (np.concatenate(part) for part in zip(*parts, strict=True))
    row = np.full(node_level.shape, -1)
    row[q, i] = np.arange(len(q))
    level = node_level[q[owner][:, None], members].max(axis=1, initial=0)
    return Candidates(row, np.searchsorted(owner, np.arange(len(q) + 1)), p, members, level)


def _best(owner: np.ndarray, p: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices and p of the candidates with p > alpha: each owner's together, by falling p, at most
    _KEPT."""
    order = np.lexsort((-p, owner))
    order = order[p[order] > alpha]
    place = np.arange(len(order)) - np.searchsorted(owner[order], owner[order])
    order = order[place < _KEPT]
    return order, p[order]


@lru_cache(maxsize=100_000)
def swapped(i: int, j: int) -> bool:
    """Whether causaldag takes the pair i < j as (j, i).

    It puts the two integers into a set, which has an order of its own, and then into another.
    """
    first, _ = frozenset({i, j})
    second = j if first == i else i
    return next(iter(frozenset({first, second}))) != i
