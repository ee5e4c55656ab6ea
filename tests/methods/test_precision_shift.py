"""Precision times shift against scikit-learn's shrinkage and plain inverses."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from cdnbench.methods.precision_shift import PrecisionShift, shrunk_precision
from cdnbench.task import Task


def task_of(before, *regimes) -> Task:
    variables = [f"v{i}" for i in range(before.shape[1])]
    return Task(name="t", variables=variables, observational=before, regimes=regimes)


@pytest.mark.parametrize("shape", [(200, 6), (8, 30), (30, 30), (3, 100), (50, 1)])
def test_precision_is_the_inverse_of_ledoit_and_wolfs_covariance(shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape) @ (np.eye(shape[1]) + 0.3 * rng.normal(size=(shape[1],) * 2))
    x = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    expected = np.linalg.inv(ledoit_wolf(x, assume_centered=True)[0])
    precision = shrunk_precision(x)
    rows = rng.normal(size=(3, shape[1]))
    np.testing.assert_allclose(precision.diagonal, np.diag(expected), rtol=1e-6)
    np.testing.assert_allclose(precision.times(rows), rows @ expected, rtol=1e-6, atol=1e-8)


def test_score_is_the_residual_shift_in_proportion():
    """With many rows: what a regression on all others leaves of the shift, times the standard
    deviation over the residual variance."""
    rng = np.random.default_rng(1)
    mixing = np.eye(5) + np.tril(rng.normal(size=(5, 5)), -1)
    before = rng.normal(size=(20_000, 5)) @ mixing
    after = rng.normal(size=(500, 5)) @ mixing + 2 * mixing[1]
    task = task_of(before, after)
    scores = PrecisionShift().predict_targets(task)[0]
    shift = task.regimes[0].mean(axis=0) - task.observational.mean(axis=0)
    x = task.observational - task.observational.mean(axis=0)
    for i in range(5):
        others = np.delete(np.arange(5), i)
        slopes = np.linalg.lstsq(x[:, others], x[:, i], rcond=None)[0]
        residual = x[:, i] - x[:, others] @ slopes
        left = abs(shift[i] - shift[others] @ slopes)
        assert scores[i] == pytest.approx(left * x[:, i].std() / residual.var(), rel=0.02, abs=0.02)


def test_finds_a_target_whose_children_move_as_much():
    """x0 -> x1 -> ..., with little noise below x2: all of these move alike."""
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)

        def sample(rows, shift, rng=rng):
            x = rng.normal(size=(rows, 8))
            x[:, 2] += shift
            for i in range(1, 8):
                x[:, i] = x[:, i - 1] + 0.3 * x[:, i] if i > 2 else 0.5 * x[:, i - 1] + x[:, i]
            return x

        task = task_of(sample(1000, 0), sample(20, 4))
        found += PrecisionShift().predict_targets(task)[0].argmax() == 2
    assert found >= 18, "by the mean alone any of the six may come first"
