"""Methods that misbehave, each in its own way."""

import contextlib
import glob
import importlib.util
import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
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
class Daemon(Good):
    """Leaves a daemon behind (forked twice, in a session of its own) and returns, or loops if
    `loops`."""

    pids: str = ""
    loops: bool = False
    info: ClassVar[MethodInfo] = MethodInfo(name="daemon", summary="leaves a daemon behind")

    def predict_targets(self, task, *, seed=0):
        mine = f"{self.pids}.{os.getpid()}"
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                with open(self.pids, "a") as file:
                    print(os.getpid(), file=file)
                Path(mine).touch()
                time.sleep(600)
            os._exit(0)
        os.wait()
        while self.loops or not os.path.exists(mine):
            time.sleep(0.01)
        return scores(task)


@dataclass(frozen=True)
class RealTime:
    info: ClassVar[MethodInfo] = MethodInfo(name="real-time", summary="dies by a real-time signal")

    def predict_targets(self, task, *, seed=0):
        os.kill(os.getpid(), 40)


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
class Loops:
    """Loops, with a child process that loops in a session of its own."""

    info: ClassVar[MethodInfo] = MethodInfo(name="loops", summary="loops for ever")
    pids: str = ""

    def predict_targets(self, task, *, seed=0):
        child = subprocess.Popen(
            [sys.executable, "-S", "-c", "while True: pass"], start_new_session=True
        )
        if self.pids:
            with open(self.pids, "a") as file:
                print(os.getpid(), child.pid, file=file)
        while True:
            pass


@dataclass(frozen=True)
class Allocates:
    info: ClassVar[MethodInfo] = MethodInfo(name="allocates", summary="allocates without end")

    def predict_targets(self, task, *, seed=0):
        hoard = []
        while True:
            hoard.append(np.ones(2_000_000))
            time.sleep(0.005)


@dataclass(frozen=True)
class Fills(Good):
    """Fills a file in memory with `mb` MB, by writing or through a map, and leaves it there."""

    where: str = "shm"
    mb: int = 10_000
    info: ClassVar[MethodInfo] = MethodInfo(name="fills", summary="fills files in memory")

    def predict_targets(self, task, *, seed=0):
        if self.where == "shared-memory":
            from multiprocessing.shared_memory import SharedMemory

            memory = SharedMemory(f"cdnbench-test-{os.getpid()}", True, self.mb << 20)
            for i in range(self.mb):
                memory.buf[i << 20 : (i + 1) << 20] = bytes(1 << 20)
                time.sleep(0.002)
            return scores(task)
        path = f"/dev/shm/cdnbench-test-{os.getpid()}"
        file = (
            os.memfd_create("x") if self.where == "memfd" else os.open(path, os.O_RDWR | os.O_CREAT)
        )
        for _ in range(self.mb):
            os.write(file, bytes(1 << 20))
            time.sleep(0.002)
        return scores(task)


@dataclass(frozen=True)
class Exits:
    info: ClassVar[MethodInfo] = MethodInfo(name="exits", summary="calls os._exit")

    def predict_targets(self, task, *, seed=0):
        os._exit(3)


@dataclass(frozen=True)
class Killed(Good):
    """Dies by SIGKILL; only the first time if `once` names a file, which it makes. `trace`: a file
    with a line a call."""

    once: str = ""
    trace: str = ""
    info: ClassVar[MethodInfo] = MethodInfo(name="is-killed", summary="dies by SIGKILL")

    def predict_targets(self, task, *, seed=0):
        if self.trace:
            with open(self.trace, "a") as file:
                print("called", file=file)
        if self.once and os.path.exists(self.once):
            return scores(task)
        if self.once:
            Path(self.once).touch()
        print("about to die")
        os.kill(os.getpid(), signal.SIGKILL)


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
class Hungry(Good):
    """Touches 64 MB once, more quickly than the runner looks."""

    info: ClassVar[MethodInfo] = MethodInfo(name="hungry", summary="needs 64 MB")

    def predict_targets(self, task, *, seed=0):
        np.ones(8_000_000).sum()
        return scores(task)


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
class Vandal(Good):
    """Zeroes its input: through the array, through the file behind it, or through every file of
    samples around its folder, one that is read-only included."""

    how: str = "array"
    info: ClassVar[MethodInfo] = MethodInfo(name="vandal", summary="changes its input")

    def predict_targets(self, task, *, seed=0):
        if self.how == "array":
            task.observational.flags.writeable = True
        elif self.how == "file":
            base = task.observational
            while not isinstance(base, mmap.mmap):
                base = base.base
            paths = {
                x.split()[-1]
                for x in Path("/proc/self/maps").read_text().splitlines()
                if "rows.npy" in x
            }
            for path in paths | {"rows.npy", "../samples-0/rows.npy"}:
                with open(path, "r+b") as file:
                    file.write(bytes(100))
        else:
            found = glob.glob("../../**/rows.npy", recursive=True)
            print(len(found), "files")
            for path in found:
                os.chmod(path, 0o666)
                with open(path, "r+b") as file:
                    file.seek(100)
                    file.write(bytes(os.path.getsize(path) - 100))
        return scores(task)


@dataclass(frozen=True)
class Wrecks(Good):
    """Breaks what is around it, and returns."""

    what: str = ""
    info: ClassVar[MethodInfo] = MethodInfo(name="wrecks", summary="breaks its surroundings")

    def predict_targets(self, task, *, seed=0):
        print("about to break something")
        if self.what == "folder":
            shutil.rmtree(os.getcwd())
        elif self.what == "everything":
            shutil.rmtree(Path.cwd().parent.parent)
        elif self.what == "locked":
            os.makedirs("a/b")
            os.chmod("a", 0)
            os.chmod("..", 0)
        elif self.what == "file-size":
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            print("more than the limit")
        elif self.what == "output":
            os.close(1)
            os.close(2)
            raise RuntimeError("nowhere to print to")
        elif self.what == "descriptors":
            os.closerange(0, 100)
        elif self.what == "connection":
            for number in range(3, 100):
                with contextlib.suppress(OSError):
                    os.write(number, b"\0\0\0\4abcd")
        elif self.what == "server":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(0.5)
        elif self.what == "server-and-itself":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.what == "moves":
            os.chdir("/")
        return scores(task)


@dataclass(frozen=True)
class NoMemory(Good):
    how: str = ""
    info: ClassVar[MethodInfo] = MethodInfo(name="no-memory", summary="gets no memory")

    def predict_targets(self, task, *, seed=0):
        if self.how == "system":
            mmap.mmap(-1, 1 << 62)
        if self.how == "torch":
            import torch

            torch.empty(1 << 60, dtype=torch.uint8)
        raise MemoryError


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
class OnGPU(Good):
    """Notes in the file `trace` which GPUs it sees and how many are on the same one, and says how
    many there were at most. Has no memory left unless it is alone on its GPU, if `hungry`."""

    trace: str = ""
    hungry: bool = False
    seconds: float = 0.0
    device: str = "cpu"
    info: ClassVar[MethodInfo] = MethodInfo(
        name="on-gpu",
        summary="computes on a GPU that is not there",
        devices=("cpu", "cuda"),
        gpu_memory_mb=lambda sizes: 3_400.0,
    )

    def predict_targets(self, task, *, seed=0):
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        with open(self.trace, "a") as file:
            print(self.device, seen, os.getpid(), file=file)
        mine = Path(f"{self.trace}.{seen}.{os.getpid()}")
        mine.touch()
        time.sleep(self.seconds)
        others = len(glob.glob(f"{self.trace}.{seen}.*")) - 1
        mine.unlink()
        if self.hungry and others:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return scores(task)


@dataclass(frozen=True)
class OnCPU(OnGPU):
    info: ClassVar[MethodInfo] = MethodInfo(
        name="on-cpu", summary="notes the same on a CPU", devices=("cpu", "cuda"), gpu_helps=False
    )


@dataclass(frozen=True)
class GPUOnly(Good):
    info: ClassVar[MethodInfo] = MethodInfo(
        name="gpu-only", summary="cannot do without a GPU", devices=("cuda",)
    )


@dataclass(frozen=True)
class Starved(Good):
    """Never has enough GPU memory. `trace`: a file with a line a call."""

    trace: str = ""
    info: ClassVar[MethodInfo] = MethodInfo(
        name="starved", summary="takes more than any GPU has", devices=("cuda",)
    )

    def predict_targets(self, task, *, seed=0):
        with open(self.trace, "a") as file:
            print(os.environ.get("CUDA_VISIBLE_DEVICES"), file=file)
        raise RuntimeError("CUDA error: out of memory")


@dataclass(frozen=True)
class LearnsOnGPU(Learner):
    """Has no memory left at its first fit."""

    device: str = "cuda"
    info: ClassVar[MethodInfo] = MethodInfo(
        name="learns-on-gpu",
        summary="is trained on a GPU",
        supervised="required",
        devices=("cpu", "cuda"),
    )

    def fit(self, tasks, *, seed=0):
        with open(self.trace, "a") as file:
            print(os.environ.get("CUDA_VISIBLE_DEVICES"), file=file)
        with open(self.trace) as file:
            if len(file.readlines()) == 1:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return {"mean": np.mean([t.targets[0] for t in tasks], axis=0)}


@dataclass(frozen=True)
class BatchedOnGPU(Good):
    """Solves tasks together; has memory for one only. `trace`: a file with a line a call."""

    trace: str = ""
    info: ClassVar[MethodInfo] = MethodInfo(
        name="batched-on-gpu", summary="many at once on a GPU", devices=("cuda",), batch_size=3
    )

    def predict_targets_batch(self, tasks, *, seeds):
        with open(self.trace, "a") as file:
            print(len(tasks), file=file)
        for i, task in enumerate(tasks):
            if len(tasks) > 1:
                yield i, RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            else:
                yield i, Prediction({"": scores(task)})


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
