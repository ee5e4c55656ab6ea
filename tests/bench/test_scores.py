"""Scores that a method returns in another shape, order or kind than the task's are refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from cdnbench.errors import InvalidTask
from cdnbench.loaded import LoadedMethod
from cdnbench.method import MethodInfo
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

TASK = Task(
    name="t", variables=["a", "b"], observational=np.eye(2), regimes=[np.eye(2), np.ones((3, 2))]
)


def returning(scores):
    class Mine:
        info = MethodInfo(name="mine", summary="a test")

        def predict_targets(self, task, *, seed=0):
            return scores

    return LoadedMethod(Mine(), "", {})


@pytest.mark.parametrize(
    "scores, words",
    [
        (pd.DataFrame(np.ones((2, 2)), columns=["b", "a"]), "not the task's variables in their"),
        (np.ma.masked_less([[1.0, 2], [3, 4]], 2), "masked scores"),
        (np.ones((2, 2)) + 1j, "complex scores"),
        (list(np.ma.masked_less([[1.0, 2], [3, 4]], 2)), "masked scores"),
        (np.full((2, 2), 1j, object), "no table of real numbers"),
        ([[10**400] * 2] * 2, "no table of real numbers"),
        (None, "no table of real numbers"),
        (np.ones((2, 3)), r"expected \(R, N\) = \(2, 2\)"),
        (np.full((2, 2), np.inf), "infinite scores"),
    ],
)
def test_scores_that_could_be_taken_for_others_are_refused(scores, words):
    with pytest.raises(ValueError, match=f"mine returned.*{words}"):
        returning(scores).predict_targets(TASK)


def test_a_table_in_order_is_taken():
    frame = pd.DataFrame([[1.0, 2], [3, 4]], columns=["a", "b"])
    np.testing.assert_array_equal(returning(frame).predict_targets(TASK), [[1, 2], [3, 4]])


def test_sparse_scores_and_tensors_that_are_differentiated_are_taken():
    given = np.array([[1.0, 0], [3, 4]])
    for scores in (sparse.csr_matrix(given), torch.tensor(given, requires_grad=True)):
        np.testing.assert_array_equal(returning(scores).predict_targets(TASK), given)


@pytest.mark.parametrize(
    "results, words",
    [
        ([(5, None)], "a result for task 5 of a batch of 1"),
        ([(-1, None)], "a result for task -1 of a batch of 1"),
        ([(0, np.ones((2, 2)))], "a ndarray for a task of its batch; return a .*Prediction"),
        ([(0, None)], "a NoneType for a task of its batch"),
    ],
)
def test_a_batch_names_what_it_should_have_returned(results, words):
    class Mine:
        info = MethodInfo(name="mine", summary="a test", batch_size=2)

        def predict_targets_batch(self, tasks, *, seeds):
            return results

    with pytest.raises(ValueError, match=f"mine returned {words}"):
        LoadedMethod(Mine(), "", {}).predict_targets(TASK)


@pytest.mark.parametrize(
    "model, words",
    [
        (None, "returned a NoneType; return a dict"),
        ({1: np.ones(2)}, "return a dict from texts"),
        ({"a": [[1], [2, 3]]}, "no plain array as 'a'"),
        ({"a": np.array([{}], object)}, "no plain array as 'a' .*Python objects"),
    ],
)
def test_what_was_learnt_is_a_dict_of_arrays(model, words):
    class Mine:
        info = MethodInfo(name="mine", summary="a test", supervised="required")

        def fit(self, tasks, *, seed=0):
            return model

        def fitted(self, model):
            return None

    loaded = LoadedMethod(Mine(), "", {})
    with pytest.raises(ValueError, match=f"fit of mine .*{words}"):
        loaded.fit([LabelledTask(task=TASK, targets=np.eye(2))])
    with pytest.raises(TypeError, match="fitted of mine returned a NoneType"):
        loaded.fitted({})


def test_a_labelled_task_is_no_task():
    labelled = LabelledTask(task=TASK, targets=np.eye(2))
    with pytest.raises(InvalidTask, match="takes a Task; got a LabelledTask. Give its `task`"):
        returning(np.ones((2, 2))).predict_targets(labelled)
