"""The store of one suite's results: the one class that knows its paths and formats.

    <folder>/records/         append-only segments (`cdnbench.segments`): the records of jobs, fits
                              and tasks, and the arrays of scores and truths
    <folder>/models/<key>/    one folder per fit: model.npz with its arrays, fit.log if it failed,
                              checkpoint-<code>.npz as long as it has not ended
    <folder>/logs/<key>.log   what a job printed, if it failed
    <folder>/set-aside/       what runs found in the folder and could not use (`cdnbench.problems`)

Of several records of one job the last one counts. A job is done when its record is there and, if it
is "ok", its scores and its task as well. Any number of runs may write to one store at once.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.arrays import read_npz
from cdnbench.errors import BenchError
from cdnbench.files import check_folders, opened, partial_of, what_is
from cdnbench.old_store import OldStore
from cdnbench.problems import Problems
from cdnbench.record import (
    FitRecord,
    JobRecord,
    NotARecord,
    Record,
    Status,
    TaskRecord,
)
from cdnbench.segment_reader import SegmentReader
from cdnbench.segments import SegmentWriter, Stored, now
from cdnbench.store_index import PROVENANCE, TASK, Index, printable_record

_UNNAMED = "scores"
"""The name of the only reading of a method without variants, among a job's arrays."""
_STALE_S = 3600.0


@dataclass(eq=False)
class Store:
    """Reads what is in `folder` when it is first asked, and again on `refresh`.

    problems: what in the folder cannot be used, in words. It is left out. moved: what has been set
    aside, in words.
    """

    folder: Path
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _index: Index = field(default_factory=Index, repr=False)
    _told: dict[str, str] = field(default_factory=dict, repr=False)
    _looked: bool = False

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        self._writer = SegmentWriter(self.folder / "records")
        self._problems = Problems(self.folder)
        self._reader = SegmentReader(self.folder / "records", self._problems, self._writer.name)
        self._old = OldStore(self.folder, self._problems)

    @staticmethod
    def is_at(folder: Path) -> bool:
        """Whether a folder holds a store."""
        return os.path.lexists(folder / "records") or os.path.isdir(folder / "jobs")

    def create(self) -> Store:
        """Make the folders, make sure that they can be written, and set aside what cannot be used.

        Raises
        ------
        BenchError: they cannot, or a newer version has written to them.
        """
        self.check_version()
        try:
            self._reader.heal()
            self.refresh()  # which reads what another run has healed in the meantime
            self._problems.set_aside()
            for name in ("records", "models", "logs"):
                path = self._way(f"{name}/x").parent
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

    def check_version(self) -> None:
        """Make sure that no newer version has written here, which this one might not understand.

        Raises
        ------
        BenchError: one has.
        """
        self._look()
        if newer := self._problems.written_by_newer:
            raise BenchError("\n".join([*newer, "Or name another folder with --out."]))

    def refresh(self) -> Store:
        """Read what other runs have stored since."""
        with self._lock:
            if not self._looked:
                self._looked = True
                for record in self._old.records():
                    self._index.add(record)
            for line in self._reader.new_lines():
                try:
                    self._index.take(line.value)
                except NotARecord as error:
                    self._reader.reject(line, error)
        return self

    def close(self) -> None:
        """Make sure that all that was written is on disk."""
        self._writer.close()

    @property
    def problems(self) -> list[str]:
        self._look()
        return self._problems.texts

    @property
    def moved(self) -> list[str]:
        return self._problems.moved

    # Records

    def job(self, key: str) -> JobRecord | None:
        """The record of a job that ended, or None."""
        self._look()
        entry = self._index.entries.get(key)
        return entry.record if entry and isinstance(entry.record, JobRecord) else None

    def fit(self, key: str) -> FitRecord | None:
        """The record of a fit that ended, or None; also None if its model is gone."""
        self._look()
        entry = self._index.entries.get(key)
        if entry is None or not isinstance(entry.record, FitRecord):
            return None
        lost = entry.record.status == Status.ok and not self._has_model(key)
        return None if lost else entry.record

    def records(self) -> Iterator[Record]:
        """All records that are there now, jobs and fits, in the order of their keys."""
        self.refresh()
        with self._lock:
            entries = sorted(self._index.entries.items())
        return (entry.record for _, entry in entries)

    def jobs(self) -> Iterator[JobRecord]:
        """The records of all jobs, in the order of their keys."""
        return (record for record in self.records() if isinstance(record, JobRecord))

    def is_done(self, record: JobRecord) -> bool:
        """Whether all that the record rests on is there."""
        return record.status != Status.ok or (
            self._has_scores(record.key) and self.has_task(record.task_hash)
        )

    def stored_at(self, key: str) -> float:
        """When the record of a job or fit was stored, in seconds since 1970; 0 if not known."""
        self._look()
        entry = self._index.entries.get(key)
        return 0.0 if entry is None else entry.at

    def write_job(
        self,
        record: JobRecord,
        outputs: Mapping[str, np.ndarray] | None = None,
        *,
        at: float | None = None,
    ) -> None:
        """Store a job's record, with variant -> scores. at: when it was stored elsewhere before.

        A record that is "ok" and comes without scores keeps those of the record before it.
        """
        with self._lock:
            before = self._index.entries.get(record.key)
            arrays: Mapping[str, np.ndarray] | Stored | None = None
            if record.status == Status.ok:
                arrays = before.stored if outputs is None and before else None
                if arrays is None:
                    outputs = self.scores(record.key) if outputs is None else outputs
                    arrays = {variant or _UNNAMED: s for variant, s in outputs.items()}
            if before and before.record.log and before.record.log != record.log:
                with contextlib.suppress(OSError):  # it is a link's, or was never there
                    check_folders(self.folder, log := self.folder / before.record.log)
                    log.unlink()
            self._write(record, arrays, at)

    def write_fit(
        self, record: FitRecord, model: Path | None = None, *, at: float | None = None
    ) -> None:
        """Store a fit's record, and copy the file of its model into the store before. at: as in
        `write_job`."""
        if model is not None:
            into = self._way(f"models/{record.key}/model.npz")
            if self._problems.is_whole(into):
                self._problems.move(into)
            shutil.copyfile(model, partial := partial_of(into))
            os.replace(partial, into)
        self._write(record, None, at)

    # Arrays

    def scores(self, key: str) -> dict[str, np.ndarray]:
        """Variant -> (n_regimes, n_variables) float64 scores of a job that is "ok".

        Raises
        ------
        OSError, ValueError: they are missing or damaged; the message names the file.
        """
        self._look()
        entry = self._index.entries.get(key)
        if entry is None or entry.stored is None:
            return self._old.scores(key)
        arrays = self._reader.arrays(entry.stored)
        return {"" if name == _UNNAMED else name: array for name, array in arrays.items()}

    def has_task(self, hash: str) -> bool:
        self._look()
        held = self._index.tasks.get(hash)
        return self._reader.has(held[1]) if held else self._old.has_task(hash)

    def task(self, hash: str) -> TaskRecord:
        """What is known of a task.

        Raises
        ------
        OSError, ValueError: it is missing or damaged; the message names the file.
        """
        self._look()
        if hash not in self._index.tasks:
            return self._old.task(hash)
        values, stored = self._index.tasks[hash]
        return TaskRecord.of_plain(values, self._reader.arrays(stored))

    def write_task(self, task: TaskRecord) -> None:
        values = task.plain()
        stored = self._writer.append({"kind": TASK, **values}, task.arrays)
        with self._lock:
            self._index.tasks[task.hash] = values, stored  # type: ignore[assignment]

    # Files

    def model_path(self, key: str) -> Path:
        return self.folder / "models" / key / "model.npz"

    def checkpoint_path(self, key: str, code: str) -> Path:
        """How far a fit has come that has not ended. code: digest of the code that trains; what
        other code has saved cannot be gone on from."""
        return self.folder / "models" / key / f"checkpoint-{code}.npz"

    def copy_checkpoint(self, key: str, code: str, into: Path) -> None:
        """Copy the checkpoint to a file; nothing if there is none that can be read."""
        path = self.checkpoint_path(key, code)
        with contextlib.suppress(OSError):
            check_folders(self.folder, path)
            with open(opened(path), "rb") as file, open(into, "wb") as copy:
                shutil.copyfileobj(file, copy)

    def write_checkpoint(self, key: str, code: str, file: Path) -> None:
        """Copy a file in place of the checkpoint before."""
        into = self._way(f"models/{key}/{self.checkpoint_path(key, code).name}")
        shutil.copyfile(file, partial := partial_of(into))
        os.replace(partial, into)

    def remove_checkpoints(self, key: str) -> None:
        """Remove those of a fit that has ended, of whatever code."""
        for path in self.model_path(key).parent.glob("checkpoint-*.npz"):
            with contextlib.suppress(OSError):
                check_folders(self.folder, path)
                path.unlink()

    def model(self, key: str) -> dict[str, np.ndarray]:
        """The arrays of a fit; raises OSError or ValueError, which name the file."""
        check_folders(self.folder, self.model_path(key))
        return read_npz(self.model_path(key))

    def write_log(self, record: type[Record], key: str, printed: bytes) -> str:
        """Keep what a job or fit printed; returns its name, relative to the folder."""
        name = self.log_of(record, key)
        into = self._way(name)
        into.unlink(missing_ok=True)
        into.write_bytes(printed)
        return name

    @staticmethod
    def log_of(record: type[Record], key: str) -> str:
        """Where a failed job or fit keeps what it printed, relative to the folder."""
        return f"models/{key}/fit.log" if record is FitRecord else f"logs/{key}.log"

    # The index

    def _look(self) -> None:
        if not self._looked:
            self.refresh()

    def _write(self, record: Record, arrays: Any, at: float | None) -> None:
        record = printable_record(record)
        values = record.plain()
        origin = {name: values.pop(name) for name in _ORIGIN}
        with self._lock:
            told = str(sorted(origin.items()))
            if told not in self._told:
                id = f"{self._writer.name}/{len(self._told)}"
                self._writer.append({"kind": PROVENANCE, "id": id, **origin})
                self._told[told] = id  # now that it is written, records can refer to it
            known = type(record).defaults()
            said = {n: value for n, value in values.items() if n not in known or value != known[n]}
            before, at = self._index.entries.get(record.key), now() if at is None else at
            if before is not None:  # whose clock may have been ahead
                at = max(at, math.nextafter(before.at, math.inf))
            line = {**said, "provenance": self._told[told], "stored_at": at}
            stored = self._writer.append(line, arrays)
            self._index.add(record, at, stored)

    def _has_scores(self, key: str) -> bool:
        self._look()
        stored = self._index.entries[key].stored
        return self._old.has_scores(key) if stored is None else self._reader.has(stored)

    # Files

    def _has_model(self, key: str) -> bool:
        path = self.model_path(key)
        try:
            self.model(key)
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            self._problems.whole(path, error)
            return False
        return True

    def _way(self, name: str) -> Path:
        """Where to write a file of this name: nothing but a plain file is there, in folders of the
        store's own. What else is found on the way is set aside."""
        path = self.folder / name
        for part in [*path.relative_to(self.folder).parents][-2::-1]:
            if what_is(self.folder / part) not in ("a folder", "nothing"):
                self._problems.move(self.folder / part)
        path.parent.mkdir(parents=True, exist_ok=True)
        if what_is(path) not in ("a file", "nothing"):
            self._problems.move(path)
        return path


_ORIGIN = ("versions", "git_sha", "dirty", "host")
"""The fields of `Provenance`: equal for all jobs of a run, and stored once per run."""
