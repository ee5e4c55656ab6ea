"""Reads stores that versions before the append-only segments wrote: one file per job and per task.

    <folder>/jobs/<key>.json, .npz, .log    a job's record, its scores, what it printed if it failed
    <folder>/tasks/<hash>.npz               a task: arrays, variables, and `about` as JSON
    <folder>/models/<key>/record.json       a fit's record

Nothing writes this form any more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.arrays import read_npz
from cdnbench.files import NotAFile, check_folders, opened_file, what_is
from cdnbench.problems import Problems
from cdnbench.record import FitRecord, JobRecord, NotARecord, Record, TaskRecord, record_of

WRONG = (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError)
"""What wrong values can raise where they are taken for records."""


@dataclass(frozen=True)
class OldStore:
    """problems: takes what cannot be used."""

    folder: Path
    problems: Problems

    def records(self) -> Iterator[Record]:
        """The records of all jobs and fits."""
        self._files("tasks")  # which tells what is no file
        for path in self._files("jobs"):
            if path.suffix == ".json" and isinstance(record := self._read(path), JobRecord):
                log = path.with_suffix(".log")
                yield replace(record, log=f"jobs/{log.name}") if log.exists() else record
        for folder in self._files("models"):
            path = folder / "record.json"
            if os.path.lexists(path) and isinstance(record := self._read(path), FitRecord):
                log = path.with_name("fit.log")
                name = f"models/{path.parent.name}/{log.name}"
                yield replace(record, log=name) if log.exists() else record

    def has_scores(self, key: str) -> bool:
        """Whether they are there and undamaged."""
        return self._is_whole(self._scores(key), lambda: self.scores(key))

    def scores(self, key: str) -> dict[str, np.ndarray]:
        """Variant -> (n_regimes, n_variables) scores; raises OSError or ValueError."""
        arrays = self._arrays(self._scores(key))
        return {"" if name == "scores" else name: array for name, array in arrays.items()}

    def has_task(self, hash: str) -> bool:
        """Whether it is there and undamaged."""
        return self._is_whole(self._task(hash), lambda: self.task(hash))

    def task(self, hash: str) -> TaskRecord:
        """Raises OSError, or ValueError where the file is not a task."""
        found = self._arrays(self._task(hash))
        try:
            about: dict[str, Any] = json.loads(str(found.pop("about")))
            variables = found.pop("variables").tolist()
            return TaskRecord.of_plain({**about, "hash": hash, "variables": variables}, found)
        except WRONG as error:
            raise NotARecord(f"{self._task(hash)} is not a task: {error}") from None

    def _scores(self, key: str) -> Path:
        return self.folder / "jobs" / f"{key}.npz"

    def _task(self, hash: str) -> Path:
        return self.folder / "tasks" / f"{hash}.npz"

    def _arrays(self, path: Path) -> dict[str, np.ndarray]:
        check_folders(self.folder, path)
        return read_npz(path)

    def _is_whole(self, path: Path, read: Any) -> bool:
        try:
            read()
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            self.problems.whole(path, error)
            return False
        return True

    def _files(self, name: str) -> list[Path]:
        folder = self.folder / name
        try:
            if (found := what_is(folder)) not in ("a folder", "nothing"):
                raise NotAFile(f"it is {found}, not a folder")
            paths = [folder / each for each in sorted(os.listdir(folder))]
        except FileNotFoundError:
            return []
        except OSError as error:
            self.problems.whole(folder, error.strerror or error)
            return []
        return [path for path in paths if self._belongs(path)]

    def _belongs(self, path: Path) -> bool:
        found = what_is(path)
        if ".partial-" in path.name or found == "nothing":
            return False
        if path.name.startswith("._"):
            self.problems.whole(path, "it is not part of a store")
        elif found != ("a folder" if path.parent.name == "models" else "a file"):
            self.problems.whole(path, f"it is {found}")
        return not self.problems.is_whole(path)

    def _read(self, path: Path) -> Record | None:
        try:
            with opened_file(path) as file:
                values = json.loads(file.read())
            if not isinstance(values, dict):
                raise NotARecord("it is not a JSON object")
            record = record_of(values)
            named = path.parent.name if path.name == "record.json" else path.stem
            if record.key != named:
                raise NotARecord(f"it is the record of {record.key}")
            return record
        except FileNotFoundError:  # another run set it aside
            return None
        except (OSError, *WRONG) as error:
            self.problems.whole(path, f"it is not a record: {error}")
            return None
