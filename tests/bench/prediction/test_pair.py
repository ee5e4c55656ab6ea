"""Two files: what methods do to their samples, and how they fail, harms nobody else."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from cdnbench.loaded import LoadedMethod
from cdnbench.method import MethodInfo
from cdnbench.pairs import Pair
from cdnbench.prediction.pair import predict_pair
from cdnbench.prediction.text import ranking_lines
from cdnbench.task import Task


def shifts(task):
    before = task.observational.mean(axis=0)
    return np.stack([np.abs(after.mean(axis=0) - before) for after in task.regimes])


@dataclass(frozen=True)
class Shift:
    info: ClassVar[MethodInfo] = MethodInfo(name="shift", summary="Shifts.")

    def predict_targets(self, task, *, seed=0):
        return shifts(task)


@dataclass(frozen=True)
class Emptying:
    """Sets its samples to 0, read-only as they are."""

    info: ClassVar[MethodInfo] = MethodInfo(name="emptying", summary="Shifts, then zeros.")

    def predict_targets(self, task, *, seed=0):
        found = shifts(task)
        for array in (task.observational, *task.regimes):
            owner = array if array.base is None else array.base
            owner.flags.writeable = True
            owner[:] = 0
        return found


@dataclass(frozen=True)
class Failing:
    error: BaseException
    info: ClassVar[MethodInfo] = MethodInfo(name="failing", summary="Gives no scores.")

    def predict_targets(self, task, *, seed=0):
        raise self.error


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    control, treated = rng.normal(5, 1, (2, 30, 4))
    treated[:, 1] += 3
    task = Task(name="t", variables=list("abcd"), observational=control, regimes=[treated])
    return Pair(task, ())


@pytest.fixture
def run(monkeypatch, pair):
    """Methods -> their result."""

    def run(*methods):
        loaded = [LoadedMethod(method, "", {}) for method in methods]
        monkeypatch.setattr("cdnbench.prediction.methods.chosen_methods", lambda text: loaded)
        return predict_pair(pair, "these")

    return run


def test_a_method_that_changes_its_samples_changes_nothing_else(run, pair):
    (expected,) = run(Shift()).findings
    for found in run(Emptying(), Shift()).findings:
        assert found.verdict == "moved" and found.named == expected.named and found.p == expected.p
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal(found.log_fold_change, expected.log_fold_change)
        np.testing.assert_array_equal(found.values, expected.values)
    assert pair.task.observational.all()


@pytest.mark.parametrize(
    "error, words",
    [
        (ValueError("two\nlines \x1b"), "error: ValueError: two"),
        (SystemExit(0), "exit code 0"),
        (SystemExit(3), "exit code 3"),
    ],
)
def test_a_method_that_fails_leaves_the_others_and_says_why(run, error, words):
    result = run(Failing(error), Shift())
    failed, found = result.findings
    assert failed.failed and words in failed.note and failed.note.isprintable()
    assert found.variables[0] == "b" and found.verdict == "moved"
    assert len(result.to_frame()) == 5 and failed.n_control == 30
    assert list(ranking_lines(failed, 5)) == [f"failing gave no ranking ({failed.note})"]


def test_an_interrupt_of_the_user_ends_all(run):
    with pytest.raises(KeyboardInterrupt):
        run(Failing(KeyboardInterrupt()), Shift())
