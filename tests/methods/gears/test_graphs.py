"""The graphs against obvious loops."""

import numpy as np
import pytest
from scipy import sparse

from cdnbench.methods.gears import graphs


def neighbours(similarity: np.ndarray, k: int, threshold: float) -> np.ndarray:
    """The k + 1 largest entries of each row above the threshold, the first of equals."""
    kept = np.zeros_like(similarity)
    for i, row in enumerate(similarity):
        for j in sorted(range(len(row)), key=lambda j: (-row[j], j))[: k + 1]:
            if row[j] > threshold:
                kept[i, j] = row[j]
    return kept


def test_ontology(monkeypatch):
    monkeypatch.setattr(graphs, "_ROWS_AT_ONCE", 7)
    has = np.random.default_rng(0).random((30, 12)) < 0.3
    has[:, 0] |= ~has.any(axis=1)
    sets = [set(np.flatnonzero(row)) for row in has]
    jaccard = np.array([[len(a & b) / len(a | b) for b in sets] for a in sets])
    found = graphs.ontology(sparse.csr_matrix(has), 3, 0.2).toarray()
    np.testing.assert_allclose(found, neighbours(jaccard, 3, 0.2), atol=1e-7)


def test_coexpression():
    x = np.random.default_rng(1).normal(size=(20, 5)) @ np.random.default_rng(2).normal(size=(5, 9))
    found = graphs.coexpression(np.corrcoef(x.T), 2, 0.4).toarray()
    np.testing.assert_allclose(found, neighbours(np.abs(np.corrcoef(x.T)), 2, 0.4), atol=1e-12)


def test_correlation_is_about_the_mean_of_each_line_over_the_cells_that_have_both_genes():
    rng = np.random.default_rng(3)
    lines = [
        [
            (rng.normal(level, 1, (40, 4)), np.array([0, 1, 2, 4])),
            (rng.normal(level, 1, (30, 3)), np.array([4, 1, 3])),
        ]
        for level in (0.0, 5.0)
    ]
    products = np.zeros((5, 5, 3))
    for blocks in lines:
        for i in range(5):
            for j in range(5):
                both = [
                    cells[:, [*genes].index(g)]
                    for cells, genes in blocks
                    for g in (i, j)
                    if {i, j} <= {*genes}
                ]
                if both:
                    a, b = np.concatenate(both[::2]), np.concatenate(both[1::2])
                    a, b = a - a.mean(), b - b.mean()
                    products[i, j] += (a @ b, a @ a, b @ b)
    with np.errstate(invalid="ignore"):
        expected = products[..., 0] / np.sqrt(products[..., 1] * products[..., 2])
    found = graphs.correlation(lines, 5)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert np.isnan(found[0, 3]) and abs(found[0, 1]) < 0.4


def test_normalised_rows_with_and_without_edges():
    graph = sparse.csr_matrix(np.array([[1.0, 0.5, 0], [0.5, 1.0, 0], [0, 0, 0]]))
    found = graphs.normalised(graph).toarray()
    np.testing.assert_allclose(found, [[1 / 1.5, 0.5 / 1.5, 0], [0.5 / 1.5, 1 / 1.5, 0], [0, 0, 1]])


def test_a_graph_without_edges_leaves_each_gene_to_itself():
    np.testing.assert_array_equal(
        graphs.normalised(graphs.coexpression(np.full((3, 3), np.nan), 2, 0.4)).toarray(), np.eye(3)
    )


@pytest.mark.parametrize("k", [0, 1, 5])
def test_ties_go_to_the_first(k):
    found = graphs.coexpression(np.ones((4, 4)), k, 0.4).toarray()
    np.testing.assert_array_equal(found, (np.arange(4) <= k)[None].repeat(4, axis=0))
