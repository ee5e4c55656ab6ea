"""Sortability against the definition: every directed path length between every pair, by
enumeration."""

import numpy as np
import pytest

from cdnbench.datasets.synthetic.graphs import GRAPHS
from cdnbench.datasets.synthetic.sortability import order_alignment, r2_sortability, varsortability
from cdnbench.digest import generator


def by_enumeration(adjacency, scores):
    """Lengths of all directed paths by depth-first walks; one vote for each (start, end,
    length)."""
    votes = set()

    def walk(start, node, length):
        for child in np.flatnonzero(adjacency[node]):
            votes.add((start, child, length + 1))
            walk(start, child, length + 1)

    for start in range(len(adjacency)):
        walk(start, start, 0)
    rises = [
        1.0 if scores[i] < scores[j] else 0.5 if scores[i] == scores[j] else 0.0
        for i, j, _ in votes
    ]
    return np.mean(rises) if rises else None


def test_order_alignment_on_hundreds_of_graphs():
    for k in range(200):
        rng = generator("alignment", k)
        adjacency = GRAPHS["er"](rng, 6, 8)
        scores = np.floor(rng.random(6) * 4)  # with ties
        assert order_alignment(adjacency, scores) == pytest.approx(
            by_enumeration(adjacency, scores)
        )


def test_r2_is_that_of_a_regression_on_all_others():
    rng = generator("r2")
    adjacency = GRAPHS["er"](rng, 5, 7)
    x = rng.random((60, 5)) @ (np.eye(5) + rng.random((5, 5)))
    r2 = []
    for i in range(5):
        others = np.column_stack([np.delete(x, i, 1), np.ones(60)])
        residual = x[:, i] - others @ np.linalg.lstsq(others, x[:, i], rcond=None)[0]
        r2.append(1 - residual.var() / x[:, i].var())
    assert r2_sortability(x, adjacency) == pytest.approx(by_enumeration(adjacency, r2))


def test_a_growing_chain_is_sortable_until_it_is_standardised():
    rng = generator("chain")
    chain = np.eye(4, k=1, dtype=bool)
    x = np.cumsum(rng.random((300, 4)), axis=1)
    assert varsortability(x, chain) == 1
    assert varsortability(x[:, ::-1], chain) == 0
    standardised = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
    assert varsortability(standardised, chain) == 0.5
    assert r2_sortability(x, chain) == pytest.approx(r2_sortability(standardised, chain))


def test_without_edges_there_is_nothing_to_sort():
    assert varsortability(np.eye(3), np.zeros((3, 3), bool)) is None
