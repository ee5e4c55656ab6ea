"""Methods that misbehave, each in its own way: by what they return, raise, learn or read."""

import glob
import importlib.util
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.method import MethodInfo, Prediction


def scores(task):
    return np.asarray([x.mean(0) - task.observational.mean(0) for x in task.regimes])


@dataclass(frozen=True)
class Good:
    info: ClassVar[MethodInfo] = MethodInfo(name="good", summary="mean shift")

    def predict_targets(self, task, *, seed=0):
        return scores(task)


@dataclass(frozen=True)
class Slow(Good):
    """Takes `seconds`; says where it is by a file, so that a test can kill the run meanwhile."""

    seconds: float = 0.3
    info: ClassVar[MethodInfo] = MethodInfo(name="slow", summary="sleeps", stochastic=True)

    def predict_targets(self, task, *, seed=0):
        time.sleep(self.seconds)
        return scores(task) + seed


@dataclass(frozen=True)
class Fickle(Good):
    """Fails once the file `broken` is there."""

    broken: str = ""
    info: ClassVar[MethodInfo] = MethodInfo(name="fickle", summary="fails at will")

    def predict_targets(self, task, *, seed=0):
        print("trying")
        if os.path.exists(self.broken):
            raise RuntimeError("broken")
        return scores(task)


@dataclass(frozen=True)
class Spy:
    """Scores 1 for what it finds out about the answer from where it runs."""

    info: ClassVar[MethodInfo] = MethodInfo(name="spy", summary="looks for the answer")

    def predict_targets(self, task, *, seed=0):
        here = os.getcwd()
        known = [
            str(getattr(task.observational, "filename", "")),
            str(getattr(task.observational.base, "filename", "")),
        ]
        found = glob.glob("**/*.npz", recursive=True) + glob.glob("../**/*.npz", recursive=True)
        tell = found or task.metadata or task.name != "task" or "tiny" in here or any(known)
        return np.full((task.n_regimes, task.n_variables), float(bool(tell)))


@dataclass(frozen=True)
class Raises:
    info: ClassVar[MethodInfo] = MethodInfo(name="raises", summary="raises")

    def predict_targets(self, task, *, seed=0):
        print("about to raise")
        raise RuntimeError("no luck")


@dataclass(frozen=True)
class Refuses:
    info: ClassVar[MethodInfo] = MethodInfo(name="refuses", summary="cannot run")

    def predict_targets(self, task, *, seed=0):
        raise CannotRun("not today")


@dataclass(frozen=True)
class Narrow(Good):
    info: ClassVar[MethodInfo] = MethodInfo(
        name="narrow", summary="few variables only", max_variables=2
    )


@dataclass(frozen=True)
class WrongShape:
    info: ClassVar[MethodInfo] = MethodInfo(name="wrong-shape", summary="returns a vector")

    def predict_targets(self, task, *, seed=0):
        return np.zeros(task.n_variables)


@dataclass(frozen=True)
class Batched(Good):
    """Solves tasks together, the last first. Task i: `fails` raises; `dies` takes the process
    along unless it is alone."""

    fails: int = -1
    dies: int = -1
    pause: float = 0.0
    trace: str = ""
    info: ClassVar[MethodInfo] = MethodInfo(name="batched", summary="many at once", batch_size=3)

    def predict_targets(self, task, *, seed=0):
        return scores(task)

    def predict_targets_batch(self, tasks, *, seeds):
        if self.trace:
            with open(self.trace, "a") as file:
                print(len(tasks), file=file)
        number = [round(float(t.observational[0, 0]) * 1e6) for t in tasks]
        for i in reversed(range(len(tasks))):
            time.sleep(self.pause)
            if number[i] == self.dies and len(tasks) > 1:
                os._exit(4)
            if number[i] == self.fails:
                yield i, RuntimeError("this one diverged")
            else:
                yield (
                    i,
                    Prediction(
                        {"": scores(tasks[i])},
                        "not converged" if i else "",
                        {"iterations": np.int64(7 + i)},
                        converged=i == 0,
                    ),
                )


@dataclass(frozen=True)
class Learner(Good):
    """Learns the mean target of its training tasks; `how` the fit ends, `trace` a file with a
    line a fit."""

    how: str = "well"
    trace: str = ""
    info: ClassVar[MethodInfo] = MethodInfo(
        name="learner", summary="has to be trained", supervised="required"
    )

    def fit(self, tasks, *, seed=0):
        if self.trace:
            with open(self.trace, "a") as file:
                print(len(tasks), file=file)
        if self.how.startswith("prints"):
            print("about to fail")
        if self.how == "is-killed-once":
            with open(self.trace) as file:
                if len(file.readlines()) == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "meets":  # waits until two fits are under way
            end = time.monotonic() + 30
            while len(Path(self.trace).read_text().split()) < 2:
                assert time.monotonic() < end, "the other fit never began"
                time.sleep(0.02)
        if self.how == "refuses":
            raise CannotRun("too few tasks")
        if self.how == "raises":
            raise RuntimeError("it diverged")
        if self.how.endswith("dies"):
            os._exit(3)
        if self.how.endswith("loops"):
            time.sleep(600)
        return {"mean": np.mean([t.targets[0] for t in tasks], axis=0)}

    def fitted(self, model):
        made = Learner(self.how, self.trace)
        object.__setattr__(made, "mean", model["mean"])
        return made

    def predict_targets(self, task, *, seed=0):
        return np.tile(self.mean, (task.n_regimes, 1))


@dataclass(frozen=True)
class Steady(Learner):
    """Learns in four steps, and saves after each. If it did not go on from a checkpoint, `how` it
    ends after the second ("never-ends": in any case after the third); `trace`: a file with a line a
    step."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="steady", summary="learns step by step", supervised="required", resumable=True
    )

    def fit(self, tasks, *, seed=0, checkpoint):
        saved = checkpoint.load()
        for step in range(1 + int(saved.get("step", 0)), 5):
            if step == 3 and not saved:
                if self.how == "is-killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                if self.how == "raises":
                    raise RuntimeError("it diverged")
                if self.how == "loops":
                    time.sleep(600)
            if step == 4 and self.how == "never-ends":
                time.sleep(600)
            with open(self.trace, "a") as file:
                print(step, file=file)
            checkpoint.save({"step": np.array(step)})
        return {"mean": np.zeros(tasks[0].targets.shape[1])}


@dataclass(frozen=True)
class Reader(Good):
    """Scores as many as its file says."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="reader", summary="needs to know", supervised="required", needs=("interactions",)
    )

    def fit(self, tasks, *, seed=0, resources):
        return {"number": np.array(float(resources["interactions"].read_text()))}

    def fitted(self, model):
        made = Reader()
        object.__setattr__(made, "number", model["number"])
        return made

    def predict_targets(self, task, *, seed=0):
        return np.full((task.n_regimes, task.n_variables), self.number)


@dataclass(frozen=True)
class Opens(Good):
    """Scores as many as its weights file says."""

    weights: str = ""
    info: ClassVar[MethodInfo] = MethodInfo(name="opens", summary="reads a file when it is used")

    def predict_targets(self, task, *, seed=0):
        with open(self.weights) as file:
            return np.full((task.n_regimes, task.n_variables), float(file.read()))


@dataclass(frozen=True)
class NeedsMissing(Good):
    info: ClassVar[MethodInfo] = MethodInfo(
        name="needs-missing", summary="preloads nothing", preload=("no_such_module_here",)
    )


@dataclass(frozen=True)
class Says(Good):
    """Fails, or returns a note, with words that no terminal takes."""

    fails: bool = True
    info: ClassVar[MethodInfo] = MethodInfo(name="says", summary="hostile words", batch_size=2)

    def predict_targets_batch(self, tasks, *, seeds):
        words = os.fsdecode(b"file \xff\x1b[2J\x00 ") + "x" * 1_000_000
        for i, task in enumerate(tasks):
            if self.fails:
                yield i, OSError(words)
            else:
                yield i, Prediction({"": scores(task)}, words, {"file": words[:10]})


@dataclass(frozen=True)
class Looks(Good):
    """Fails with what it finds on the search path: the standard library, or a file of the user."""

    info: ClassVar[MethodInfo] = MethodInfo(name="looks", summary="imports")

    def predict_targets(self, task, *, seed=0):
        import colorsys

        names = ("flat_package", "wanted_package")
        found = [name for name in names if importlib.util.find_spec(name)]
        path = os.environ.get("PYTHONPATH", ""), os.environ.get("PYTHONSAFEPATH", "")
        raise RuntimeError(f"{hasattr(colorsys, 'rgb_to_hsv')} {found} {path}")


@dataclass(frozen=True)
class NarrowLearner(Learner):
    """A learner for 10 variables."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="narrow-learner", summary="ten at most", supervised="required", max_variables=10
    )

    def fitted(self, model):
        made = NarrowLearner(self.how, self.trace)
        object.__setattr__(made, "mean", model["mean"])
        return made


@dataclass(frozen=True)
class LargeLearner(Learner):
    """A learner that no synthetic task is for."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="large-learner", summary="10,000 rows", supervised="required", min_samples=1001
    )
