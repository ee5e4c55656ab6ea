"""One process at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_EVERY_S = 0.1


@contextmanager
def locked(path: Path, waiting: Callable[[str], None] = lambda pid: None) -> Iterator[None]:
    """Hold the lock file `path`, which names the process that holds it and goes away at the end.

    waiting: called again and again with the number of the process that holds the lock. The system
    frees the lock of a process that has died, so that its file keeps nobody waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+", encoding="utf-8") as file:
            while not _taken(file.fileno()):
                file.seek(0)
                waiting(file.read().strip() or "unknown")
                time.sleep(_LOOK_EVERY_S)
            if not _is(path, file.fileno()):
                continue  # the one that held it has removed it: what is locked is no longer there
            try:
                file.truncate(0)
                file.write(f"{os.getpid()}\n")
                file.flush()
                yield
            finally:
                path.unlink(missing_ok=True)  # while it is locked
            return


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
