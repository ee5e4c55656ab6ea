"""How far the cells at hand determine a perturbation's profile: the noise ceiling.

The cells of every perturbation and the control cells are split into random halves, A and B, `SPLITS` times:

    reliability   mean Pearson correlation r over genes of the shift in A with the shift in B, for all cells: 2 r / (1 + r)
                  (Spearman-Brown), the correlation that a perfect prediction of the profile could be expected to reach
    retrieval     share of the splits in which, of the halves A of all perturbations, its own is nearest to its half B
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import sparse

SPLITS = 20


def noise_ceiling(
    perturbations: Iterable[sparse.csr_matrix],
    controls: sparse.csr_matrix,
    rng: np.random.Generator,
    splits: int = SPLITS,
) -> tuple[np.ndarray, np.ndarray]:
    """Reliability and retrieval (P,), (P,) of perturbations with the cells (M, G) each. NaN for a perturbation of a single cell."""
    pairs = [_halves(cells, rng, splits) for cells in perturbations]
    still = _halves(controls, rng, splits)
    r, nearest = (np.empty((splits, len(pairs))) for _ in range(2))
    for k in range(splits):
        a, b = (_unit(np.stack([pair[side, k] for pair in pairs]) - still[side, k]) for side in (0, 1))
        similar = b @ a.T
        r[k] = np.diag(similar)
        nearest[k] = np.where(np.isnan(similar), -np.inf, similar).argmax(axis=1) == np.arange(len(pairs))
    r = r.mean(axis=0)
    return 2 * r / (1 + r), np.where(np.isnan(r), np.nan, nearest.mean(axis=0))


def _halves(cells: sparse.csr_matrix, rng: np.random.Generator, splits: int) -> np.ndarray:
    """(2, splits, G) float32 means of a random half of the cells, and of the others; NaN for a single cell."""
    n = cells.shape[0]
    if n < 2:
        return np.full((2, splits, cells.shape[1]), np.nan, dtype=np.float32)
    first = np.argsort(rng.random((splits, n)), axis=1) < n // 2
    weights = np.concatenate([first / (n // 2), ~first / (n - n // 2)])
    return (weights @ cells).astype(np.float32).reshape(2, splits, -1)


def _unit(shifts: np.ndarray) -> np.ndarray:
    centred = shifts - shifts.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
