"""Log tail probabilities against scipy where it has digits, and against many-digit arithmetic where
it has none."""

import numpy as np
import pytest
from scipy import stats

from cdnbench.methods.statistics.tails import log_f_cdf, log_f_sf, log_f_two_sided


@pytest.mark.parametrize("df1, df2", [(1, 1), (3, 7), (20, 950), (969, 969), (5e4, 200)])
def test_agrees_with_scipy_where_it_does_not_underflow(df1, df2):
    statistic = np.geomspace(1e-3, 1e3, 61)
    sf, cdf = stats.f.sf(statistic, df1, df2), stats.f.cdf(statistic, df1, df2)
    for log_p, p in ((log_f_sf(statistic, df1, df2), sf), (log_f_cdf(statistic, df1, df2), cdf)):
        normal = p > 1e-280
        np.testing.assert_allclose(log_p[normal], np.log(p[normal]), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "statistic, df1, df2", [(36.0, 969, 969), (1e9, 969, 960), (200.0, 10, 1e4), (1e12, 2, 300)]
)
def test_agrees_with_many_digits_where_scipy_underflows(statistic, df1, df2):
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(50):
        x = mpmath.mpf(df2) / (df2 + mpmath.mpf(df1) * statistic)
        expected = float(
            mpmath.log(
                mpmath.betainc(mpmath.mpf(df2) / 2, mpmath.mpf(df1) / 2, 0, x, regularized=True)
            )
        )
    assert float(log_f_sf(np.array(statistic), df1, df2)) == pytest.approx(expected, rel=1e-9)
    assert float(log_f_cdf(np.array(1 / statistic), df2, df1)) == pytest.approx(expected, rel=1e-9)


def test_is_monotone_through_the_switch():
    statistic = np.linspace(3.0, 60.0, 2000)
    log_p = log_f_sf(statistic, 969, 969)
    assert log_p[0] > np.log(1e-290) > log_p[-1]
    assert (np.diff(log_p) < 0).all() and np.isfinite(log_p).all()


def test_two_sided_is_at_most_one():
    median = stats.f.median(30, 40)
    assert float(log_f_two_sided(np.array(median), 30, 40)) == pytest.approx(0.0, abs=1e-9)


def test_zero_statistic():
    assert float(log_f_sf(np.array(0.0), 3, 5)) == 0.0
