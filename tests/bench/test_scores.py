"""Scores that a method returns in another shape, order or kind than the task's are refused."""

import numpy as np
import pandas as pd
import pytest

from cdnbench.loaded import LoadedMethod
from cdnbench.method import MethodInfo
from cdnbench.task import Task

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
