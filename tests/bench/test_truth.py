"""What a truth holds, what it refuses, and how it tells silence from a target out of sight."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from cdnbench import LabelledTask, Task, Truth
from cdnbench.errors import InvalidTask
from cdnbench.metrics import measure
from cdnbench.truth import ARRAYS

TARGETS = np.array([[True, False, False], [False, False, False], [False, False, False]])


def task():
    rng = np.random.default_rng(0)
    regimes = [rng.random((4, 3)) for _ in TARGETS]
    return Task(name="t", variables="abc", observational=rng.random((4, 3)), regimes=regimes)


def test_no_target_is_told_from_one_that_is_not_measured():
    truth = Truth(targets=TARGETS, n_unmeasured=[0, 2, 0])
    assert truth.only_unmeasured.tolist() == [False, True, False]
    assert truth.silent.tolist() == [False, False, True]
    assert Truth(targets=TARGETS).silent.tolist() == [False, True, True]


def test_a_labelled_task_takes_the_parts_of_its_truth():
    profiles = np.full(TARGETS.shape, np.nan)
    short = LabelledTask(task=task(), targets=TARGETS, profiles=profiles, facts={"a": 1})
    whole = LabelledTask(task=task(), truth=Truth(targets=TARGETS, profiles=profiles))
    assert short.truth.arrays.keys() == whole.truth.arrays.keys() == {"targets", "profiles"}
    assert short.facts == {"a": 1} and (short.targets == whole.targets).all()
    other = replace(whole, targets=~TARGETS)
    assert (other.targets == ~TARGETS).all()
    assert other.truth.arrays.keys() == whole.truth.arrays.keys()
    with pytest.raises(TypeError, match="colour"):
        LabelledTask(task=task(), targets=TARGETS, colour="red")


def test_a_regime_of_its_own_has_its_row_of_every_array():
    arrays = {spec.name: np.zeros((3, 3)[: spec.metadata["axes"]]) for spec in ARRAYS}
    arrays["targets"] = TARGETS
    one = LabelledTask(task=task(), **arrays).regime(1)
    assert {name: array.shape for name, array in one.truth.arrays.items()} == {
        spec.name: (1, 3)[: spec.metadata["axes"]] for spec in ARRAYS
    }


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"targets": [True, False, False]}, "'t'.*targets has shape"),
        ({"targets": TARGETS, "profiles": np.zeros((2, 3))}, r"'t'.*profiles has shape \(2, 3\)"),
        ({"targets": TARGETS, "n_unmeasured": [1]}, r"n_unmeasured has shape \(1,\)"),
        ({"targets": TARGETS[:2]}, r"targets has shape \(2, 3\); expected \(3, 3\)"),
    ],
)
def test_arrays_that_do_not_fit_are_named(parts, message):
    with pytest.raises(InvalidTask, match=message):
        LabelledTask(task=task(), **parts)


def test_what_the_caller_does_with_an_array_later_changes_nothing():
    targets = TARGETS.copy()
    truth = Truth(targets=targets)
    targets[:] = True
    assert (truth.targets == TARGETS).all()
    with pytest.raises(ValueError, match="read-only"):
        truth.targets[0, 0] = False


def test_data_frames_are_put_into_the_order_of_the_variables():
    of_c = pd.DataFrame([[True, False, False]] * 3, columns=list("cab"))
    made = LabelledTask(task=task(), targets=of_c, ceiling_scores=of_c.astype(float))
    assert made.targets.tolist() == [[False, False, True]] * 3
    assert made.ceiling_scores.tolist() == [[0, 0, 1]] * 3
    with pytest.raises(InvalidTask, match="it also has"):
        LabelledTask(task=task(), targets=of_c.rename(columns={"a": "x"}))
    with pytest.raises(InvalidTask, match="LabelledTask"):
        Truth(targets=of_c)


@pytest.mark.parametrize(
    "targets",
    [
        [["c", "", ""]] * 3,
        [["False", "False", "True"]] * 3,
        [[0, 1, 2]] * 3,
        [[0, np.nan, 1]] * 3,
        np.ma.masked_array(TARGETS, mask=np.eye(3)),
        None,
    ],
)
def test_what_is_not_yes_or_no_is_no_target(targets):
    with pytest.raises(InvalidTask, match="Task 't': targets"):
        LabelledTask(task=task(), targets=targets)
    with pytest.raises(InvalidTask, match="candidates"):
        measure(np.zeros((3, 3)), Truth(targets=TARGETS), targets)


def test_numbers_of_targets_are_whole():
    for wrong in ([0, 0, -1], [0, 0.5, 0], [0, np.nan, 0], ["a", "b", "c"]):
        with pytest.raises(InvalidTask, match="n_unmeasured"):
            Truth(targets=TARGETS, n_unmeasured=wrong)
    assert Truth(targets=sparse.csr_matrix(TARGETS)).targets.tolist() == TARGETS.tolist()


def test_masked_scores_are_not_measured():
    hidden = np.ma.masked_array(np.zeros((3, 3)), mask=np.eye(3))
    with pytest.raises(ValueError, match="masked"):
        measure(hidden, Truth(targets=TARGETS), np.ones((3, 3), bool))
