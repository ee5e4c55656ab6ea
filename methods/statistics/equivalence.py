"""Markov equivalence classes: what is undirected in a CPDAG falls into components that are oriented
independently."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def chain_components(cpdag: np.ndarray) -> list[list[int]]:
    """Variables connected by undirected edges, single ones too; `cpdag[i, j]`: i -> j, or i - j
    where [j, i] as well."""
    undirected = cpdag & cpdag.T
    components, seen = [], set()
    for start in range(len(cpdag)):
        if start in seen:
            continue
        component, frontier = {start}, [start]
        while frontier:
            new = set(np.flatnonzero(undirected[frontier.pop()]).tolist()) - component
            component |= new
            frontier += sorted(new)
        seen |= component
        components.append(sorted(component))
    return components


def orientations(undirected: np.ndarray) -> Iterator[np.ndarray]:
    """Every acyclic orientation without a new v-structure of a chordal graph, as (n, n) bool with
    [i, j]: i -> j.

    Orients one edge both ways and closes under Meek's rules (1995, UAI), which are complete: no
    branch is a dead end.
    """
    graph = undirected.astype(bool)
    open_edges = np.argwhere(np.triu(graph & graph.T))
    if not len(open_edges):
        yield graph
        return
    i, j = open_edges[0]
    for tail, head in ((i, j), (j, i)):
        oriented = graph.copy()
        oriented[head, tail] = False
        yield from orientations(_meek(oriented))


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
