"""How far the cells at hand determine a perturbation's profile: the noise ceiling.

The cells of every perturbation and the control cells are split into random halves, A and B, `SPLITS` times:

    reliability   mean Pearson correlation r over genes of the shift in A with the shift in B, for all cells: 2 r / (1 + r)
                  (Spearman-Brown), the correlation that a perfect prediction of the profile could be expected to reach
    retrieval     share of the splits in which, of the halves A of all perturbations, its own is nearest to its half B
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

SPLITS = 20


def noise_ceiling(
    cells: sparse.csr_matrix,
    first: np.ndarray,
    controls: sparse.csr_matrix,
    rng: np.random.Generator,
    splits: int = SPLITS,
) -> tuple[np.ndarray, np.ndarray]:
    """Reliability and retrieval (P,), (P,) of the perturbations with the cells (M, G) first[p] .. first[p + 1] - 1.

    NaN for a perturbation of a single cell.
    """
    r, nearest = (np.zeros((splits, len(first) - 1)) for _ in range(2))
    for k in range(splits):
        a, b = (
            moved - still
            for moved, still in zip(
                _halves(cells, first, rng), _halves(controls, np.array([0, controls.shape[0]]), rng), strict=True
            )
        )
        similar = _unit(b) @ _unit(a).T
        r[k], nearest[k] = np.diag(similar), similar.argmax(axis=1) == np.arange(len(similar))
    single = np.diff(first) < 2
    r = r.mean(axis=0)
    return np.where(single, np.nan, 2 * r / (1 + r)), np.where(single, np.nan, nearest.mean(axis=0))


def _halves(cells: sparse.csr_matrix, first: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Means (P, G) of a random half of each group of cells, and of the other half."""
    sizes = np.diff(first)
    group = np.repeat(np.arange(len(sizes)), sizes)
    shuffled = np.lexsort((rng.random(len(group)), group))
    second = np.empty(len(group), dtype=bool)
    second[shuffled] = np.arange(len(group)) - first[group] >= np.repeat(sizes // 2, sizes)
    means = []
    for half in (~second, second):
        rows = np.flatnonzero(half)
        counts = np.bincount(group[rows], minlength=len(sizes))
        weights = sparse.csr_matrix((1 / counts[group[rows]], (group[rows], rows)), shape=(len(sizes), len(group)))
        means.append(np.asarray((weights @ cells).todense()))
    return means[0], means[1]


def _unit(shifts: np.ndarray) -> np.ndarray:
    centred = shifts - shifts.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
