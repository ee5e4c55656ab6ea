"""Regression invariance against one ordinary regression a variable and data set, done the slow
way."""

import numpy as np
import pytest
from scipy import stats

from cdnbench.errors import CannotRun
from cdnbench.methods.regression_invariance import RegressionInvariance
from cdnbench.task import Task


def task_of(observational, *regimes) -> Task:
    variables = [f"v{i}" for i in range(observational.shape[1])]
    return Task(name="t", variables=variables, observational=observational, regimes=regimes)


def residual_sum(x: np.ndarray, i: int) -> float:
    design = np.column_stack([np.delete(x, i, axis=1), np.ones(len(x))])
    residuals = x[:, i] - design @ np.linalg.lstsq(design, x[:, i])[0]
    return float(residuals @ residuals)


def slow_score(before: np.ndarray, after: np.ndarray, i: int) -> float:
    """The docstring's formulas, literally."""
    n0, n1, k = len(before), len(after), before.shape[1]
    rss0, rss1, rss = (
        residual_sum(before, i),
        residual_sum(after, i),
        residual_sum(np.vstack([before, after]), i),
    )
    chow = ((rss - rss0 - rss1) / k) / ((rss0 + rss1) / (n0 + n1 - 2 * k))
    ratio = (rss0 / (n0 - k)) / (rss1 / (n1 - k))
    p_coefficients = stats.f.sf(chow, k, n0 + n1 - 2 * k)
    p_noise = 2 * min(stats.f.sf(ratio, n0 - k, n1 - k), stats.f.cdf(ratio, n0 - k, n1 - k))
    return -np.log(stats.combine_pvalues([p_coefficients, p_noise], method="fisher").pvalue)


@pytest.mark.parametrize("seed", range(10))
def test_equals_one_regression_at_a_time(seed):
    rng = np.random.default_rng(seed)
    n_variables, n0, n1 = (
        int(rng.integers(1, 8)),
        int(rng.integers(30, 200)),
        int(rng.integers(30, 200)),
    )
    mixing = rng.normal(size=(n_variables, n_variables))
    before = rng.normal(size=(n0, n_variables)) @ mixing + 5
    after = (
        rng.normal(size=(n1, n_variables)) @ (mixing + 0.1 * rng.normal(size=mixing.shape)) + 5.1
    )
    task = task_of(before, after)
    before, after = task.observational.astype(float), task.regimes[0].astype(float)
    expected = [slow_score(before, after, i) for i in range(n_variables)]
    np.testing.assert_allclose(
        RegressionInvariance().predict_targets(task)[0], expected, rtol=1e-6, atol=1e-9
    )


def test_score_is_minus_log_of_an_exact_p_value():
    """Pairs of data sets of unequal sizes from one Gaussian law: exp(-score) is uniform."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(4, 4))
    tasks = [
        task_of(rng.normal(size=(25, 4)) @ mixing, rng.normal(size=(14, 4)) @ mixing)
        for _ in range(400)
    ]
    scores = [RegressionInvariance().predict_targets(task)[0, 0] for task in tasks]
    assert stats.kstest(np.exp(-np.array(scores)), "uniform").pvalue > 0.01


def test_strong_effects_do_not_tie():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 1000, 3))
    after *= [1e3, 1e4, 1]
    scores = RegressionInvariance().predict_targets(task_of(before, after))[0]
    assert scores[1] > scores[0] > 1000 > scores[2]


def test_a_variable_that_became_constant_is_first():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 200, 4))
    after[:, 2] = 0
    assert RegressionInvariance().predict_targets(task_of(before, after))[0].argmax() == 2


def test_a_copy_changes_nothing():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 200, 4))
    before[:, 3], after[:, 0] = before[:, 0], 3 * after[:, 0]
    after[:, 3] = after[:, 0]
    scores = RegressionInvariance().predict_targets(task_of(before, after))[0]
    alone = RegressionInvariance().predict_targets(task_of(before[:, :3], after[:, :3]))[0]
    np.testing.assert_allclose(scores, alone[[0, 1, 2, 0]])
    assert scores[0] > 100


def test_needs_more_rows_than_variables():
    x = np.random.default_rng(0).normal(size=(8, 6))
    with pytest.raises(CannotRun, match="8 rows"):
        RegressionInvariance().predict_targets(task_of(x, x))
