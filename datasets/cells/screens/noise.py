"""How far the cells at hand determine a perturbation's profile: the noise ceiling.

The cells of every perturbation and the control cells are split into random halves, A and B,
`SPLITS` times:

    reliability   2 r / (1 + r) (Spearman-Brown), where r is the mean Pearson correlation over genes
                  of the shifts in A and in B, at least 0. It is the correlation that a perfect
                  prediction of the profile could be expected to reach.
    retrieval     share of the splits in which the half B is nearest to its own half A, among the
                  halves A of all perturbations
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from scipy import sparse

SPLITS, AT_ONCE = 20, 4


def noise_ceiling(
    perturbations: Callable[[], Iterable[sparse.csr_matrix]],
    controls: sparse.csr_matrix,
    rng: np.random.Generator,
    splits: int = SPLITS,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Reliability (P,) and retrieval (P,) of P perturbations; NaN for those with a single cell.

    perturbations: called once every `AT_ONCE` splits, returns the cells (M, G) of each.
    """
    correlations, nearest = [], []
    for first in range(0, splits, AT_ONCE):
        progress(first, splits)
        n = min(AT_ONCE, splits - first)
        halves = np.stack([_halves(cells, rng, n) for cells in perturbations()]) - _halves(
            controls, rng, n
        )
        for k in range(n):
            similar = _unit(halves[:, 1, k]) @ _unit(halves[:, 0, k]).T
            correlations.append(np.diag(similar))
            nearest.append(
                np.where(np.isnan(similar), -np.inf, similar).argmax(axis=1)
                == np.arange(len(similar))
            )
    r = np.maximum(np.mean(correlations, axis=0), 0.0)
    return 2 * r / (1 + r), np.where(np.isnan(r), np.nan, np.mean(nearest, axis=0))


def _halves(cells: sparse.csr_matrix, rng: np.random.Generator, splits: int) -> np.ndarray:
    """(2, splits, G) float32 means of a random half of the cells, and of the others; NaN for a
    single cell."""
    n = cells.shape[0]
    if n < 2:
        return np.full((2, splits, cells.shape[1]), np.nan, dtype=np.float32)
    first = np.argsort(rng.random((splits, n)), axis=1) < n // 2
    weights = np.concatenate([first / (n // 2), ~first / (n - n // 2)])
    return (weights @ cells).astype(np.float32).reshape(2, splits, -1)


def _unit(shifts: np.ndarray) -> np.ndarray:
    centred = shifts - shifts.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
