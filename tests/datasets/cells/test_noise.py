"""The noise ceiling: correlations of halves, and what they say of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from cdnbench.datasets.cells.screens.noise import noise_ceiling

N_GENES = 60


def screen(strength: float, rng: np.random.Generator, n_perturbations: int = 30, n_cells: int = 40):
    effects = strength * rng.normal(size=(n_perturbations, N_GENES))
    cells = np.repeat(effects, n_cells, axis=0) + rng.normal(
        size=(n_perturbations * n_cells, N_GENES)
    )
    controls = rng.normal(size=(4000, N_GENES))
    perturbed = [sparse.csr_matrix(x) for x in np.split(cells, n_perturbations)]
    return effects, perturbed, sparse.csr_matrix(controls)


def test_reliability_is_that_of_all_cells():
    """The correlation of two independent screens of the same size, which Spearman-Brown
    extrapolates from halves."""
    rng = np.random.default_rng(0)
    effects, perturbed, controls = screen(0.2, rng)
    reliability, _ = noise_ceiling(lambda: perturbed, controls, rng)
    expected = 0.2**2 / (0.2**2 + 1 / 40 + 1 / 4000)
    assert reliability.mean() == pytest.approx(expected, abs=0.04)
    shifts = np.stack([np.asarray(cells.mean(axis=0)).ravel() for cells in perturbed])
    with_truth = np.mean(
        [np.corrcoef(a, b)[0, 1] ** 2 for a, b in zip(shifts, effects, strict=True)]
    )
    assert reliability.mean() == pytest.approx(with_truth, abs=0.06)


@pytest.mark.parametrize(("strength", "low", "high"), [(0.0, 0.0, 0.12), (1.0, 1.0, 1.0)])
def test_retrieval_is_at_chance_without_effects_and_perfect_with_strong_ones(strength, low, high):
    rng = np.random.default_rng(1)
    _, perturbed, controls = screen(strength, rng)
    _, retrieval = noise_ceiling(lambda: perturbed, controls, rng)
    assert low <= retrieval.mean() <= high


def test_a_single_cell_has_no_halves():
    rng = np.random.default_rng(2)
    _, (one, other), controls = screen(1.0, rng, n_perturbations=2, n_cells=5)
    reliability, retrieval = noise_ceiling(lambda: [one[:1], other], controls, rng)
    assert (
        np.isnan(reliability[0])
        and np.isnan(retrieval[0])
        and reliability[1] > 0.5
        and retrieval[1] == 1
    )
