"""The noise ceiling: correlations of halves, and what they say of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from cdnbench.datasets.cells.noise import noise_ceiling

N_GENES = 60


def screen(strength: float, rng: np.random.Generator, n_perturbations: int = 30, n_cells: int = 40):
    effects = strength * rng.normal(size=(n_perturbations, N_GENES))
    cells = np.repeat(effects, n_cells, axis=0) + rng.normal(size=(n_perturbations * n_cells, N_GENES))
    controls = rng.normal(size=(4000, N_GENES))
    first = np.arange(0, len(cells) + 1, n_cells)
    return effects, sparse.csr_matrix(cells), first, sparse.csr_matrix(controls)


def test_reliability_is_that_of_all_cells():
    """The correlation of two independent screens of the same size, which Spearman-Brown extrapolates from halves."""
    rng = np.random.default_rng(0)
    effects, cells, first, controls = screen(0.2, rng)
    reliability, _ = noise_ceiling(cells, first, controls, rng)
    expected = 0.2**2 / (0.2**2 + 1 / 40 + 1 / 4000)
    assert reliability.mean() == pytest.approx(expected, abs=0.04)
    shifts = np.stack([np.asarray(cells[first[p] : first[p + 1]].mean(axis=0)).ravel() for p in range(len(effects))])
    with_truth = np.mean([np.corrcoef(a, b)[0, 1] ** 2 for a, b in zip(shifts, effects, strict=True)])
    assert reliability.mean() == pytest.approx(with_truth, abs=0.06)


@pytest.mark.parametrize(("strength", "low", "high"), [(0.0, 0.0, 0.12), (1.0, 1.0, 1.0)])
def test_retrieval_is_at_chance_without_effects_and_perfect_with_strong_ones(strength, low, high):
    rng = np.random.default_rng(1)
    _, cells, first, controls = screen(strength, rng)
    _, retrieval = noise_ceiling(cells, first, controls, rng)
    assert low <= retrieval.mean() <= high


def test_a_single_cell_has_no_halves():
    rng = np.random.default_rng(2)
    _, cells, _, controls = screen(1.0, rng, n_perturbations=2, n_cells=3)
    reliability, retrieval = noise_ceiling(cells, np.array([0, 1, 6]), controls, rng)
    assert np.isnan(reliability[0]) and np.isnan(retrieval[0]) and np.isfinite(reliability[1])
