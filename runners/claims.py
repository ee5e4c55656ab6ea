"""Claims: how several runs on one folder share its jobs, on one machine or on many.

    <folder>/claims/<run>           one file per run that is at work, which it touches now and then
    <folder>/claims/<key>.<n>       who works on a job or fit: the name of a run

A claim is made by creating its file, which only one can do. Of several claims with one key that
with the highest number counts: whoever takes over a job from a run that died makes the next one. So
nothing is ever renamed or removed that another run might be looking at, and two runs cannot both
think that they took over.

A run has died if nobody holds the lock on its file. Another machine cannot always see locks, so
there the file must also have been left untouched for `SILENT_S`. A run that is thought dead and is
not does a job a second time, which costs time and no result.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
import time
from pathlib import Path

from cdnbench.files import is_name

SILENT_S = 60.0
"""How long a run on another machine must have been silent before its jobs are taken over."""

TOUCH_S = 10.0
POLL_S = 0.5
"""How often a run that has nothing else to do looks whether others are done."""

_ALIVE = ".alive"


class Claims:
    """The claims of one run. Any number of threads may use them.

    machine: what tells this machine from others, by which locks are believed.
    """

    def __init__(self, folder: Path, machine: str | None = None) -> None:
        self._folder = Path(folder) / "claims"
        self._machine = this_machine() if machine is None else machine
        self._name = f"{secrets.token_hex(8)}{_ALIVE}"
        self._mine: dict[str, int] = {}
        self._books = threading.Lock()
        self._descriptor = -1
        self._ended = threading.Event()
        self._toucher: threading.Thread | None = None

    def __enter__(self) -> Claims:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / self._name
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o666)
        with contextlib.suppress(OSError):  # file systems without locks
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.write(self._descriptor, self._machine.encode())
        self._toucher = threading.Thread(target=self._touch, daemon=True, name="claims")
        self._toucher.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Give up all claims."""
        self._ended.set()
        if self._toucher is not None:
            self._toucher.join()
        for key in list(self._mine):
            self.release(key)
        with contextlib.suppress(OSError):
            (self._folder / self._name).unlink()
        os.close(self._descriptor)
        with contextlib.suppress(OSError):  # other runs are at work
            self._folder.rmdir()

    def take(self, key: str) -> bool:
        """Whether this run may work on a job: nobody else does, or who did has died."""
        with self._books:
            if key in self._mine:
                return True
            number, holder = self._last(key)
            if number >= 0 and self._lives(holder, self._path(key, number)):
                return False
            if not self._create(key, number + 1):
                return False  # another run was faster
            self._mine[key] = number + 1
            return True

    def release(self, key: str) -> None:
        """Tell that the job is done, or that this run will not do it."""
        with self._books:
            number = self._mine.pop(key, -1)
            for n in range(number + 1):  # the last one at the end: until then it counts
                with contextlib.suppress(OSError):
                    self._path(key, n).unlink()

    def held_elsewhere(self, key: str) -> bool:
        """Whether a run that lives works on a job, other than this one."""
        number, holder = self._last(key)
        if number < 0 or holder == self._name:
            return False
        return self._lives(holder, self._path(key, number))

    def _path(self, key: str, number: int) -> Path:
        return self._folder / f"{key}.{number}"

    def _create(self, key: str, number: int) -> bool:
        try:
            with open(self._path(key, number), "x", encoding="ascii") as file:
                file.write(self._name)
        except FileExistsError:
            return False
        return True

    def _last(self, key: str) -> tuple[int, str]:
        """Number and holder of the claim that counts; -1 if there is none."""
        number, holder = -1, ""
        while True:
            try:
                holder = self._path(key, number + 1).read_text(encoding="ascii", errors="replace")
            except FileNotFoundError:
                return number, holder
            number += 1

    def _lives(self, holder: str, claim: Path) -> bool:
        """Whether the run of this name is at work. "": its name is still being written."""
        if not holder:
            return not self._silent(claim)
        path = self._folder / holder
        if not is_name(holder) or not holder.endswith(_ALIVE):
            return False  # no run writes such a claim
        try:
            with open(path, "rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
                except OSError:  # a file system without locks
                    return not self._silent(path)
                here = file.read().decode(errors="replace") == self._machine
        except FileNotFoundError:
            return False
        return not (here or self._silent(path))

    def _silent(self, path: Path) -> bool:
        """Whether a run has not touched its file for long, by the clock of the file system."""
        os.utime(own := self._folder / self._name)
        try:
            return own.stat().st_mtime - path.stat().st_mtime > SILENT_S
        except FileNotFoundError:
            return True

    def _touch(self) -> None:
        while not self._ended.wait(TOUCH_S):
            with contextlib.suppress(OSError):
                os.utime(self._folder / self._name)


def this_machine() -> str:
    """What tells this machine, since it was started, from others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{os.uname().nodename} {time.time() - time.monotonic():.0f}"
