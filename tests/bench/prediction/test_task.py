"""What is found out of a task, and what methods get of it."""

from dataclasses import replace

import numpy as np
import pytest

from cdnbench.errors import CannotRun
from cdnbench.prediction.choice import Choice
from cdnbench.prediction.task import choose_for, prepared, rows_depend
from cdnbench.prediction.untrained import check_trained
from cdnbench.registry import load_method
from cdnbench.task import Task


def counts_task(rows=(4, 3), n_variables=40) -> Task:
    rng = np.random.default_rng(0)
    names = [f"g{i}" for i in range(n_variables)]
    before, after = (rng.poisson(50, size=(n, n_variables)) for n in rows)
    return Task(name="t", variables=names, symbols=names, observational=before, regimes=[after])


def test_a_task_says_what_it_is():
    chosen = choose_for(counts_task())
    assert "raw counts" in chosen.why and "moderated-t" in chosen.log_counts
    assert choose_for(replace(counts_task(), symbols=None)).log_counts == ()


@pytest.mark.parametrize("rows, total", [((4, 3), 1e6), ((40, 3), 1e4)])
def test_logarithms_are_of_counts_per_sample(rows, total):
    task = counts_task(rows)
    choice = Choice(("deseq2", "moderated-t"), "why", log_counts=("moderated-t",))
    assert prepared(task, choice, "deseq2") is task
    logged = prepared(task, choice, "moderated-t")
    for samples in (logged.observational, *logged.regimes):
        sums = np.expm1(samples.astype(float)).sum(axis=1)
        np.testing.assert_allclose(sums, total, rtol=1e-4)


def test_a_sample_without_counts_stays_zero():
    task = counts_task()
    before = np.array(task.observational)
    before[1] = 0
    choice = Choice(("moderated-t",), "why", log_counts=("moderated-t",))
    logged = prepared(replace(task, observational=before), choice, "moderated-t")
    assert (logged.observational[1] == 0).all()


def test_rows_that_depend_are_told_from_those_that_do_not():
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(300, 20))
    series = np.cumsum(noise, axis=0)
    assert rows_depend(series) and not rows_depend(noise)
    assert not rows_depend(series[rng.permutation(300)])
    assert not rows_depend(series[:10])  # too few to say
    assert not rows_depend(np.ones((50, 3)))
    rare = (rng.random((2000, 30)) < 0.05).astype(float)  # ties of zeros are no resemblance
    assert not rows_depend(rare)


def test_independent_rows_are_hardly_ever_taken_for_dependent():
    rng = np.random.default_rng(4)
    assert sum(rows_depend(rng.normal(size=(24, 10))) for _ in range(200)) <= 4


def test_a_method_that_has_to_be_trained_says_what_to_do():
    with pytest.raises(CannotRun, match="own has no training set.*bench data prepare"):
        check_trained(load_method("mlp"))
    check_trained(load_method("cdn"))
    check_trained(load_method("target-shift"))
