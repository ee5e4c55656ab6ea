"""What makes a task, and what does not."""

import pickle

import numpy as np
import pandas as pd
import pytest

from cdnbench import LabelledTask, Task
from cdnbench.errors import InvalidTask


def task(**changes):
    rng = np.random.default_rng(0)
    fields = dict(
        name="t",
        variables=["a", "b", "c"],
        observational=rng.normal(size=(5, 3)),
        regimes=[rng.normal(size=(4, 3)), rng.normal(size=(6, 3))],
    )
    return Task(**(fields | changes))


def test_arrays_are_read_only_float32_and_all_variables_are_candidates():
    t = task()
    assert (
        t.observational.dtype == np.float32 and t.candidates.all() and t.candidates.shape == (2, 3)
    )
    for array in (t.observational, *t.regimes, t.candidates):
        with pytest.raises(ValueError):
            array[0, 0] = 1
    assert (t.n_variables, t.n_regimes, t.n_samples) == (3, 2, 4)


def test_the_callers_array_stays_writable_and_the_task_as_it_was():
    mine = np.zeros((5, 3), np.float32)
    made = task(observational=mine)
    mine[0, 0] = 1
    assert made.observational[0, 0] == 0


def test_what_is_read_only_already_is_not_copied(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 3), np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.shares_memory(task(observational=mapped).observational, mapped)


def test_one_array_stands_for_one_regime():
    assert task(regimes=np.ones((4, 3))).n_regimes == 1


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"variables": ["a", "b", "a"]}, "'a'.*repeat"),
        (
            {"observational": np.full((5, 3), [1, np.nan, 1])},
            "observational.*nan at row 0, variable 'b'",
        ),
        ({"regimes": [np.ones((2, 3)), np.full((2, 3), np.inf)]}, "regime 1.*inf"),
        ({"observational": np.full((5, 3), 1e300)}, "not finite in float32"),
        ({"regimes": [np.ones((2, 4))]}, r"regime 0 samples have shape \(2, 4\)"),
        ({"regimes": []}, "no regime"),
        ({"observational": np.ones((0, 3))}, "no rows"),
        ({"observational": np.array([["x", "y", "z"]])}, "not numbers"),
        ({"candidates": np.ones((1, 3))}, "candidates has shape"),
        ({"candidates": np.zeros((2, 3))}, "at least one candidate"),
        (
            {"observational": np.ma.masked_less(np.arange(15.0).reshape(5, 3), 2)},
            "masked in places",
        ),
        (
            {"observational": pd.DataFrame(np.ones((5, 3)), columns=["a", "c", "b"])},
            "not the task's variables in their order",
        ),
        ({"symbols": ["A"]}, "1 symbols for 3 variables"),
    ],
)
def test_bad_input_is_named(changes, words):
    with pytest.raises(InvalidTask, match=words):
        task(**changes)


def test_targets_are_candidates():
    candidates = np.array([[True, True, False], [True, True, True]])
    with pytest.raises(InvalidTask, match="target 'c' of regime 0"):
        LabelledTask(task=task(candidates=candidates), targets=[[0, 0, 1], [0, 0, 1]])
    with pytest.raises(InvalidTask, match="targets has shape"):
        LabelledTask(task=task(), targets=[[0, 0, 1]])


def test_select_reorders_everything():
    t = task(symbols=["A", "B", "C"], candidates=[[1, 0, 1], [1, 1, 0]])
    s = t.select([2, 0, 1])
    assert s.variables == ("c", "a", "b") and s.symbols == ("C", "A", "B")
    assert np.array_equal(s.regimes[1], t.regimes[1][:, [2, 0, 1]])
    assert np.array_equal(s.candidates, t.candidates[:, [2, 0, 1]])


def test_one_regime_of_a_labelled_task():
    labelled = LabelledTask(
        task=task(), targets=[[1, 0, 0], [0, 1, 1]], ceiling_scores=np.arange(6.0).reshape(2, 3)
    )
    one = labelled.regime(1)
    assert one.targets.tolist() == [[False, True, True]] and one.ceiling_scores.tolist() == [
        [3, 4, 5]
    ]
    assert np.array_equal(one.task.regimes[0], labelled.task.regimes[1])


def test_content_hash_sees_samples_and_names_but_not_the_label():
    assert task().content_hash == task(name="other").content_hash
    assert task().content_hash != task(variables=["a", "b", "d"]).content_hash
    assert task().content_hash != task(observational=np.ones((5, 3))).content_hash


def test_a_task_pickles():
    t = pickle.loads(pickle.dumps(task(metadata={"line": "k562"})))
    assert t.content_hash == task().content_hash and t.metadata["line"] == "k562"
