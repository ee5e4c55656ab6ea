"""Two files: what methods do to their samples, and how they fail, harms nobody else."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from cdnbench import predict
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
def run(monkeypatch, pair, tmp_path):
    """Methods -> their result."""
    monkeypatch.setenv("CDNBENCH_CACHE", str(tmp_path))

    def run(*methods, of=pair):
        loaded = [LoadedMethod(method, "", {}) for method in methods]
        monkeypatch.setattr("cdnbench.prediction.methods.chosen_methods", lambda text: loaded)
        return predict_pair(of, "these")

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


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda x: x, "log2 ratios of exp(mean) - 1 + 0.1"),
        (lambda x: x - 5, "differences of the means, since some values are negative"),
        (lambda x: x * 10, "log2 ratios of the means, as of normalised counts"),
        (lambda x: x / x.sum(axis=1, keepdims=True), "log2 ratios of the means, as of normalised"),
        (lambda x: 100 * x / x.sum(axis=1, keepdims=True), "log2 ratios of the means"),
    ],
)
def test_a_note_says_which_fold_change_is_shown(run, pair, change, words):
    """In two files as in one."""
    rng = np.random.default_rng(0)
    sides = [change(rng.uniform(1, 9, size=(30, 4))) for _ in range(2)]
    task = replace(pair.task, observational=sides[0], regimes=[sides[1]])
    frame = pd.DataFrame(np.concatenate(sides), columns=list("abcd"))
    frame["done"] = np.repeat(["no", "t"], 30)
    one = predict(frame, "done", "no", method="target-shift", jobs=1)
    assert any(note.startswith("Log fold changes are " + words) for note in one.notes)
    result = run(Shift(), of=Pair(task, ()))
    assert any(note.startswith("Log fold changes are " + words) for note in result.notes)
    change_of = dict(
        zip(result.findings[0].variables, result.findings[0].log_fold_change, strict=True)
    )
    ranking = one.ranking("t").set_index("variable")["log_fold_change"]
    assert change_of == pytest.approx(ranking.to_dict(), rel=1e-3, abs=1e-5)


def test_shares_of_one_total_are_no_logarithms(run, pair):
    x, y = (np.array(rows, np.float32) for rows in ([[0.25, 0.75]] * 20, [[0.5, 0.5]] * 20))
    task = Task(name="t", variables=["a", "b"], observational=x, regimes=[y])
    (found,) = run(Shift(), of=Pair(task, ())).findings
    assert found.log_fold_change[list(found.variables).index("a")] == pytest.approx(1, abs=0.01)
