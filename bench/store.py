"""The store of one suite's results: the one class that knows its paths and formats.

    <folder>/records/         append-only segments (`cdnbench.segments`): the records of jobs, fits
                              and tasks, and the arrays of scores and truths
    <folder>/models/<key>/    one folder per fit: model.npz with its arrays, fit.log if it failed
    <folder>/logs/<key>.log   what a job printed, if it failed

Of several records of one job the last one counts. A job is done when its record is there and, if it
is "ok", its scores and its task as well. Any number of runs may write to one store at once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.errors import BenchError
from cdnbench.files import partial_of
from cdnbench.old_store import OldStore
from cdnbench.printable import printable, printable_values
from cdnbench.record import (
    FitRecord,
    JobRecord,
    NotARecord,
    Provenance,
    Record,
    Status,
    TaskRecord,
    record_of,
)
from cdnbench.segments import SegmentReader, SegmentWriter, Stored

_TASK, _PROVENANCE = "task", "provenance"
_UNNAMED = "scores"
"""The name of the only reading of a method without variants, among a job's arrays."""
_STALE_S = 3600.0


@dataclass
class _Entry:
    """A record, when it was stored, and where its arrays are: None if in the older form."""

    record: Record
    at: float
    stored: Stored | None


@dataclass(eq=False)
class Store:
    """Reads what is in `folder` when it is first asked, and again on `refresh`.

    problems: what in the folder could not be read, in words. Such files are left out.
    """

    folder: Path
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _entries: dict[str, _Entry] = field(default_factory=dict, repr=False)
    _tasks: dict[str, tuple[dict[str, Any], Stored]] = field(default_factory=dict, repr=False)
    _provenance: dict[str, Provenance] = field(default_factory=dict, repr=False)
    _told: dict[str, str] = field(default_factory=dict, repr=False)
    _looked: bool = False

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        self._writer = SegmentWriter(self.folder / "records")
        self._reader = SegmentReader(self.folder / "records", skip=self._writer.name)
        self._old = OldStore(self.folder)

    @staticmethod
    def is_at(folder: Path) -> bool:
        """Whether a folder holds a store."""
        return (folder / "records").is_dir() or (folder / "jobs").is_dir()

    def create(self) -> Store:
        """Make the folders, and make sure that they can be written.

        Raises
        ------
        BenchError: they cannot.
        """
        try:
            for name in ("records", "models", "logs"):
                path = self.folder / name
                path.mkdir(parents=True, exist_ok=True)
                for partial in path.rglob(".*.partial-*"):
                    with contextlib.suppress(OSError):  # another run removed it meanwhile
                        if time.time() - partial.stat().st_mtime > _STALE_S:  # its run was killed
                            partial.unlink(missing_ok=True)
                probe = partial_of(path / "probe")
                probe.write_bytes(b"")
                probe.unlink()
        except OSError as error:
            raise BenchError(
                f"Cannot write results to {self.folder}: {error}. Name another folder with --out."
            ) from error
        return self

    def refresh(self) -> Store:
        """Read what other runs have stored since."""
        with self._lock:
            if not self._looked:
                self._looked = True
                for record in self._old.records():
                    self._entries[record.key] = _Entry(_printable(record), 0.0, None)
            for line in self._reader.new_lines():
                self._take(line)
        return self

    def close(self) -> None:
        """Make sure that all that was written is on disk."""
        self._writer.close()

    @property
    def problems(self) -> list[str]:
        self._look()
        return [*self._old.problems, *self._reader.problems]

    # Records

    def job(self, key: str) -> JobRecord | None:
        """The record of a job that ended, or None."""
        self._look()
        entry = self._entries.get(key)
        return entry.record if entry and isinstance(entry.record, JobRecord) else None

    def fit(self, key: str) -> FitRecord | None:
        """The record of a fit that ended, or None; also None if its model is gone."""
        self._look()
        entry = self._entries.get(key)
        if entry is None or not isinstance(entry.record, FitRecord):
            return None
        lost = entry.record.status == Status.ok and not self.model_path(key).exists()
        return None if lost else entry.record

    def records(self) -> Iterator[Record]:
        """All records that are there now, jobs and fits, in the order of their keys."""
        self.refresh()
        with self._lock:
            entries = sorted(self._entries.items())
        return (entry.record for _, entry in entries)

    def jobs(self) -> Iterator[JobRecord]:
        """The records of all jobs, in the order of their keys."""
        return (record for record in self.records() if isinstance(record, JobRecord))

    def is_done(self, record: JobRecord) -> bool:
        """Whether all that the record rests on is there."""
        return record.status != Status.ok or (
            self._has_scores(record.key) and self.has_task(record.task_hash)
        )

    def write_job(self, record: JobRecord, outputs: Mapping[str, np.ndarray] | None = None) -> None:
        """Store a job's record, with variant -> scores.

        A record that is "ok" and comes without scores keeps those of the record before it.
        """
        with self._lock:
            before = self._entries.get(record.key)
            arrays: Mapping[str, np.ndarray] | Stored | None = None
            if record.status == Status.ok:
                arrays = before.stored if outputs is None and before else None
                if arrays is None:
                    outputs = self.scores(record.key) if outputs is None else outputs
                    arrays = {variant or _UNNAMED: s for variant, s in outputs.items()}
            if before and before.record.log and before.record.log != record.log:
                (self.folder / before.record.log).unlink(missing_ok=True)
            self._write(record, arrays)

    def write_fit(self, record: FitRecord, model: Path | None = None) -> None:
        """Store a fit's record, and move the file of its model into the store before."""
        if model is not None:
            into = self.model_path(record.key)
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(model, partial := partial_of(into))
            os.replace(partial, into)
        self._write(record, None)

    # Arrays

    def scores(self, key: str) -> dict[str, np.ndarray]:
        """Variant -> (n_regimes, n_variables) float64 scores of a job that is "ok".

        Raises
        ------
        OSError, ValueError: they are missing or damaged; the message names the file.
        """
        self._look()
        entry = self._entries.get(key)
        if entry is None or entry.stored is None:
            return self._old.scores(key)
        arrays = self._reader.arrays(entry.stored)
        return {"" if name == _UNNAMED else name: array for name, array in arrays.items()}

    def has_task(self, hash: str) -> bool:
        self._look()
        held = self._tasks.get(hash)
        return self._reader.has(held[1]) if held else self._old.has_task(hash)

    def task(self, hash: str) -> TaskRecord:
        """What is known of a task.

        Raises
        ------
        OSError, ValueError: it is missing or damaged; the message names the file.
        """
        self._look()
        if hash not in self._tasks:
            return self._old.task(hash)
        values, stored = self._tasks[hash]
        return TaskRecord.of_plain(values, self._reader.arrays(stored))

    def write_task(self, task: TaskRecord) -> None:
        values = task.plain()
        stored = self._writer.append({"kind": _TASK, **values}, task.arrays)
        with self._lock:
            self._tasks[task.hash] = values, stored  # type: ignore[assignment]

    # Files

    def model_path(self, key: str) -> Path:
        return self.folder / "models" / key / "model.npz"

    def model(self, key: str) -> dict[str, np.ndarray]:
        with np.load(self.model_path(key)) as arrays:
            return dict(arrays)

    @staticmethod
    def log_of(record: type[Record], key: str) -> str:
        """Where a failed job or fit keeps what it printed, relative to the folder."""
        return f"models/{key}/fit.log" if record is FitRecord else f"logs/{key}.log"

    # The index

    def _look(self) -> None:
        if not self._looked:
            self.refresh()

    def _take(self, line: dict[str, Any]) -> None:
        """Add one line of a segment to the index."""
        try:
            kind, at = line.get("kind"), float(line.get("stored_at", 0.0))
            stored = Stored.of_plain(line["arrays"]) if "arrays" in line else None
            if kind == _PROVENANCE:
                origin: dict[str, Any] = {name: line[name] for name in _ORIGIN}
                self._provenance[line["id"]] = Provenance(**origin)
            elif kind == _TASK:
                if stored is None:
                    raise NotARecord("a task without arrays")
                self._tasks[str(line["hash"])] = line, stored
            else:
                line["provenance"] = self._provenance.get(line.get("provenance", ""))
                record = _printable(record_of(line))
                before = self._entries.get(record.key)
                if before is None or at >= before.at:
                    self._entries[record.key] = _Entry(record, at, stored)
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            said = printable(f"{self._reader.folder} has a broken record: {error}")
            self._reader.problems.append(said)

    def _write(self, record: Record, arrays: Any) -> None:
        record = _printable(record)
        values = record.plain()
        origin = {name: values.pop(name) for name in _ORIGIN}
        with self._lock:
            told = str(sorted(origin.items()))
            if told not in self._told:
                self._told[told] = f"{self._writer.name}/{len(self._told)}"
                self._writer.append({"kind": _PROVENANCE, "id": self._told[told], **origin})
            known = type(record).defaults()
            said = {n: value for n, value in values.items() if n not in known or value != known[n]}
            line = {**said, "provenance": self._told[told]}
            stored = self._writer.append(line, arrays)
            self._entries[record.key] = _Entry(record, time.time(), stored)

    def _has_scores(self, key: str) -> bool:
        self._look()
        stored = self._entries[key].stored
        return self._old.has_scores(key) if stored is None else self._reader.has(stored)


def _printable(record: Record) -> Record:
    """The record with words that can be printed, whoever wrote it."""
    words: dict[str, Any] = {"reason": printable(record.reason)}
    if isinstance(record, JobRecord):
        words["note"] = printable(record.note)
        if record.facts:
            words["facts"] = printable_values(record.facts)
    if all(getattr(record, name) == value for name, value in words.items()):
        return record
    return replace(record, **words)


_ORIGIN = ("versions", "git_sha", "dirty", "host")
"""The fields of `Provenance`: equal for all jobs of a run, and stored once per run."""
