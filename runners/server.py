"""The fork server that processes come out of.

One server a run: it imports what the methods need once, so that a job costs a fork and not an
import. If it was killed, it is started again with the next process. The processes that it had
forked go on without it; only how they end can no longer be asked.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, forkserver
from typing import Any

from cdnbench.errors import BenchError

IMPORTING_S = 600.0
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

STARTS = 5
"""How often a process is started while the fork server dies meanwhile."""

BOOKS = threading.Lock()
"""multiprocessing's book-keeping of forked processes is not safe to use from several threads."""

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


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


def started(target: Callable[..., None]) -> tuple[connection.Connection, Any, int]:
    """A new process: the run's end of its connection, the process, and the number of the server.

    Raises
    ------
    BenchError: the fork server dies each time.
    """
    for _ in range(STARTS):
        ours, theirs = _context().Pipe()
        process = _context().Process(target=_lead_session, args=(target, theirs), daemon=False)
        try:
            with BOOKS:
                process.start()  # and the server with it, if it is not there
                return ours, process, forkserver._forkserver._forkserver_pid  # type: ignore
        except (EOFError, ConnectionError, FileNotFoundError):  # it has just died
            ours.close()
            time.sleep(0.1)
        finally:
            theirs.close()
    raise BenchError(
        f"The fork server, which starts the jobs, was killed {STARTS} times in a row (out of "
        "memory?). Run the command again, with fewer jobs at once (--jobs)."
    )


def _stop_server() -> None:
    """Killed, since it would wait for every process that has inherited its descriptors, however far
    removed."""
    with BOOKS:
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
