"""Units mean nothing: scaling and shifting the columns of all data sets alike changes no score,
unless a method declares that it depends on units.

What a method draws comes from a stream that the samples name (`relabelling`), which other units
would change; here the names of the variables name it, so that only the units differ. Samples are
float32: 1e-3 is what rounding may do to a score, relative to the largest one of its regime.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from contract_tasks import N_GENES, Trials, chain_task, perturbation, screen

from cdnbench import relabelling
from cdnbench.task import Task

TOLERANCE = 1e-3


@pytest.fixture(autouse=True)
def streams_by_name(monkeypatch):
    monkeypatch.setattr(relabelling, "column_digests", lambda task: list(task.variables))


def other_units(task: Task, seed: int) -> Task:
    """Column i times 10^U(-2, 2), then shifted by up to three of its standard deviations."""
    rng = np.random.default_rng([seed, 7])
    factor = 10 ** rng.uniform(-2, 2, task.n_variables)
    shift = rng.uniform(-3, 3, task.n_variables) * task.observational.std(axis=0) * factor
    convert = lambda x: np.asarray(x, dtype=np.float64) * factor + shift  # noqa: E731
    return dataclasses.replace(
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


@pytest.mark.parametrize("seed", range(3))
def test_units_mean_nothing(method, seed, trials: Trials):
    if method.info.depends_on_units:
        pytest.skip("declares that it depends on units")
    if method.needs_fit:
        task = perturbation(3, seed=5 + seed).task
        assert task.n_variables == N_GENES
        converted = [
            dataclasses.replace(labelled, task=other_units(labelled.task, 0))
            for labelled in screen()
        ]
        unfitted = trials.load(method.info.name)
        other = unfitted.fitted(trials.fit(unfitted, converted))
        first, second = method.predict_outputs(task), other.predict_outputs(other_units(task, 0))
    else:
        task = chain_task(n_variables=6, n_rows=200, seed=seed)
        first = method.predict_outputs(task)
        second = method.predict_outputs(other_units(task, seed))
    assert differences(first, second) < TOLERANCE
