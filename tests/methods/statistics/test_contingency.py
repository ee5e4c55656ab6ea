"""Binned tests against scikit-learn's bins and scipy's contingency tables."""

import numpy as np
import pytest
from scipy import stats
from sklearn.preprocessing import KBinsDiscretizer

from cdnbench.methods.statistics.contingency import (
    kmeans_bins,
    log_chi2_sf,
    log_p_independent,
    quantile_bins,
)


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_bins_equal_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [
            rng.normal(size=400),
            rng.exponential(size=400),
            rng.normal(size=400) + 6 * rng.integers(2, size=400),
        ]
    )
    theirs = KBinsDiscretizer(5, encode="ordinal", strategy="kmeans").fit_transform(x)
    agreement = (kmeans_bins(x, 5) == theirs).mean(axis=0)
    assert agreement.min() > 0.99, "up to a row at a border, from the stopping tolerance"


def test_bins_of_constant_and_few_valued_columns():
    x = np.column_stack([np.ones(50), np.arange(50) % 2, np.r_[np.zeros(49), 1e9]])
    for bins in (kmeans_bins(x, 5), quantile_bins(x, 5)):
        assert bins.min() >= 0 and bins.max() < 5
        assert np.ptp(bins[:, 0]) == 0
    assert len(np.unique(kmeans_bins(x, 5)[:, 1])) == 2


def test_quantile_bins_have_equal_counts():
    bins = quantile_bins(np.random.default_rng(0).normal(size=(1000, 2)), 4)
    assert (np.apply_along_axis(np.bincount, 0, bins) == 250).all()


def slow_log_p(group, column, strata, n_bins):
    """Pearson's chi-square of each stratum's table without its empty rows and columns, added up."""
    statistic, degrees = 0.0, 0
    for k in np.unique(strata):
        table = np.zeros((2, n_bins))
        np.add.at(table, (group[strata == k], column[strata == k]), 1)
        table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
        if min(table.shape) > 1:
            result = stats.chi2_contingency(table, correction=False)
            statistic, degrees = statistic + result.statistic, degrees + result.dof
    return stats.chi2.logsf(statistic, degrees) if degrees else 0.0


@pytest.mark.parametrize("seed", range(10))
def test_equals_one_table_at_a_time(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(10, 200))
    group, strata = rng.integers(2, size=n), rng.integers(6, size=n)
    bins = np.minimum(rng.integers(5, size=(n, 3)) + rng.integers(2, size=3) * group[:, None], 4)
    expected = [slow_log_p(group, bins[:, j], strata, 5) for j in range(3)]
    np.testing.assert_allclose(
        log_p_independent(group, bins, strata, 5), expected, rtol=1e-8, atol=1e-10
    )


def test_no_degree_of_freedom_means_no_evidence():
    group, bins = np.array([0, 0, 1, 1]), np.array([[0], [0], [0], [0]])
    assert log_p_independent(group, bins, np.zeros(4, int), 5) == [0.0]
    assert log_p_independent(group, np.array([[0], [1], [2], [3]]), group, 5) == [0.0]


def test_tail_is_finite_and_continuous_where_the_probability_underflows():
    x = np.array([1.0, 50.0, 1000.0, 1320.0, 1330.0, 1340.0, 5000.0])
    ours = log_chi2_sf(x, 4)
    np.testing.assert_allclose(
        ours, np.log1p(x / 2) - x / 2, rtol=1e-10
    )  # the closed form for 4 degrees
    large = log_chi2_sf(np.array([5000.0, 5100.0]), 300)
    assert np.isfinite(large).all() and large[1] < large[0]
