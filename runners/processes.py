"""The processes that jobs run in, and the helper that ends them if the run is killed.

Each comes out of the fork server and leads a session of its own, which can be ended as a whole. It
starts to work only when the runner, having registered it with the reaper, sends its first message.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import connection, reduction
from typing import Any

import psutil

from cdnbench.runners import reaper, server
from cdnbench.runners.family import descendants


class Worker:
    """One forked process with a two-way connection. Messages are plain picklable values."""

    def __init__(self, target: Callable[..., None], reaper: Reaper) -> None:
        self._reaper = reaper
        self.connection, self._process, self._server = server.started(target)
        self._signs: list[Any] = [self.connection, self._process.sentinel]
        self.pid: int = self._process.pid
        reaper.add(self.pid)

    def send(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        """Send, unless the process has ended (which `wait` will tell)."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)
            for descriptor in descriptors:
                reduction.send_handle(self.connection, descriptor, self.pid)

    def wait(self, seconds: float) -> bool:
        """Whether a message or the end of the process came within `seconds`."""
        ready = connection.wait(self._signs, timeout=max(0.0, seconds))
        if self._process.sentinel in ready and self.connection not in ready and self._orphaned():
            self._signs = [self.connection]  # which tells of its end as well, a little later
            return False
        return bool(ready)

    def receive(self) -> Any | None:
        """The next message that has arrived; None at the end, or if it is no message: a method may
        have closed the connection, or written to it."""
        try:
            return self.connection.recv() if self.connection.poll() else None
        except Exception:
            return None

    def exit_code(self) -> int | None:
        """How a process that closed its connection ended (negative: by that signal); None if it
        lives on without one.

        Raises
        ------
        ServerDied: nobody knows, since the fork server ended before.
        """
        if not self._over(5):
            return None
        if self._orphaned():
            raise ServerDied
        return self._code()

    def end(self) -> None:
        """Kill what is left of the process and of everything it started, and forget it."""
        left = descendants(self.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for pid in left:  # those that left the group
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not self._over(0):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        if self._over(30):
            with server.BOOKS:
                self._process.join()
                self._process.close()
            self._reaper.remove(self.pid)
        self.connection.close()

    def _over(self, seconds: float) -> bool:
        return bool(connection.wait([self._process.sentinel], timeout=seconds))

    def _code(self) -> int:
        with server.BOOKS:
            self._process.join()
            return self._process.exitcode

    def _orphaned(self) -> bool:
        """Whether what looks like the end of the process is that of the server.

        The code 255 stands for a process that the server could not tell of. The server closes its
        pipes a little before it is seen to be dead, so that it has to be waited for.
        """
        end = time.monotonic() + 1.0
        while self._code() == 255:
            try:
                if psutil.Process(self._server).status() == psutil.STATUS_ZOMBIE:
                    return True
            except psutil.Error:
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)
        return False


class ServerDied(Exception):
    """The fork server ended, and with it what it knew of the processes that it had forked."""


class Reaper:
    """The helper process that ends this run's jobs should the run itself be killed (see
    `cdnbench.runners.reaper`)."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", reaper.__file__, *folders],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
            bufsize=1,
        )

    def add(self, group: int) -> None:
        self._write(f"+{group}\n")

    def remove(self, group: int) -> None:
        self._write(f"-{group}\n")

    def _write(self, line: str) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line)  # type: ignore[union-attr]

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()
