"""Random directed acyclic graphs. `A[i, j]` is True where the edge i -> j exists; node labels carry
no order."""

from __future__ import annotations

import numpy as np

from cdnbench.datasets.synthetic.draws import binomial, permutation, subset
from cdnbench.errors import InvalidParameter


def erdos_renyi(rng: np.random.Generator, n_nodes: int, n_edges: int) -> np.ndarray:
    """The graph law of the DCDI generator, which SEA and CDN use: (n_nodes, n_nodes) bool,
    `n_edges` in expectation.

    The node at position i = 0, 1, .. of a random order draws Binomial(n - i - 1, 2 E / (n^2 - n))
    parents uniformly among the nodes after it.
    """
    probability = 2 * n_edges / (n_nodes**2 - n_nodes)
    if not 0 <= probability <= 1:
        raise InvalidParameter(
            f"{n_edges} edges do not fit into an acyclic graph of {n_nodes} nodes."
        )
    adjacency = np.zeros((n_nodes, n_nodes), bool)
    order = permutation(rng, n_nodes)
    for i, node in enumerate(order[:-1]):
        later = order[i + 1 :]
        adjacency[subset(rng, later, binomial(rng, len(later), probability)), node] = True
    return adjacency


def scale_free(rng: np.random.Generator, n_nodes: int, n_edges: int) -> np.ndarray:
    """Preferential attachment (Barabasi and Albert 1999), oriented from old to new: (n_nodes,
    n_nodes) bool.

    The t-th node takes min(t, m) parents among the earlier ones, m = E / N, in proportion to their
    degree + 1, so that a few early nodes become causes of many. E - m (m + 1) / 2 edges. Labels are
    permuted at the end.
    """
    m, rest = divmod(n_edges, n_nodes)
    if rest or m < 1:
        raise InvalidParameter(
            f"A scale-free graph takes a multiple of {n_nodes} edges; got {n_edges}."
        )
    by_age = np.zeros((n_nodes, n_nodes), bool)
    for t in range(1, n_nodes):
        degree = by_age[:t].sum(1) + by_age[:, :t].sum(0)
        by_age[subset(rng, np.arange(t), min(t, m), degree + 1.0), t] = True
    label = permutation(rng, n_nodes)
    adjacency = np.zeros_like(by_age)
    adjacency[np.ix_(label, label)] = by_age
    return adjacency


GRAPHS = {"er": erdos_renyi, "sf": scale_free}


def topological_order(adjacency: np.ndarray) -> np.ndarray:
    """(n,) int: every node after its parents.

    Raises
    ------
    ValueError: the graph has a cycle.
    """
    waiting = adjacency.sum(0)
    ready = list(np.flatnonzero(waiting == 0))
    order = []
    while ready:
        node = ready.pop()
        order.append(node)
        children = np.flatnonzero(adjacency[node])
        waiting[children] -= 1
        ready.extend(children[waiting[children] == 0])
    if len(order) < len(adjacency):
        raise ValueError("the graph has a cycle")
    return np.array(order)
