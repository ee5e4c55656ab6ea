"""Log integrals against dense grids, at widths and places that a fixed quadrature would miss."""

import numpy as np
import pytest
from scipy.integrate import simpson

from cdnbench.datasets.synthetic.interventions import Branch
from cdnbench.datasets.synthetic.likelihoods import log_gaussian_mixture
from cdnbench.datasets.synthetic.quadrature import log_integral


def log_simpson(log_values, grid):
    top = log_values.max()
    return np.log(simpson(np.exp(log_values - top), grid)) + top


@pytest.mark.parametrize("n", [5, 50, 1000, 20_000])
@pytest.mark.parametrize(
    "mean_square", [1e-6, 0.05, 0.159, 0.16, 0.2, 0.24, 0.32, 0.33, 1.0, 50.0, 1e6]
)
def test_variance_integrated_over_its_interval(n, mean_square):
    q = n * mean_square
    # the integrand can live in a sliver at either end: a grid that is dense at both
    u = np.linspace(0, 1, 1_000_001)
    v = 0.16 + 0.16 * (0.5 - 0.5 * np.cos(np.pi * u))
    log_values = -n / 2 * np.log(2 * np.pi * v) - q / (2 * v)
    expected = log_simpson(log_values, v) - np.log(0.16)
    assert float(log_gaussian_mixture(np.array(q), n, 0.16, 0.32)) == pytest.approx(
        expected, rel=1e-9, abs=1e-5
    )


@pytest.mark.parametrize("width", [1e-4, 1e-2, 0.3, 10.0])
@pytest.mark.parametrize("peak", [-3.0, 0.405, 0.5, 1.1, 1.79, 4.0])
def test_one_branch_with_a_peak_of_any_width_and_place(width, peak):
    branch = Branch(1, np.log(1.5), np.log(6), 1.0)
    t = np.linspace(branch.low, branch.high, 2_000_001)
    if abs(np.clip(peak, branch.low, branch.high) - peak) / width > 300:
        pytest.skip("the integrand is a sliver that the grid cannot resolve")
    expected = log_simpson(-0.5 * ((t - peak) / width) ** 2, t) - np.log(branch.high - branch.low)
    found = log_integral(lambda c: -0.5 * ((np.log(c) - peak) / width) ** 2, [branch], (1,))
    assert found[0] == pytest.approx(expected, rel=1e-8, abs=1e-6)


def test_branches_add_up_to_one():
    law = [Branch(1, 0.0, 1.0, 0.5), Branch(-1, -2.0, 3.0, 0.5)]
    assert log_integral(np.zeros_like, law, (2, 3)) == pytest.approx(np.zeros((2, 3)), abs=1e-12)
