"""Regression tests from Gram matrices against one least-squares fit at a time."""

import numpy as np
import pytest
from scipy import stats

from cdnbench.methods.statistics.invariance import RegressionTests


def spline_design(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(x)), x, *(np.maximum(x - knot, 0) for knot in knots)])


def slow(before, after, k):
    """The Chow and variance-ratio tests of `response`, combined by Fisher."""

    def rss(design, y):
        residuals = y - design @ np.linalg.lstsq(design, y)[0]
        return float(residuals @ residuals)

    n0, n1 = len(before[1]), len(after[1])
    rss0, rss1 = rss(*before), rss(*after)
    pooled = rss(np.vstack([before[0], after[0]]), np.concatenate([before[1], after[1]]))
    chow = ((pooled - rss0 - rss1) / k) / ((rss0 + rss1) / (n0 + n1 - 2 * k))
    ratio = (rss0 / (n0 - k)) / (rss1 / (n1 - k))
    p_noise = 2 * min(stats.f.sf(ratio, n0 - k, n1 - k), stats.f.cdf(ratio, n0 - k, n1 - k))
    return -np.log(stats.combine_pvalues([stats.f.sf(chow, k, n0 + n1 - 2 * k), p_noise]).pvalue)


@pytest.mark.parametrize("n_knots", [0, 3])
@pytest.mark.parametrize("regressors", [[], [2], [1, 2]])
def test_equals_one_fit_at_a_time(n_knots, regressors):
    rng = np.random.default_rng(1)
    before, after = rng.normal(size=(150, 3)), rng.normal(size=(90, 3)) * 1.05
    before[:, 0] += np.sin(before[:, 1])
    after[:, 0] += 0.9 * np.sin(after[:, 1])
    tests = RegressionTests([before, after], n_knots)
    pooled = np.vstack([before, after])
    quantiles = np.arange(1, n_knots + 1) / (n_knots + 1)
    knots = [np.quantile(pooled[:, j], quantiles) for j in range(3)]
    designs = [
        np.column_stack(
            [np.ones(len(x)), *(spline_design(x[:, j], knots[j])[:, 1:] for j in regressors)]
        )
        for x in (before, after)
    ]
    k = designs[0].shape[1]
    responses = [
        [x[:, 0], *(np.maximum(x[:, 0] - knot, 0) for knot in knots[0])] for x in (before, after)
    ]
    each = [slow((designs[0], y0), (designs[1], y1), k) for y0, y1 in zip(*responses, strict=True)]
    assert tests.minus_log_p(0, regressors)[0] == pytest.approx(each[0], rel=2e-3, abs=2e-3)
    assert tests.minus_log_p_of_functions(0, regressors)[0] == pytest.approx(
        each, rel=2e-3, abs=2e-3
    )


def test_units_do_not_matter():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(3, 80, 3))
    units = np.array([1e-6, 1.0, 1e6])
    plain, scaled = RegressionTests(samples, 2), RegressionTests(samples * units + 5 * units, 2)
    for node in range(3):
        regressors = [j for j in range(3) if j != node]
        np.testing.assert_allclose(
            plain.minus_log_p(node, regressors), scaled.minus_log_p(node, regressors), rtol=1e-6
        )


def test_under_the_null_the_score_is_minus_log_of_a_uniform():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(400, 40, 2))
    samples[:, :, 1] += samples[:, :, 0]
    scores = [
        RegressionTests(samples[k : k + 2], 0).minus_log_p(1, [0])[0] for k in range(0, 400, 2)
    ]
    assert stats.kstest(np.exp(-np.array(scores)), "uniform").pvalue > 0.01


def test_too_few_rows_cannot_say_and_few_rows_are_linear():
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=(40, 4)), rng.normal(size=(12, 4)), rng.normal(size=(5, 4))]
    scores = RegressionTests(samples, 4).minus_log_p(0, [1, 2, 3])
    assert np.isfinite(scores[0]) and np.isnan(scores[1])
    linear = RegressionTests(samples, 0).minus_log_p(0, [1, 2, 3])
    np.testing.assert_array_equal(scores, linear)


def test_only_the_whole_distribution_shows_a_change_of_shape():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 2000, 1))
    after = (rng.exponential(size=(2000, 1)) - 1) * before.std() / 1.0
    tests = RegressionTests([before, after], 4)
    assert tests.minus_log_p_of_functions(0, []).max() > 50 > 10 > tests.minus_log_p(0, [])[0]
