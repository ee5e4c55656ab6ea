"""Enumeration of an equivalence class against trying every orientation."""

from itertools import product

import numpy as np
import pytest

from cdnbench.methods.statistics.equivalence import (
    chain_components,
    is_chordal,
    orientations,
)
from cdnbench.methods.statistics.equivalence import is_acyclic as has_no_cycle


def is_acyclic(dag: np.ndarray) -> bool:
    power = dag.astype(int)
    for _ in range(len(dag)):
        power = power @ dag
    return not power.any()


def slow_orientations(undirected: np.ndarray) -> set[bytes]:
    """All orientations that are acyclic and whose common children have adjacent parents."""
    edges = np.argwhere(np.triu(undirected))
    found = set()
    for flips in product((False, True), repeat=len(edges)):
        dag = np.zeros_like(undirected)
        for (i, j), flip in zip(edges, flips, strict=True):
            dag[(j, i) if flip else (i, j)] = True
        colliders = any(
            not undirected[a, b] for c in range(len(dag)) for a in np.flatnonzero(dag[:, c])
            for b in np.flatnonzero(dag[:, c]) if a < b
        )  # fmt: skip
        if is_acyclic(dag) and not colliders:
            found.add(dag.tobytes())
    return found


def chordal_graph(n: int, rng: np.random.Generator) -> np.ndarray:
    """Each new variable is joined to a clique of earlier ones."""
    graph = np.zeros((n, n), bool)
    for v in range(1, n):
        clique = [int(rng.integers(v))]
        for u in rng.permutation(v):
            if u not in clique and graph[u, clique].all() and rng.random() < 0.6:
                clique.append(int(u))
        graph[v, clique] = graph[clique, v] = True
    return graph


@pytest.mark.parametrize("seed", range(60))
def test_equals_trying_every_orientation(seed):
    rng = np.random.default_rng(seed)
    graph = chordal_graph(int(rng.integers(1, 6)), rng)
    order = rng.permutation(len(graph))
    graph = graph[np.ix_(order, order)]
    found = [dag.tobytes() for dag in orientations(graph)]
    assert len(found) == len(set(found))
    assert set(found) == slow_orientations(graph)


@pytest.mark.parametrize("seed", range(60))
def test_equals_trying_every_orientation_of_any_graph(seed):
    """Most of these are not chordal, and have none."""
    rng = np.random.default_rng(seed)
    edges = np.triu(rng.random((5, 5)) < 0.55, k=1)
    graph = edges | edges.T
    found = {dag.tobytes() for dag in orientations(graph)}
    assert found == slow_orientations(graph) and bool(found) == is_chordal(graph)


@pytest.mark.parametrize("seed", range(60))
def test_cycles_are_found(seed):
    rng = np.random.default_rng(seed)
    directed = np.triu(rng.random((6, 6)) < 0.5, k=1)
    directed[rng.integers(6), rng.integers(3)] = True
    assert has_no_cycle(directed) == is_acyclic(directed)


def test_a_tree_has_one_orientation_a_root_and_a_clique_one_an_order():
    chain = np.eye(7, k=1, dtype=bool) | np.eye(7, k=-1, dtype=bool)
    assert sum(1 for _ in orientations(chain)) == 7
    assert sum(1 for _ in orientations(~np.eye(5, dtype=bool))) == 120


def test_chain_components_ignore_directed_edges():
    cpdag = np.zeros((5, 5), bool)
    cpdag[0, 1] = cpdag[1, 0] = cpdag[1, 2] = cpdag[3, 4] = cpdag[4, 3] = True
    assert chain_components(cpdag) == [[0, 1], [2], [3, 4]]


def test_a_directed_cycle_is_one_component():
    """Directed edges lead 0 -> 1 - 2 -> 3 -> 0; 4 only follows."""
    graph = np.zeros((5, 5), bool)
    graph[0, 1] = graph[1, 2] = graph[2, 1] = graph[2, 3] = graph[3, 0] = graph[3, 4] = True
    assert chain_components(graph) == [[0, 1, 2, 3], [4]]
