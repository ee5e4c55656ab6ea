"""A task's samples on disk, in a form that a job opens as a read-only memory map."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cdnbench.task import Task

_ROWS, _CANDIDATES, _ABOUT = "rows.npy", "candidates.npy", "about.json"


def write_samples(folder: Path, task: Task) -> None:
    """Write all rows as one array, and the rest as JSON. The task's name is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [task.observational, *task.regimes]
    shape = (sum(map(len, blocks)), task.n_variables)
    rows = np.lib.format.open_memmap(folder / _ROWS, mode="w+", dtype=np.float32, shape=shape)
    np.concatenate(blocks, out=rows)
    rows.flush()
    np.save(folder / _CANDIDATES, task.candidates)  # type: ignore[arg-type]
    about = {
        "variables": list(task.variables),
        "sizes": [len(block) for block in blocks],
        "metadata": dict(task.metadata),
        "symbols": None if task.symbols is None else list(task.symbols),
    }
    (folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")


def read_samples(folder: Path) -> Task:
    """The task again. Its name is neutral, and its arrays do not say which file they lie in."""
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    rows = np.load(folder / _ROWS, mmap_mode="r").view(np.ndarray)
    ends = np.cumsum(about["sizes"])
    blocks = (rows[end - size : end] for end, size in zip(ends, about["sizes"], strict=True))
    observational, *regimes = blocks
    return Task(
        name="task",
        variables=about["variables"],
        observational=observational,
        regimes=regimes,
        candidates=np.load(folder / _CANDIDATES),
        metadata=about["metadata"],
        symbols=about["symbols"],
    )
