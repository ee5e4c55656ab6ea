"""Changes to a task so that the target's own column does not give it away, and the null control."""

from __future__ import annotations

import numpy as np

N_MASKED = 100  # columns that look alike under `column`, the target among them


def marginal(cells: np.ndarray, controls: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give every gene of the perturbed cells (M, N) the distribution that it has in the controls
    (M0, N), by ranks; ties are broken at random.

    What remains of the perturbation is how genes depend on each other.
    """
    masked = np.empty_like(cells)
    sorted_controls = np.sort(controls, axis=0)
    places = ((np.arange(len(cells)) + 0.5) / len(cells) * len(controls)).astype(np.int64)
    for g in range(cells.shape[1]):
        order = np.lexsort((rng.random(len(cells)), cells[:, g]))
        masked[order, g] = sorted_controls[places, g]
    return masked


def halves(controls: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two random halves of the controls."""
    order = rng.permutation(len(controls))
    return controls[order[: len(order) // 2]], controls[order[len(order) // 2 :]]


def column(
    cells: np.ndarray, held_out: np.ndarray, targets: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Replace `N_MASKED` columns of the perturbed cells (M, N) by rows of held-out control cells.

    These are the columns of the targets, (N,) bool, and random others. Returns the masked cells and
    (N,) bool, which columns were replaced: the candidates, none of which differs from the others in
    its own values.
    """
    others = np.flatnonzero(~targets)
    chosen = targets.copy()
    chosen[rng.choice(others, min(N_MASKED - int(targets.sum()), len(others)), replace=False)] = (
        True
    )
    masked = cells.copy()
    rows = rng.integers(0, len(held_out), len(cells))
    masked[:, chosen] = held_out[np.ix_(rows, np.flatnonzero(chosen))]
    return masked, chosen


def null(n_cells: int, held_out: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Control cells in place of the perturbed ones, so that no method can know the target."""
    return held_out[rng.choice(len(held_out), n_cells, replace=n_cells > len(held_out))]
