"""A task's samples on disk, in a form that a job opens as a read-only memory map.

The run keeps one copy of each task, whose files cannot be written, with their checksums. If it can
be sealed (`cdnbench.runners.sealed`), all jobs read that one. Else each job gets a copy of its own,
which has no name any more when the method is called. So a method finds no file through which it
could change what another one reads. One that looks for the run's copy, and may write it since it is
root, changes the checksum, and the task is made anew.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cdnbench.runners.reaper import remove_tree
from cdnbench.task import Task

ROWS, CANDIDATES, ABOUT = "rows.npy", "candidates.npy", "about.json"
_BLOCK = 1 << 20

Given = int | Mapping[str, int]
"""A job's input: the descriptor of a sealed file, or the checksums of the files of its own copy."""


class Changed(Exception):
    """The samples are not what was written."""


def write_samples(folder: Path, task: Task) -> dict[str, int]:
    """Write all rows as one array, and the rest as JSON. The task's name is left out.

    Returns the checksum of each file by its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [task.observational, *task.regimes]
    # Written, not mapped: a full disk is an error of `write`, but a signal of a map.
    with open(folder / ROWS, "wb") as file:
        shape = (sum(map(len, blocks)), task.n_variables)
        header = {
            "descr": np.dtype(np.float32).str,
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block).data)
    np.save(folder / CANDIDATES, task.candidates)  # type: ignore[arg-type]
    about = {
        "variables": list(task.variables),
        "sizes": [len(block) for block in blocks],
        "metadata": dict(task.metadata),
        "symbols": None if task.symbols is None else list(task.symbols),
    }
    (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    checksums = {}
    for name in (ROWS, CANDIDATES, ABOUT):
        with open(folder / name, "rb") as file:
            checksums[name] = _checksum(file)
        (folder / name).chmod(0o444)
    folder.chmod(0o555)
    return checksums


def copy_samples(folder: Path, checksums: Mapping[str, int], into: Path) -> None:
    """Copy samples for one job.

    Raises
    ------
    Changed: a file is missing or has another content than was written. OSError: the copy cannot be
        written.
    """
    into.mkdir(parents=True, exist_ok=True)
    for name, expected in checksums.items():
        if not (folder / name).is_file():
            raise Changed(f"{folder / name} is missing")
        found = 0
        with open(folder / name, "rb") as source, open(into / name, "wb") as target:
            while block := source.read(_BLOCK):
                found = zlib.crc32(block, found)
                target.write(block)
        if found != expected:
            raise Changed(f"{folder / name} was changed")


def take_samples(folder: Path, checksums: Mapping[str, int]) -> Task:
    """The task again, and the folder is gone: its arrays are maps of files without a name.

    The task's name is neutral, and its arrays cannot be made writable.

    Raises
    ------
    Changed: the copy was deleted or changed before it was read.
    """
    with contextlib.ExitStack() as stack:
        try:
            files = {name: stack.enter_context(open(folder / name, "rb")) for name in checksums}
            rows = np.load(folder / ROWS, mmap_mode="r").view(np.ndarray)
            candidates = np.load(folder / CANDIDATES)
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise Changed(str(error)) from None
        remove_tree(str(folder))
        # Now that nobody can open them any more.
        if any(_checksum(files[name]) != expected for name, expected in checksums.items()):
            raise Changed(f"{folder} was changed")
    return task_of(about, rows, candidates)


def task_of(about: Mapping[str, Any], rows: np.ndarray, candidates: np.ndarray) -> Task:
    """The task again, under a neutral name, from what was written of it."""
    ends = np.cumsum(about["sizes"])
    blocks = (rows[end - size : end] for end, size in zip(ends, about["sizes"], strict=True))
    observational, *regimes = blocks
    return Task(
        name="task",
        variables=about["variables"],
        observational=observational,
        regimes=regimes,
        candidates=candidates,
        metadata=about["metadata"],
        symbols=about["symbols"],
    )


def _checksum(file: BinaryIO) -> int:
    found = 0
    while block := file.read(_BLOCK):
        found = zlib.crc32(block, found)
    return found
