"""Random graphs of worlds. `A[i, j]` is True where the edge i -> j exists; labels carry no order.

Every law takes (rng, n_nodes, density), density being the expected number of edges per node, and
returns an acyclic graph. `with_cycles` adds feedback.
"""

from __future__ import annotations

import numpy as np

_BACK_EDGES = 0.12
"""Feedback edges per edge of the acyclic graph, at least one."""


def erdos_renyi(rng: np.random.Generator, n_nodes: int, density: float) -> np.ndarray:
    """Every pair of a random order is an edge with equal probability."""
    probability = min(1.0, 2 * density / max(n_nodes - 1, 1))
    return _shuffled(rng, np.triu(rng.random((n_nodes, n_nodes)) < probability, 1))


def scale_free(rng: np.random.Generator, n_nodes: int, density: float) -> np.ndarray:
    """Preferential attachment, oriented from old to new: a few nodes are causes of many."""
    ordered = np.zeros((n_nodes, n_nodes), bool)
    degree = np.ones(n_nodes)
    for node in range(1, n_nodes):
        count = min(node, max(1, rng.poisson(density)))
        clocks = rng.exponential(size=node) / degree[:node]
        parents = np.argsort(clocks)[:count]
        ordered[parents, node] = True
        degree[parents] += 1
        degree[node] += count
    return _shuffled(rng, ordered)


def modular(rng: np.random.Generator, n_nodes: int, density: float) -> np.ndarray:
    """Modules of 3 to 10 nodes that hold four fifths of the edges."""
    module = np.repeat(np.arange(n_nodes), rng.integers(3, 11, n_nodes))[:n_nodes]
    module = module[rng.permutation(n_nodes)]
    upper = np.triu(np.ones((n_nodes, n_nodes), bool), 1)
    inside = (module[:, None] == module[None, :]) & upper
    outside = upper & ~inside
    edges = density * n_nodes
    probability = np.where(
        inside, 0.8 * edges / max(inside.sum(), 1), 0.2 * edges / max(outside.sum(), 1)
    )
    return _shuffled(rng, upper & (rng.random(upper.shape) < probability))


def layered(rng: np.random.Generator, n_nodes: int, density: float) -> np.ndarray:
    """A plant or a call graph: layers of 1 to 4 nodes, parents mostly in the layer before.

    Every node below the first layer has a parent, so effects travel far.
    """
    layer = np.repeat(np.arange(n_nodes), rng.integers(1, 5, n_nodes))[:n_nodes]
    gap = layer[None, :] - layer[:, None]
    weight = np.where(gap == 1, 1.0, np.where(gap > 1, 0.1, 0.0))
    ordered = np.zeros((n_nodes, n_nodes), bool)
    for node in np.flatnonzero(layer > 0):
        parents = np.flatnonzero(weight[:, node])
        count = min(len(parents), 1 + rng.poisson(max(density - 1, 0.2)))
        clocks = rng.exponential(size=len(parents)) / weight[parents, node]
        ordered[parents[np.argsort(clocks)[:count]], node] = True
    return _shuffled(rng, ordered)


def regulators(rng: np.random.Generator, n_nodes: int, density: float) -> np.ndarray:
    """A regulatory network: a quarter of the nodes act on many, the rest on none."""
    n_regulators = max(1, round(n_nodes * rng.uniform(0.1, 0.4)))
    reach = rng.pareto(2.0, n_regulators) + 0.3
    probability = np.minimum(0.6, reach / reach.sum() * density)
    ordered = np.zeros((n_nodes, n_nodes), bool)
    ordered[:n_regulators] = rng.random((n_regulators, n_nodes)) < probability[:, None]
    return _shuffled(rng, np.triu(ordered, 1))


def with_cycles(rng: np.random.Generator, adjacency: np.ndarray) -> np.ndarray:
    """The graph with feedback: edges from nodes back to their ancestors, never i <-> j.

    A graph without a path of two edges has no room for feedback and comes back as it is.
    """
    reach = ancestors(adjacency)
    room = reach.T & ~adjacency & ~adjacency.T
    rows, columns = np.nonzero(room)
    if not len(rows):
        return adjacency
    count = min(len(rows), max(1, round(_BACK_EDGES * adjacency.sum())))
    chosen = rng.permutation(len(rows))[:count]
    cyclic = adjacency.copy()
    cyclic[rows[chosen], columns[chosen]] = True
    return cyclic


def ancestors(adjacency: np.ndarray) -> np.ndarray:
    """(n, n) bool: [i, j] where a directed path leads from i to j."""
    reach = adjacency.copy()
    while True:
        longer = reach | (reach.astype(np.float32) @ reach.astype(np.float32) > 0)
        if (longer == reach).all():
            return reach
        reach = longer


def sweep_order(adjacency: np.ndarray) -> np.ndarray:
    """(n,) int: parents before children as far as cycles allow."""
    waiting = adjacency.sum(0).astype(int)
    left = np.ones(len(adjacency), bool)
    order = []
    while left.any():
        node = int(np.argmin(np.where(left, waiting, np.iinfo(int).max)))
        order.append(node)
        left[node] = False
        waiting[adjacency[node]] -= 1
    return np.array(order)


def _shuffled(rng: np.random.Generator, ordered: np.ndarray) -> np.ndarray:
    label = rng.permutation(len(ordered))
    return ordered[np.ix_(label, label)]


GRAPHS = {
    "er": erdos_renyi,
    "sf": scale_free,
    "modular": modular,
    "layered": layered,
    "regulators": regulators,
}
