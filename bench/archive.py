"""Finished stores in a form worth committing: a few Parquet files per suite and protocol.

    <folder>/tasks.parquet     one row per task: hash, about (JSON), variables, and the arrays of
                               `TaskRecord` by name
    <folder>/<method>.parquet  one row per job: its record (JSON) and one column of scores per
                               reading; and one row per training that jobs name: its record

Arrays are flattened row by row. Floating-point arrays are float32. A column of scores is float64
where float32 would make ties or infinite values of some of them. Reports read an archive like a
store; `cdnbench.compaction` writes one.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.errors import BenchError
from cdnbench.problems import SET_ASIDE, Problems
from cdnbench.record import JobRecord, NotARecord, Record, Status, TaskRecord, record_of
from cdnbench.rows import NewerVersion, holds_rows, read_rows
from cdnbench.store import Store
from cdnbench.store_index import printable_record
from cdnbench.truth import ARRAYS

TASKS = "tasks.parquet"
SCORES = "scores:"
"""What the names of columns of scores begin with; the name of the reading follows."""
_ABOUT = ("hash", "about", "variables")
_PER_REGIME = {spec.name for spec in ARRAYS if spec.metadata["axes"] == 1}
_WRONG = (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True)
class Archive:
    """A compacted store; it has what reports need of a `Store`.

    problems: what in the folder cannot be used, in words. It is left out.
    """

    folder: Path
    _problems: Problems = field(init=False, repr=False)
    _made: dict[str, TaskRecord] = field(init=False, repr=False, default_factory=dict)
    """Tasks that have been asked for: the scores of every job need the shape of theirs."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_problems", Problems(self.folder))

    @staticmethod
    def is_at(folder: Path) -> bool:
        """Whether a folder holds an archive, if only a part of it."""
        if os.path.lexists(folder / TASKS):
            return True
        try:
            return any(holds_rows(folder / name, "record") for name in _names_in(folder))
        except OSError:
            return False

    @property
    def problems(self) -> list[str]:
        if self._found and not os.path.lexists(self.folder / TASKS):
            self._problems.part(
                self.folder / TASKS,
                "is missing",
                "the results beside it cannot be used without it. Copy it here, too, or run `bench "
                "compact` again",
            )
        _ = self._tasks
        return self._problems.texts

    def records(self) -> Iterator[Record]:
        """All records, in the order of their keys."""
        yield from (record for _, (record, _) in sorted(self._found.items()))

    def scores(self, key: str) -> dict[str, np.ndarray]:
        """Variant -> (n_regimes, n_variables) float64 scores of a job that is "ok".

        Raises
        ------
        OSError, ValueError: they are missing or damaged, or their task is.
        """
        record, row = self._jobs[key]
        shape = self.task(record.task_hash).candidates.shape
        try:
            found = {
                name.removeprefix(SCORES): np.array(flat, np.float64).reshape(shape)
                for name, flat in row.items()
                if name.startswith(SCORES) and flat is not None
            }
            if missing := set(record.variants or ("",)) - set(found):
                named = ", ".join(sorted(filter(None, missing)))
                raise ValueError(f"the reading {named} is missing" if named else "they are missing")
            return found
        except _WRONG as error:
            path = self.method_path(record.method)
            self._problems.part(path, f"scores of {record.task}", error)
            raise ValueError(f"{self.folder} has no scores of {record.task}: {error}") from None

    def task(self, hash: str) -> TaskRecord:
        """What is known of a task.

        Raises
        ------
        FileNotFoundError: it is not there. ValueError: it is damaged.
        """
        if hash in self._made:
            return self._made[hash]
        if hash not in self._tasks:
            raise FileNotFoundError(f"{self.folder / TASKS} has no task {hash}")
        row = self._tasks[hash]
        try:
            n_variables = len(row["variables"])
            arrays = {
                name: np.asarray(flat).reshape((-1,) if name in _PER_REGIME else (-1, n_variables))
                for name, flat in row.items()
                if name not in _ABOUT and flat is not None
            }
            values = {**json.loads(row["about"]), "hash": hash, "variables": list(row["variables"])}
            self._made[hash] = TaskRecord.of_plain(values, arrays)
            return self._made[hash]
        except _WRONG as error:
            self._problems.part(self.folder / TASKS, f"task {hash}", error)
            raise NotARecord(f"{self.folder / TASKS} has a broken task {hash}: {error}") from None

    def tasks(self) -> dict[str, TaskRecord]:
        """Hash -> task, for those that can be used."""
        found = {}
        for hash in sorted(self._tasks):
            with contextlib.suppress(ValueError):  # among the problems now
                found[hash] = self.task(hash)
        return found

    def rows_of(self, method: str) -> dict[str, dict[str, Any]]:
        """Key -> row, for the jobs and trainings in the file of one method."""
        path = self.method_path(method)
        return {record.key: row for record, row in self._rows_of(path)}

    def method_path(self, method: str) -> Path:
        return self.folder / f"{method}.parquet"

    def make_way(self) -> list[str]:
        """Set aside the files that cannot be used, and copies of those that can in part; in words,
        which.

        Raises
        ------
        BenchError: a newer version has written some of them.
        """
        _ = self.problems, self.tasks()
        for key, (record, _) in self._jobs.items():
            if record.status == Status.ok:
                with contextlib.suppress(OSError, ValueError):  # among the problems now
                    self.scores(key)
        if newer := self._problems.written_by_newer:
            raise BenchError("\n".join([*newer, "Or name another folder to write to."]))
        self._problems.set_aside()
        self._problems.copy_parts()
        return self._problems.moved

    @cached_property
    def _tasks(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for number, row in enumerate(self._read(self.folder / TASKS), 1):
            hash = row.get("hash")
            if isinstance(hash, str) and "variables" in row and "about" in row:
                found[hash] = row
            else:
                self._problems.part(self.folder / TASKS, f"row {number}", "it is not a task")
        return found

    @cached_property
    def _jobs(self) -> dict[str, tuple[JobRecord, dict[str, Any]]]:
        """Those of `_found` that are no training."""
        return {
            key: (record, row)
            for key, (record, row) in self._found.items()
            if isinstance(record, JobRecord)
        }

    @cached_property
    def _found(self) -> dict[str, tuple[Record, dict[str, Any]]]:
        """Key -> the record and its row."""
        try:
            names = _names_in(self.folder)
        except OSError as error:
            self._problems.whole(self.folder, error.strerror)
            return {}
        found = {}
        for name in names:
            for record, row in self._rows_of(self.folder / name):
                found[record.key] = record, row
        return found

    def _rows_of(self, path: Path) -> Iterator[tuple[Record, dict[str, Any]]]:
        for number, row in enumerate(self._read(path), 1):
            try:
                record = record_of(json.loads(row["record"]))
                record = printable_record(record)
                if record.method != path.stem:
                    raise NotARecord(f"it is a record of {record.method}, not of {path.stem}")
            except _WRONG as error:
                self._problems.part(path, f"row {number}", f"it is not a record: {error}")
            else:
                yield record, row

    def _read(self, path: Path) -> list[dict[str, Any]]:
        if self._problems.is_whole(path):
            return []
        try:
            if path.name.startswith("."):
                raise ValueError("it is not part of an archive")
            return list(read_rows(path))
        except NewerVersion as error:
            self._problems.newer(path, error)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            self._problems.whole(path, error)
        return []


def _names_in(folder: Path) -> list[str]:
    """The names of the files of methods."""
    names = (name for name in os.listdir(folder) if name.endswith(".parquet") and name != TASKS)
    return sorted(name for name in names if ".partial-" not in name)


def find_stores(folder: Path) -> list[Store | Archive]:
    """The stores and archives at or directly below a folder, each once.

    Raises
    ------
    BenchError: there is none.
    """
    places: dict[str, Path] = {}
    try:
        below = sorted(os.listdir(folder))
    except OSError:
        below = []
    for place in [folder, *(folder / name for name in below if not name.startswith(SET_ASIDE))]:
        if os.path.isdir(place):
            places.setdefault(os.path.realpath(place), place)
    stores: list[Store | Archive] = [Store(p) for p in places.values() if Store.is_at(p)]
    stores += [Archive(p) for p in places.values() if Archive.is_at(p)]
    if not stores:
        raise BenchError(
            f"No results in {folder}: run `bench run --suite synthetic-mini` first, or name the "
            "folder."
        )
    return stores
