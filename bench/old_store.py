"""Reads stores that versions before the append-only segments wrote: one file per job and per task.

    <folder>/jobs/<key>.json, .npz, .log    a job's record, its scores, what it printed if it failed
    <folder>/tasks/<hash>.npz               a task: arrays, variables, and `about` as JSON
    <folder>/models/<key>/record.json       a fit's record

Nothing writes this form any more.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.printable import printable
from cdnbench.record import FitRecord, JobRecord, NotARecord, Record, TaskRecord, record_of


@dataclass(frozen=True)
class OldStore:
    """problems: what could not be read, in words."""

    folder: Path
    problems: list[str] = field(default_factory=list)

    def records(self) -> Iterator[Record]:
        """The records of all jobs and fits."""
        for path in sorted((self.folder / "jobs").glob("[!.]*.json")):
            record = self._read(path)
            if isinstance(record, JobRecord):
                log = path.with_suffix(".log")
                yield replace(record, log=f"jobs/{log.name}") if log.exists() else record
        for path in sorted((self.folder / "models").glob("*/record.json")):
            record = self._read(path)
            if isinstance(record, FitRecord):
                log = path.with_name("fit.log")
                name = f"models/{path.parent.name}/{log.name}"
                yield replace(record, log=name) if log.exists() else record

    def has_scores(self, key: str) -> bool:
        return self._scores(key).is_file()

    def scores(self, key: str) -> dict[str, np.ndarray]:
        """Variant -> (n_regimes, n_variables) scores; raises OSError or ValueError."""
        with _opened(self._scores(key)) as arrays:
            return {"" if name == "scores" else name: arrays[name] for name in arrays.files}

    def has_task(self, hash: str) -> bool:
        return self._task(hash).is_file()

    def task(self, hash: str) -> TaskRecord:
        """Raises OSError, or ValueError where the file is not a task."""
        with _opened(self._task(hash)) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        if "about" not in found or "variables" not in found:
            raise NotARecord(f"{self._task(hash)} is not a task")
        about: dict[str, Any] = json.loads(str(found.pop("about")))
        variables = found.pop("variables").tolist()
        return TaskRecord.of_plain({**about, "hash": hash, "variables": variables}, found)

    def _scores(self, key: str) -> Path:
        return self.folder / "jobs" / f"{key}.npz"

    def _task(self, hash: str) -> Path:
        return self.folder / "tasks" / f"{hash}.npz"

    def _read(self, path: Path) -> Record | None:
        try:
            if not path.is_file():  # a pipe would be waited for
                raise NotARecord("it is not a file")
            values = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise NotARecord("it is not a JSON object")
            return record_of(values)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            self.problems.append(printable(f"{path} is not a record: {error}. Delete it."))
            return None


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        return np.load(path)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} is damaged ({error})") from None
