"""Methods that die, loop, take what memory there is, or break what is around them."""

import contextlib
import glob
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
from faulty_methods import Good, scores

from cdnbench.method import MethodInfo


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
class Hungry(Good):
    """Touches 64 MB once, more quickly than the runner looks."""

    info: ClassVar[MethodInfo] = MethodInfo(name="hungry", summary="needs 64 MB")

    def predict_targets(self, task, *, seed=0):
        np.ones(8_000_000).sum()
        return scores(task)


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
