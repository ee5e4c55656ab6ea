"""The fork server and the processes that come out of it.

One server a run: it imports what the methods need once, so that a job costs a fork and not an
import. Each process it forks leads a session of its own, which can be ended as a whole, and starts
to work only when the runner, having registered it with the reaper, sends its first message.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, forkserver
from typing import Any

import psutil

from cdnbench.errors import BenchError
from cdnbench.runners import reaper
from cdnbench.runners.family import descendants

IMPORTING_S = 600.0
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

SERVER_DIED = "The fork server was killed (out of memory?). Run the command again."

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

# multiprocessing's book-keeping of forked processes is not safe to use from several threads.
_BOOKS = threading.Lock()


class Worker:
    """One forked process with a two-way connection. Messages are plain picklable values."""

    def __init__(self, target: Callable[..., None], reaper: Reaper) -> None:
        self._reaper = reaper
        self.connection, theirs = _context().Pipe()
        self._process = _context().Process(
            target=_lead_session, args=(target, theirs), daemon=False
        )
        try:
            with _BOOKS:
                self._process.start()
        except (EOFError, ConnectionError):
            raise BenchError(SERVER_DIED) from None
        finally:
            theirs.close()
        self.pid: int = self._process.pid  # type: ignore[assignment]
        reaper.add(self.pid)

    def send(self, message: Any) -> None:
        """Send, unless the process has ended (which `wait` will tell)."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)

    def wait(self, seconds: float) -> bool:
        """Whether a message or the end of the process came within `seconds`."""
        return bool(
            connection.wait([self.connection, self._process.sentinel], timeout=max(0.0, seconds))
        )

    def receive(self) -> Any | None:
        """The next message that has arrived; None at the end, or if it is no message: a method may
        have closed the connection, or written to it."""
        try:
            return self.connection.recv() if self.connection.poll() else None
        except Exception:
            return None

    def exit_code(self) -> int | None:
        """How a process that closed its connection ended (negative: by that signal); None if it
        lives on without one."""
        if not self._over(5):
            return None
        with _BOOKS:
            self._process.join()
            return self._process.exitcode

    def end(self) -> None:
        """Kill what is left of the process and of everything it started, and forget it."""
        left = descendants(self.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for process in left:  # those that left the group
            with contextlib.suppress(psutil.Error):
                process.kill()
        if not self._over(0):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        if self._over(30):
            with _BOOKS:
                self._process.join()
                self._process.close()
            self._reaper.remove(self.pid)
        self.connection.close()

    def _over(self, seconds: float) -> bool:
        return bool(connection.wait([self._process.sentinel], timeout=seconds))


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


@contextlib.contextmanager
def fork_server(preload: Sequence[str], threads: int) -> Iterator[None]:
    """A running fork server that has imported `preload`, with every numeric library held to
    `threads` threads.

    Raises
    ------
    BenchError: the server did not start, or a module to preload cannot be imported (by itself it
    would be left out silently).
    """
    modules = [*dict.fromkeys(["cdnbench.runners.worker", *preload]), "cdnbench.runners.preload"]
    environment = {name: str(threads) for name in THREAD_VARIABLES} | {
        "PYTHONHASHSEED": "0",
        "PYTHONWARNINGS": "ignore",
        # A file `random.py` in the current folder must not be taken for a module.
        "PYTHONPATH": os.pathsep.join(search_path()),
        "PYTHONSAFEPATH": "1",
    }
    # What the user set is put back by `cdnbench.runners.preload`.
    environment |= {
        f"CDNBENCH_{name}": os.environ.get(name, "") for name in ("PYTHONPATH", "PYTHONSAFEPATH")
    }
    with _environment(environment), _no_main_module():
        _stop_server()  # one of an earlier run has other modules
        _context().set_forkserver_preload(modules)
        try:
            forkserver.ensure_running()
            _check_imports(modules)
            yield
        finally:
            _stop_server()


def search_path() -> list[str]:
    """`sys.path` without the current folder, unless `PYTHONPATH` or an installed package names it.

    Python puts the current folder, or that of the script, before all else; installed packages come
    after the standard library.
    """
    wanted = [os.path.realpath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    library = os.path.realpath(os.path.dirname(os.__file__))
    here, found, installed = os.path.realpath(os.curdir), [], False
    for entry in sys.path:
        real = os.path.realpath(entry)
        installed = installed or real == library
        if entry and (real != here or installed or real in wanted):
            found.append(entry)
    return found


def how_it_ended(exit_code: int | None) -> str:
    """How a process ended that should not have, in words.

    Raises
    ------
    BenchError: the fork server ended, and with it what it knew.
    """
    if server_died(exit_code):
        raise BenchError(SERVER_DIED)
    if exit_code is None:
        return "closed its connection"
    if exit_code < 0:
        return f"was killed by {signal_name(-exit_code)}"
    return f"ended with code {exit_code}"


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def server_died(exit_code: int | None) -> bool:
    """Whether the server ended, given how one of its processes seems to have ended.

    The code 255 stands for one that the server could not tell. It closes its pipes a little before
    it is seen to be dead, so that it has to be waited for.
    """
    pid = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    end = time.monotonic() + (1.0 if exit_code == 255 else 0.0)
    while True:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except (psutil.Error, ValueError, TypeError):
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.01)


def _stop_server() -> None:
    """Killed, since it would wait for every process that has inherited its descriptors, however far
    removed."""
    with _BOOKS:
        pid = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        forkserver._forkserver._stop()  # type: ignore[attr-defined]


def _check_imports(modules: Sequence[str]) -> None:
    ours, theirs = _context().Pipe()
    process = _context().Process(target=_missing, args=(theirs, list(modules)))
    try:
        process.start()
        theirs.close()
        missing = (
            ours.recv()
            if ours.poll(IMPORTING_S)
            else {"a module": f"not done within {IMPORTING_S:g} s"}
        )
        process.join(5)
    except (EOFError, OSError) as error:
        raise BenchError(
            f"The fork server died while it imported {', '.join(modules)} "
            f"({type(error).__name__}); import them by hand to "
            "see why."
        ) from None
    if missing:
        raise BenchError(
            "Cannot import " + "; ".join(f"{name}: {why}" for name, why in missing.items()) + "."
        )


def _missing(conn: connection.Connection, modules: list[str]) -> None:
    _search_as_the_server_did()
    missing = {}
    for name in modules:
        if name not in sys.modules:
            try:
                __import__(name)
            except Exception as error:
                missing[name] = f"{type(error).__name__}: {error}"
    conn.send(missing)


def _lead_session(
    target: Callable[[connection.Connection], None], conn: connection.Connection
) -> None:
    os.setsid()
    _search_as_the_server_did()
    _let_go_of_the_server()
    _adopt_orphans()
    target(conn)
    with contextlib.suppress(EOFError, OSError):
        conn.recv()  # stay until the runner, having seen what this process started, ends it


def _search_as_the_server_did() -> None:
    """Undo what multiprocessing does in each process: it sets the search path of the run, with the
    current folder."""
    from cdnbench.runners import preload  # which the server has imported

    sys.path[:] = preload.SEARCH_PATH


def _let_go_of_the_server() -> None:
    """Close this process's end of the pipe that tells the server whether it is still needed: a
    method that writes to any descriptor would end the server."""
    ours: Any = forkserver._forkserver  # type: ignore[attr-defined]
    if ours._forkserver_alive_fd is not None:
        os.close(ours._forkserver_alive_fd)
    ours._forkserver_alive_fd = ours._forkserver_address = ours._forkserver_pid = None


def _adopt_orphans() -> None:
    """Have processes whose parents ended become children of this one, so that a daemon can still be
    found (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _context() -> Any:
    return multiprocessing.get_context("forkserver")


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """The variables set for the server, which inherits them, and put back afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """Hide the caller's `__main__`, which every forked process would otherwise import again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
