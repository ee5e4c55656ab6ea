"""GnIES against the package called directly, and what it says where the package is missing."""

import sys

import numpy as np
import pytest

from cdnbench.errors import CannotRun
from cdnbench.methods.gnies import GnIES
from cdnbench.relabelling import in_canonical_order
from cdnbench.task import Task


def linear_task(n_variables=4, n_regimes=3, n_rows=500, seed=0) -> Task:
    """x_0 -> x_1 -> ...; regime r triples the noise of variable r + 1."""
    rng = np.random.default_rng([n_variables, seed])

    def sample(target=None):
        x = rng.normal(size=(n_rows, n_variables))
        for i in range(n_variables):
            if i == target:
                x[:, i] *= 3
            if i:
                x[:, i] += 0.8 * x[:, i - 1]
        return x

    return Task(
        name="chain",
        variables=[f"v{i}" for i in range(n_variables)],
        observational=sample(),
        regimes=[sample(r + 1) for r in range(n_regimes)],
    )


def test_says_that_the_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "gnies", None)
    with pytest.raises(CannotRun, match=r"pip install 'cdnbench\[gnies\]'"):
        GnIES().predict_targets(linear_task())


@pytest.mark.parametrize("approach", ["rank", "greedy"])
def test_equals_the_package(approach):
    gnies = pytest.importorskip("gnies")
    task = linear_task(seed=3)

    def solve(ordered):
        member = np.zeros((ordered.n_regimes, ordered.n_variables))
        for r, regime in enumerate(ordered.regimes):
            data = [np.array(x, float) for x in (ordered.observational, regime)]
            member[r, list(gnies.fit(data, approach=approach)[2])] = 1
        return {"set": member}

    ours = GnIES(approach=approach).predict_outputs(task)
    np.testing.assert_array_equal(ours["set"], in_canonical_order(task, solve)["set"])


def test_recovers_noise_interventions():
    pytest.importorskip("gnies")
    outputs = GnIES().predict_outputs(linear_task(n_variables=6, n_regimes=4, seed=1))
    assert outputs["soft"].argmax(axis=1).tolist() == [1, 2, 3, 4]
    assert outputs["set"][range(4), [1, 2, 3, 4]].all() and outputs["set"].sum() <= 6
    np.testing.assert_array_equal(outputs["soft"][outputs["set"] == 1] > 0, True)


def test_a_constant_variable_cannot_be_said():
    pytest.importorskip("gnies")
    task = linear_task(n_regimes=1)
    before = np.array(task.observational)
    before[:, 2] = 1
    outputs = GnIES().predict_outputs(
        Task(name="t", variables="abcd", observational=before, regimes=task.regimes)
    )
    for scores in outputs.values():
        assert np.isnan(scores[0]).tolist() == [False, False, True, False]


def test_too_few_rows():
    pytest.importorskip("gnies")
    with pytest.raises(CannotRun, match="6 rows"):
        GnIES().predict_targets(linear_task(n_rows=6))
