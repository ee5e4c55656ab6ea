"""The two graphs of GEARS: genes with similar annotations, and genes that vary together.

Both keep the `k` strongest neighbours of a gene plus itself, among those above a threshold. Entry
[i, j] of a graph is the weight of
the edge from j into i: i gathers from j, and a graph need not be symmetric. Ties go to the gene
that comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import sparse

_ROWS_AT_ONCE = 1000


def ontology(matrix: sparse.csr_matrix, k: int, threshold: float) -> sparse.csr_matrix:
    """(G, G) Jaccard similarity of the genes' sets of terms, from matrix (G, T): whether a gene has
    a term."""
    has = sparse.csr_matrix(matrix, dtype=np.float32)
    of_term, sizes = sparse.csr_matrix(has.T), np.diff(has.indptr)
    blocks = []
    for low in range(0, has.shape[0], _ROWS_AT_ONCE):
        common = sparse.coo_matrix(has[low : low + _ROWS_AT_ONCE] @ of_term)
        similarity = common.data / (sizes[low + common.row] + sizes[common.col] - common.data)
        blocks.append(strongest(common.row, common.col, similarity, common.shape, k, threshold))
    return sparse.csr_matrix(sparse.vstack(blocks))


def coexpression(correlation: np.ndarray, k: int, threshold: float) -> sparse.csr_matrix:
    """(G, G) |correlation|. Entries that are NaN are no edges."""
    size = np.abs(np.nan_to_num(correlation))
    row, column = np.nonzero(size > threshold)
    return strongest(row, column, size[row, column], size.shape, k, threshold)


def strongest(
    row: np.ndarray,
    column: np.ndarray,
    value: np.ndarray,
    shape: tuple[int, int],
    k: int,
    threshold: float,
) -> sparse.csr_matrix:
    """The k + 1 largest values above the threshold in each row.

    The gene itself is usually one of them.
    """
    above = value > threshold
    row, column, value = row[above], column[above], value[above]
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    some = place <= k
    return sparse.csr_matrix((value[some], (row[some], column[some])), shape=shape)


def normalised(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """D^-1/2 A D^-1/2 with D the sums of the rows, after edges of weight 1 from each gene to itself
    where it has none (the convolution of Wu et al. 2019, Simplifying graph convolutional networks).
    """
    diagonal = graph.diagonal()
    graph = sparse.csr_matrix(graph + sparse.diags(np.where(diagonal == 0, 1.0, 0.0)))
    scale = sparse.diags(1 / np.sqrt(np.asarray(graph.sum(axis=1)).ravel()))
    return sparse.csr_matrix(scale @ graph @ scale)


Block = tuple[np.ndarray, np.ndarray]  # cells (M, K) and which genes (K,) they were measured on


def correlation(lines: Iterable[Sequence[Block]], n_genes: int) -> np.ndarray:
    """(G, G) Pearson correlation of genes over the cells that have both, about the mean of each
    cell line. NaN where there is none."""
    products, squares = np.zeros((n_genes, n_genes)), np.zeros((n_genes, n_genes))
    for blocks in lines:
        measured, sums, square_sums = (
            np.zeros((len(blocks), n_genes), dtype=np.float64) for _ in range(3)
        )
        for b, (cells, genes) in enumerate(blocks):
            measured[b, genes] = 1
            sums[b, genes] = cells.sum(axis=0, dtype=np.float64)
            square_sums[b, genes] = np.square(cells).sum(axis=0, dtype=np.float64)
            products[np.ix_(genes, genes)] += cells.T @ cells
        n_cells = np.array([len(cells) for cells, _ in blocks])
        both = np.maximum((measured * n_cells[:, None]).T @ measured, 1)
        sum_with = sums.T @ measured  # [i, j]: of gene i, over cells that have j too
        products -= sum_with * sum_with.T / both
        squares += square_sums.T @ measured - sum_with**2 / both
    with np.errstate(divide="ignore", invalid="ignore"):
        return products / np.sqrt(squares * squares.T)
