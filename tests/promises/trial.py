"""Readers on damaged files, in a process of their own: a crash of compiled code ends that process
alone, and a reader that hangs or takes too much memory is stopped."""

from __future__ import annotations

import multiprocessing
import random
import resource
import shutil
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple

from damage import damaged
from samples_of_files import READERS

MEMORY = 3 * 2**30
"""Bytes that reading one small file may take beside what the libraries take."""
SECONDS = 60
"""After which a reader of a small file hangs."""


class Outcome(NamedTuple):
    """failed: an error that is not the project's own, a signal, or a reader that hangs."""

    kind: Literal["read", "refused", "failed"]
    text: str = ""


def place(name: str, folder: Path, rng: random.Random) -> Path:
    """A sample of a reader, damaged in most cases, in an empty folder. What to read of it."""
    from hdf5_damage import edited

    reader = READERS[name]
    path = reader.write(folder, rng)
    fate = rng.random()
    if fate < 0.04:
        return path
    if reader.hdf5 and fate < 0.6:
        edited(path, rng)
        if rng.random() < 0.8:
            return path
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    chosen = path if path.is_file() and rng.random() < 0.7 else rng.choice(files)
    chosen.write_bytes(damaged(chosen.read_bytes(), rng))
    return path


def attempt(name: str, path: Path) -> Outcome:
    """Read a sample."""
    from cdnbench.errors import BenchError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            READERS[name].read(path)
    except BenchError as error:
        return Outcome("refused", str(error))
    except BaseException:
        return Outcome("failed", traceback.format_exc(limit=-8))
    return Outcome("read")


def _work(connection: Connection) -> None:
    """Answer one request after the other. A request is a name of a reader and a path."""
    import torch

    torch.set_num_threads(1)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (request := connection.recv()) is not None:
        connection.send(attempt(*request))


class Trial:
    """One process that reads samples. It is started anew after a crash."""

    def __init__(self) -> None:
        # Not forked: threads of the libraries may hold locks here.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["trial", "anndata", "pyarrow.parquet", "torch", "safetensors.torch", "scipy.io"]
        )
        self._process: Any = None

    def _start(self) -> None:
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def of(self, name: str, write: Callable[[Path], Path]) -> Outcome:
        """Read what `write` places in an empty folder."""
        with tempfile.TemporaryDirectory() as folder:
            return self.on(name, write(Path(folder)))

    def on(self, name: str, path: Path) -> Outcome:
        if self._process is None:
            self._start()
        self._connection.send((name, path))
        try:
            if self._connection.poll(SECONDS):
                return self._connection.recv()
            self.close()
            return Outcome("failed", f"it hangs: no answer within {SECONDS} seconds")
        except (EOFError, ConnectionError):
            self._process.join()
            code, self._process = self._process.exitcode, None
            which = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return Outcome("failed", f"the process ended: {which}")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def reproduce(name: str, seed: int, folder: Path) -> Path:
    """The sample of a seed, for a closer look."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return place(name, folder, random.Random(seed))
