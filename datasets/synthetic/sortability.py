"""How far simple scores give away the causal order of simulated data.

Varsortability: Reisach, Seiler and Weichwald, "Beware of the simulated DAG!" (NeurIPS 2021, section
3.1). R^2-sortability: Reisach, Tami, Seiler, Chambaz and Weichwald, "A scale-invariant sorting
criterion" (NeurIPS 2023, equation 3). 1 means that the score rises along every directed path, 0.5
that it says nothing.
"""

from __future__ import annotations

import numpy as np

# In standardised float32 samples variances differ by rounding alone; such differences are ties.
TIE = 1e-5


def varsortability(samples: np.ndarray, adjacency: np.ndarray) -> float | None:
    """Share of directed paths along which the variance rises. samples: (rows, N); adjacency[i, j]:
    i -> j.

    None where the graph has no edge.
    """
    return order_alignment(adjacency, np.var(np.asarray(samples, np.float64), axis=0))


def r2_sortability(samples: np.ndarray, adjacency: np.ndarray) -> float | None:
    """Share of directed paths along which the R^2 of a variable regressed on all others rises."""
    correlation = np.atleast_2d(np.corrcoef(np.asarray(samples, np.float64), rowvar=False))
    return order_alignment(adjacency, 1 - 1 / np.diag(np.linalg.pinv(correlation, hermitian=True)))


def order_alignment(adjacency: np.ndarray, scores: np.ndarray) -> float | None:
    """Sum over lengths k and pairs (i, j) joined by a path of k edges of [s_i < s_j] + [s_i = s_j]
    / 2, divided by their number."""
    edges = np.asarray(adjacency, bool)
    difference = scores[None, :] - scores[:, None]
    tied = np.abs(difference) <= TIE * np.maximum(np.abs(scores)[None, :], np.abs(scores)[:, None])
    rises = np.where(tied, 0.5, difference > 0)
    paths, n_paths, aligned = edges, 0, 0.0
    while paths.any():
        n_paths += int(paths.sum())
        aligned += float(rises[paths].sum())
        paths = (paths.astype(np.float32) @ edges.astype(np.float32)) > 0
    return aligned / n_paths if n_paths else None
