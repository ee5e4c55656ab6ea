import numpy as np
import pytest
from scipy import stats

from cdnbench.prediction.tails import pareto_of, tail_p

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [0.0, 0.1, 0.3])
def test_shape_and_scale_of_a_pareto_law_are_found(shape):
    drawn = stats.genpareto(shape, scale=2.0).rvs(200_000, random_state=1)
    found = pareto_of(drawn)
    np.testing.assert_allclose(found, (shape, 2.0), atol=0.03)


@pytest.mark.parametrize(
    "law", [stats.expon(), stats.gamma(3), stats.gumbel_r(), stats.genpareto(0.1), stats.t(20)]
)
@pytest.mark.parametrize("p", [1e-4, 1e-5, 1e-6])
def test_extends_known_laws(law, p):
    """The median over samples of the null, each of 1,999."""
    found = [tail_p(law.rvs(1999, random_state=seed), float(law.isf(p)))[0] for seed in range(40)]
    assert 0.2 < np.median(found) / p < 12


@pytest.mark.parametrize("law", [stats.norm(), stats.uniform()])
def test_light_tails_give_p_values_that_are_too_large_not_too_small(law):
    found = [tail_p(law.rvs(1999, random_state=s), float(law.isf(1e-5)))[0] for s in range(40)]
    assert np.median(found) >= 1e-5


def test_many_above_are_counted():
    null = np.arange(1000.0)
    assert tail_p(null, 900.0) == (101 / 1001, False)


def test_statistics_that_differ_by_rounding_are_equal():
    null = np.full(1000, 5.0) * (1 + 1e-7 * RNG.normal(size=1000))
    p, fitted = tail_p(null, 5.000001)
    assert p == 1 and not fitted


def test_no_p_value_is_below_the_floor():
    null = RNG.exponential(size=1999)
    assert tail_p(null, 1e6, floor=1e-7) == (1e-7, True)


def test_a_null_of_equal_statistics_has_no_tail():
    assert tail_p(np.zeros(1999), 3.0) == (1 / 2000, False)
