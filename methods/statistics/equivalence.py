"""Markov equivalence classes: what is undirected in a CPDAG falls into components that are oriented
independently."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def chain_components(cpdag: np.ndarray) -> list[list[int]]:
    """Variables connected by undirected edges, single ones too; `cpdag[i, j]`: i -> j, or i - j
    where [j, i] as well.

    Searches on samples also return graphs of no DAG. There, what directed edges join in a cycle is
    one component, because it cannot be oriented independently.
    """
    reached = cpdag | np.eye(len(cpdag), dtype=bool)
    for k in range(len(cpdag)):
        reached |= reached[:, [k]] & reached[k]
    together = reached & reached.T
    firsts = np.unique(together.argmax(axis=1))
    return [np.flatnonzero(together[first]).tolist() for first in firsts]


def is_acyclic(directed: np.ndarray) -> bool:
    """Whether no path of directed edges, `directed[i, j]`: i -> j, leads back to where it began."""
    left = np.ones(len(directed), bool)
    while (sources := left & ~directed[left].any(axis=0)).any():
        left &= ~sources
    return not left.any()


def is_chordal(undirected: np.ndarray) -> bool:
    """Whether every cycle of four variables or more has a chord.

    If so, and only then, the neighbours that a maximum cardinality search has visited before a
    variable are adjacent to each other (Tarjan, Yannakakis 1984, SIAM Journal on Computing 13).
    """
    visited, n_visited = np.zeros(len(undirected), bool), np.zeros(len(undirected))
    for _ in range(len(undirected)):
        v = int(np.argmax(np.where(visited, -1, n_visited)))
        before = np.flatnonzero(undirected[v] & visited)
        if np.count_nonzero(undirected[np.ix_(before, before)]) < len(before) * (len(before) - 1):
            return False
        visited[v] = True
        n_visited += undirected[v]
    return True


def orientations(undirected: np.ndarray) -> Iterator[np.ndarray]:
    """Every acyclic orientation without a new v-structure, as (n, n) bool with [i, j]: i -> j. A
    graph that is not chordal has none.

    Orients one edge both ways and closes under Meek's rules (1995, UAI), which are complete on
    chordal graphs: no branch is a dead end.
    """
    if is_chordal(undirected):
        yield from _oriented(undirected.astype(bool))


def _oriented(graph: np.ndarray) -> Iterator[np.ndarray]:
    open_edges = np.argwhere(np.triu(graph & graph.T))
    if not len(open_edges):
        yield graph
        return
    i, j = open_edges[0]
    for tail, head in ((i, j), (j, i)):
        oriented = graph.copy()
        oriented[head, tail] = False
        yield from _oriented(_meek(oriented))


def _meek(graph: np.ndarray) -> np.ndarray:
    """The graph with every edge oriented that acyclicity and the absence of new v-structures
    decide."""
    graph = graph.copy()
    while True:
        undirected = graph & graph.T
        directed = graph & ~graph.T
        adjacent = graph | graph.T
        for a, b in np.argwhere(undirected):
            into_b = directed[:, b]
            beside_a = undirected[a] & into_b
            first = (directed[:, a] & ~adjacent[:, b]).any()  # c -> a - b, c and b not adjacent
            second = (directed[a] & into_b).any()  # a -> c -> b
            third = np.flatnonzero(beside_a)  # a - c -> b and a - d -> b, c and d not adjacent
            third = any(not adjacent[c, d] for c in third for d in third if c < d)
            # a - c -> d -> b, a and d adjacent, c and b not adjacent
            fourth = undirected[a] & ~adjacent[b] & (directed[:, into_b & adjacent[a]]).any(axis=1)
            fourth[b] = False
            if first or second or third or fourth.any():
                graph[b, a] = False
                break
        else:
            return graph
