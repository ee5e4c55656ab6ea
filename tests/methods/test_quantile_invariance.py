"""Quantile invariance: what it sees that linear regressions on all others do not."""

import numpy as np
import pytest

from cdnbench.errors import CannotRun
from cdnbench.methods.quantile_invariance import QuantileInvariance
from cdnbench.methods.regression_invariance import RegressionInvariance
from cdnbench.task import Task


def task_of(sample) -> Task:
    """`sample(after)` gives the columns; a last one is independent noise."""
    before, after = (np.column_stack(sample(flag)) for flag in (False, True))
    variables = [f"v{i}" for i in range(before.shape[1])]
    return Task(name="t", variables=variables, observational=before, regimes=[after])


def nonlinear_change(kind: str, seed: int) -> Task:
    """x -> y, and w apart. Target y; its mean, its variance and its linear regression on x stay as
    they were."""
    rng = np.random.default_rng(seed)

    def sample(after):
        x, w, noise = rng.normal(size=(3, 1000))
        if kind == "quadratic":
            y = (2 - x**2 if after else x**2) + 0.5 * noise
        else:  # the frequency of an even wave; both have mean 0 and variance 1/2 over a uniform x
            x = rng.uniform(-np.pi, np.pi, 1000)
            y = np.cos(2 * x if after else x) + 0.5 * noise
        return x, y, w

    return task_of(sample)


@pytest.mark.parametrize("kind", ["quadratic", "frequency"])
@pytest.mark.parametrize("seed", range(3))
def test_sees_a_purely_nonlinear_change(kind, seed):
    task = nonlinear_change(kind, seed)
    linear = RegressionInvariance().predict_targets(task)[0]
    scores = QuantileInvariance().predict_targets(task)[0]
    assert linear.max() < 12, "no more than chance among a thousand rows"
    assert scores.argmax() == 1 and scores[1] > 2 * scores[0] and scores[2] < 2


@pytest.mark.parametrize("seed", range(3))
def test_sees_a_flipped_sign_that_leaves_every_marginal(seed):
    """The minimum over conditioning sets is zero here; the second term ranks the target and its
    parent first."""
    rng = np.random.default_rng(seed)

    def sample(after):
        x, w, v, noise = rng.normal(size=(4, 1000))
        return x, (-1 if after else 1) * x + noise, w, v

    scores = QuantileInvariance().predict_targets(task_of(sample))[0]
    assert min(scores[:2]) > 2 * max(scores[2:])


@pytest.mark.parametrize("target", range(4))
def test_parents_and_children_are_told_apart(target):
    """In x0 -> x1 -> x2 -> x3, replacing any variable by noise of another variance changes that
    variable most."""
    rng = np.random.default_rng(target)

    def sample(after):
        columns = []
        for i in range(4):
            mean = np.tanh(2 * columns[-1]) + 0.5 * columns[-1] if i else 0.0
            columns.append(
                3 * rng.normal(size=1000) if after and i == target else mean + rng.normal(size=1000)
            )
        return columns

    scores = QuantileInvariance().predict_targets(task_of(sample))[0]
    assert scores[target] > 2 * np.delete(scores, target).max()


def test_null_regimes_score_low():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(31, 200, 5)) @ rng.normal(size=(5, 5))
    task = Task(name="t", variables="abcde", observational=samples[0], regimes=list(samples[1:]))
    scores = QuantileInvariance().predict_targets(task)
    assert scores.min() >= 0 and np.median(scores) < 1 and scores.max() < 8


def test_needs_more_rows_than_variables():
    x = np.random.default_rng(0).normal(size=(8, 6))
    with pytest.raises(CannotRun, match="8 rows"):
        QuantileInvariance().predict_targets(
            Task(name="t", variables="abcdef", observational=x, regimes=[x])
        )
