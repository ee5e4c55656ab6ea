"""Where a process works and what it prints to: a folder of its own, and a log that lies elsewhere.

A process may delete, replace or fill any of it; the run goes on.
"""

from __future__ import annotations

import os
from pathlib import Path

from cdnbench.runners.reaper import remove_tree
from cdnbench.runners.scratch import new_folder

LOG_KEPT = 100_000
"""Bytes of what a failed job printed that are kept: the last ones."""


class Log:
    """A file to print to. It is read through a descriptor opened before the process has started, so
    that it does not matter what becomes of its path."""

    def __init__(self, scratch: Path) -> None:
        self._descriptor = -1
        self.path = new_folder(scratch) / "log"
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def last(self) -> bytes:
        """The last part of what was printed."""
        return os.pread(self._descriptor, LOG_KEPT, max(0, self.size - LOG_KEPT))

    def remove(self) -> None:
        remove_tree(str(self.path.parent))

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


class Place:
    """The folder of one process, under a name that says nothing, and its log.

    work: where it works and puts temporary files. Its input lies beside until it has been read.
    """

    def __init__(self, scratch: Path) -> None:
        self.log = Log(scratch)
        try:
            self.root = new_folder(scratch)
            self.work = self.root / "work"
            self.work.mkdir()
        except OSError:
            self.log.remove()
            raise

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *error: object) -> None:
        remove_tree(str(self.root))
        self.log.remove()
