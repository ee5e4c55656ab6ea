"""PC on bit planes, step by step in the order of causal-learn 0.1.4.8 (`pc` with its default
arguments).

Unshielded colliders are oriented by separating sets, and the earlier one wins a conflict. Then
Meek's rules 1 to 3 (Meek, 1995) follow, which never close a directed cycle as far as causal-learn's
table of ancestors knows. That table is updated in steps that miss some ancestors, and is rebuilt
only when a directed edge is removed; ours is the same, entry by entry.
"""

from __future__ import annotations

from itertools import combinations

from cdnbench.methods.cdn.paper.bit_planes import Mark, MixedGraphs, Planes
from cdnbench.methods.cdn.paper.skeleton import Node, SeparatingSets, Tests, skeleton


def pc(tests: Tests) -> MixedGraphs:
    """The graph of tails and arrows of every batch element."""
    adjacent, separators = skeleton(tests)
    graphs = MixedGraphs(adjacent, Mark.TAIL)
    ancestors = Ancestors(tests.k, tests.everywhere)
    orient_colliders(graphs, ancestors, separators)
    meek(graphs, ancestors)
    return graphs


class Ancestors:
    """`of[j][i]`: i is on record as an ancestor of j."""

    def __init__(self, k: int, everywhere: int) -> None:
        self.k = k
        self.of: Planes = [[everywhere if i == j else 0 for j in range(k)] for i in range(k)]

    def add(self, i: Node, j: Node, where: int) -> None:
        """Record i -> j: the ancestors of i become those of j, and i becomes an ancestor of what
        descends from j. Each entry sees the changes before it."""
        of = self.of
        of[j][i] |= where
        for node in range(self.k):
            of[j][node] |= of[i][node] & where
            of[node][i] |= of[node][j] & where

    def rebuild(self, graphs: MixedGraphs, where: int) -> None:
        """Forget everything, then record the directed edges, last pair of nodes first."""
        fresh = Ancestors(self.k, where)
        for i, j in reversed(list(combinations(range(self.k), 2))):
            fresh.add(i, j, graphs.parent(i, j) & where)
            fresh.add(j, i, graphs.parent(j, i) & where)
        for row, fresh_row in zip(self.of, fresh.of, strict=True):
            for node in range(self.k):
                row[node] ^= (row[node] ^ fresh_row[node]) & where


def orient_colliders(graphs: MixedGraphs, ancestors: Ancestors, separators: SeparatingSets) -> None:
    """Orient x -> y <- z where x and z are not adjacent, y is not in their separating set, and
    neither y -> x nor y -> z is oriented already."""
    for y in range(graphs.k):
        for x, z in combinations([node for node in range(graphs.k) if node != y], 2):
            collider = graphs.apart(x, z, graphs.adjacent[x][y] & graphs.adjacent[z][y])
            collider ^= collider & (
                separators.members[x][z][y] | graphs.parent(y, x) | graphs.parent(y, z)
            )
            if collider:
                for parent in (x, z):
                    if again := collider & graphs.parent(parent, y):
                        graphs.put_tail(parent, y, again)
                        ancestors.rebuild(graphs, again)
                    graphs.direct(parent, y, collider)
                    ancestors.add(parent, y, collider)


def meek(graphs: MixedGraphs, ancestors: Ancestors) -> None:
    """Meek's rules, in rounds until no element changes.

    causal-learn lists the triples once, beforehand: those that begin with a then undirected edge
    come before those that begin with a directed one (`start`).
    """
    k = graphs.k
    nodes = range(k)
    undirected = [[graphs.tail[i][j] & graphs.tail[j][i] for j in nodes] for i in nodes]
    directed = [[graphs.parent(i, j) for j in nodes] for i in nodes]
    start = (undirected, directed)
    changed = True
    while changed:
        changed = False
        for first in start:
            for j in nodes:
                for i in nodes:
                    if (chain := first[i][j] & graphs.parent(i, j)) and i != j:
                        for m in nodes:
                            if m not in (i, j):
                                changed |= _direct(
                                    graphs, ancestors, j, m, graphs.apart(i, m, chain)
                                )
                                chain = first[i][j] & graphs.parent(i, j)
        for first in start:
            for j in nodes:
                for i in nodes:
                    if first[i][j] & graphs.parent(i, j):
                        for second in start:
                            for m in nodes:
                                chain = (
                                    first[i][j]
                                    & second[j][m]
                                    & graphs.parent(i, j)
                                    & graphs.parent(j, m)
                                )
                                changed |= _direct(graphs, ancestors, i, m, chain)
        for j in nodes:
            for i in nodes:
                if undirected[i][j]:
                    for second in start:
                        for m in nodes:
                            for other in range(j + 1, k):
                                kite = second[j][m] & graphs.parent(j, m) & graphs.parent(other, m)
                                kite = graphs.apart(j, other, kite)
                                for side in (j, other):
                                    kite &= graphs.tail[i][side] & graphs.tail[side][i]
                                changed |= _direct(graphs, ancestors, i, m, kite)


def _direct(graphs: MixedGraphs, ancestors: Ancestors, i: Node, j: Node, where: int) -> bool:
    """Orient i -> j where the edge is undirected and j is not on record as an ancestor of i;
    returns whether that was anywhere."""
    where &= graphs.tail[i][j] & graphs.tail[j][i]
    where ^= where & ancestors.of[i][j]
    graphs.direct(i, j, where)
    ancestors.add(i, j, where)
    return where != 0
