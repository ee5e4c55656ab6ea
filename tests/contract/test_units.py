"""Units mean nothing: scaling and shifting the columns of all data sets alike changes no score,
unless a method declares that it depends on units.

A method draws from a stream that a digest of the samples names (`relabelling`), so other units give
it another stream. Here a digest sees ranks instead of values, and only the units differ. Samples
are float32: 1e-3 is what rounding may do to a score, relative to the largest one of its regime.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from contract_tasks import Trials, chain_task, outputs_or_reason, perturbation, screen

from cdnbench import relabelling
from cdnbench.digest import digest
from cdnbench.loaded import LoadedMethod
from cdnbench.task import Task

TOLERANCE = 1e-3


@pytest.fixture(autouse=True)
def streams_without_units(monkeypatch):
    ranks = lambda column: np.argsort(np.argsort(column, kind="stable"), kind="stable")  # noqa: E731
    monkeypatch.setattr(relabelling, "digest", lambda *columns: digest(*map(ranks, columns)))


@pytest.fixture(scope="module")
def models() -> dict[str, dict]:
    """What is learnt here is learnt under other streams, so other files must not get it."""
    return {}


def other_units(task: Task, seed: int) -> Task:
    """Column i times 10^U(-2, 2), then shifted by up to three of its standard deviations."""
    rng = np.random.default_rng([seed, 7])
    factor = 10 ** rng.uniform(-2, 2, task.n_variables)
    shift = rng.uniform(-3, 3, task.n_variables) * task.observational.std(axis=0) * factor
    convert = lambda x: np.asarray(x, dtype=np.float64) * factor + shift  # noqa: E731
    return replace(
        task, observational=convert(task.observational), regimes=[convert(x) for x in task.regimes]
    )


def differences(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> float:
    """The largest difference of two scores, in units of the largest score of their regime."""
    largest = 0.0
    for variant, scores in first.items():
        assert (np.isnan(scores) == np.isnan(second[variant])).all()
        unit = np.maximum(np.nanmax(np.abs(scores), axis=1, keepdims=True), 1e-12)
        largest = max(largest, float(np.nanmax(np.abs(scores - second[variant]) / unit)))
    return largest


def change(method: LoadedMethod, seed: int, trials: Trials) -> float:
    """What other units of every data set, those of training included, do to the scores."""
    if method.needs_fit:
        task, here = perturbation(3, seed=5 + seed).task, screen()
        there = [replace(labelled, task=other_units(labelled.task, seed)) for labelled in here]
        untrained = trials.load(method.info.name)
        other = untrained.fitted(trials.fit(untrained, there))
    else:
        task, other = chain_task(n_variables=6, n_rows=200, seed=seed), method
    scores, converted = (
        outputs_or_reason(*call) for call in ((method, task), (other, other_units(task, seed)))
    )
    assert scores is not None and converted is not None
    return differences(scores, converted)


@pytest.mark.parametrize("seed", range(3))
def test_units_mean_nothing(method, seed, trials: Trials):
    if method.info.depends_on_units:
        pytest.skip("declares that it depends on units")
    assert change(method, seed, trials) < TOLERANCE


def test_who_declares_to_depend_on_units_does(method, trials: Trials):
    if not method.info.depends_on_units:
        pytest.skip("declares that it does not")
    if method.info.trial.counts:
        pytest.skip("takes counts only: in other units they are none")
    assert change(method, 0, trials) > TOLERANCE
