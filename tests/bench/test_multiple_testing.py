import numpy as np
from scipy import stats

from cdnbench.multiple_testing import q_values, simes


def test_q_values_with_ties_are_those_of_scipy():
    p = np.array([0.04, 0.01, 0.04, 1.0, 0.2, 0.01])
    np.testing.assert_allclose(q_values(p), stats.false_discovery_control(p))


def test_what_could_not_be_tested_stays_nan_and_is_no_test():
    p = np.array([0.04, np.nan, 0.01, np.nan])
    np.testing.assert_allclose(q_values(p), [0.04, np.nan, 0.02, np.nan])
    assert np.isnan(q_values(np.full(3, np.nan))).all()
    assert q_values(np.array([])).shape == (0,)


def test_simes_is_uniform_for_independent_tests():
    p = np.random.default_rng(0).random((2000, 7))
    assert stats.kstest([simes(row) for row in p], "uniform").pvalue > 0.01
    assert np.isnan(simes(np.full(3, np.nan)))
