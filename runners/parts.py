"""A part of a plan on another machine: what is sent there, what is done there, what comes back."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cdnbench.errors import BenchError
from cdnbench.runners.processes import Reaper

_LAST_LINES = 20


@dataclass(frozen=True)
class Request:
    """A part of the plan. arguments: of `bench run`, without the folder and the shard. keys: of its
    jobs, or of what it trains. store: a packed folder of what has been trained before, or b""."""

    arguments: tuple[str, ...]
    keys: tuple[str, ...]
    store: bytes = b""


@dataclass(frozen=True)
class Reply:
    """What became of a part. store: the packed folder of results. refused: what `bench run` said
    where it could not carry out the command, or "". worker: the address of who answers."""

    worker: str
    store: bytes = b""
    refused: str = ""


def run_part(request: Request) -> Reply:
    """Run a part. This is what a worker does, in one of its threads.

    If the worker is killed, the reaper ends the run and removes its folder.
    """
    folder = Path(tempfile.mkdtemp(prefix="cdnbench-part-"))
    reaper = Reaper([str(folder)])
    try:
        results = folder / "results"
        results.mkdir()
        if request.store:
            unpack(request.store, results)
        (folder / "keys").write_text("\n".join(request.keys), encoding="ascii")
        words = ["run", *request.arguments, "--shard", f"@{folder / 'keys'}"]
        words += ["--out", str(results)]
        process = subprocess.Popen(
            [sys.executable, "-m", "cdnbench.cli", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env=_environment(),
        )
        reaper.add(process.pid)
        printed, _ = process.communicate()
        reaper.remove(process.pid)
        if process.returncode not in (0, 1):  # 1: some jobs failed, which their records tell
            said = "\n".join(printed.strip().splitlines()[-_LAST_LINES:])
            return Reply(_address(), refused=said or f"it ended with code {process.returncode}")
        return Reply(_address(), pack(results))
    finally:
        reaper.close()
        shutil.rmtree(folder, ignore_errors=True)


def pack(folder: Path) -> bytes:
    """A folder of results as bytes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as archive:
        for name in ("records", "models", "logs"):
            if (folder / name).is_dir():
                archive.add(folder / name, name)
    return content.getvalue()


def unpack(content: bytes, folder: Path) -> None:
    """The folder again.

    Raises
    ------
    BenchError: the bytes are no packed folder.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            archive.extractall(folder, filter="data")  # nothing outside the folder, and no links
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BenchError(f"What a worker sent cannot be unpacked: {error}.") from None


def _environment() -> dict[str, str]:
    """This process's environment, without what dask tells the allocator of its workers: to hand
    memory back at once, which doubles the time that jobs spend in the kernel."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}


def _address() -> str:
    from distributed import get_worker

    try:
        return get_worker().address
    except ValueError:  # not inside a worker
        return ""
