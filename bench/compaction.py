"""Stores -> archives."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.archive import SCORES, TASKS, Archive
from cdnbench.digest import plain
from cdnbench.errors import BenchError
from cdnbench.files import is_name
from cdnbench.record import FitRecord, JobRecord, Status, TaskRecord
from cdnbench.rows import write_rows
from cdnbench.store import Store


@dataclass(frozen=True)
class Compacted:
    """folders: the archives that were written. notes: what was left out or set aside, in words."""

    folders: tuple[Path, ...]
    notes: tuple[str, ...]


@dataclass
class _Part:
    """What goes into one archive: method -> key -> row of a job or a training, and hash -> task."""

    methods: dict[str, dict[str, dict[str, Any]]]
    tasks: dict[str, TaskRecord]


def compact(store: Store, into: Path) -> Compacted:
    """Write a store as archives `<into>/<suite>[-<protocol>]`.

    What an archive already holds stays, except for jobs that are in the store as well. Of these the
    one that ran last counts, and one that failed for a cause outside of the method only where there
    is no other. A record whose task could not be made is kept without one. Files of the archive
    that are damaged are set aside.

    Raises
    ------
    BenchError: the store holds no finished job, or a newer version has written to the archive.
    """
    parts: dict[str, _Part] = {}
    notes: list[str] = []
    fits = {record.key: record for record in store.records() if isinstance(record, FitRecord)}
    for record in store.jobs():
        try:
            name, row = _folder_name(record), _row(store, record)
        except (OSError, KeyError, ValueError) as error:
            notes.append(f"job {record.key} of {record.method} is left out: {error}")
            continue
        part = parts.setdefault(name, _Part({}, {}))
        rows = part.methods.setdefault(record.method, {})
        rows[record.key] = row
        if record.fit in fits and record.fit not in rows:
            rows[record.fit] = {"record": _json(replace(fits[record.fit], log="").plain())}
        if record.task_hash not in part.tasks and store.has_task(record.task_hash):
            with contextlib.suppress(OSError, ValueError):  # among the problems of the store
                part.tasks[record.task_hash] = store.task(record.task_hash)
    notes = [*store.problems, *notes]
    if not parts:
        raise BenchError("\n".join([f"{store.folder} holds no finished job.", *notes]))
    for name, part in parts.items():
        notes += _add(into / name, part)
    return Compacted(tuple(sorted(into / name for name in parts)), tuple(notes))


def drop(folder: Path, keys: Collection[str]) -> int:
    """Leave jobs out of an archive, and the trainings that only they name; how many jobs that was.
    Tasks stay."""
    dropped = 0
    with _alone(folder):
        archive = Archive(folder)
        methods = {record.method for record in archive.records() if record.key in keys}
        for method in sorted(methods):
            rows = archive.rows_of(method)
            kept = {key: row for key, row in rows.items() if key not in keys}
            dropped += len(rows) - len(kept)
            if kept := _without_idle_fits(kept):
                write_rows(archive.method_path(method), [row for _, row in sorted(kept.items())])
            else:
                archive.method_path(method).unlink()
    return dropped


def _worth(row: Mapping[str, Any]) -> tuple[bool, str]:
    """Of two records of one job or training the one that is worth more counts: one that says
    something of the method before one that says something of the machine, then the later one."""
    about = json.loads(row["record"])
    return not about.get("outside", False), about.get("started_at") or ""


def _without_idle_fits(rows: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows of a method without those of trainings that no job names (any more)."""
    about = {key: json.loads(row["record"]) for key, row in rows.items()}
    named = {values.get("fit") for values in about.values()}
    return {
        key: row
        for key, row in rows.items()
        if about[key].get("kind") != FitRecord.kind or key in named
    }


def _folder_name(record: JobRecord) -> str:
    protocol = record.metadata.get("protocol")
    name = f"{record.suite}-{protocol}" if protocol else record.suite
    if not is_name(name):
        raise ValueError(f"{name!r} cannot be the name of a folder")
    if f"{record.method}.parquet" == TASKS:
        raise ValueError(f"the name of its method is that of the file of tasks, {TASKS}")
    return name


def _row(store: Store, record: JobRecord) -> dict[str, Any]:
    row: dict[str, Any] = {"record": _json(replace(record, log="").plain())}
    if record.status == Status.ok:
        for variant, scores in store.scores(record.key).items():
            row[SCORES + variant] = _narrowed(scores).ravel()
    return row


def _narrowed(scores: np.ndarray) -> np.ndarray:
    """(n_regimes, n_variables) scores as float32 where every regime keeps its order and its ties,
    and what is finite stays so; else as float64."""
    wide = scores.astype(np.float64)
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    order = np.argsort(wide, axis=1)
    a, b = (np.take_along_axis(values, order, axis=1) for values in (wide, narrow))
    # Rounding never swaps two values, so that what can be lost is a difference.
    kept = (a[:, 1:] > a[:, :-1]) == (b[:, 1:] > b[:, :-1])
    return narrow if kept.all() and (np.isfinite(wide) == np.isfinite(narrow)).all() else wide


def _add(folder: Path, part: _Part) -> list[str]:
    """Add to an archive, new or old; what was in the way, in words."""
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        there = Archive(folder)
        notes = there.make_way()
        known = there.tasks() | part.tasks
        write_rows(folder / TASKS, [_task_row(task) for _, task in sorted(known.items())])
        for method, rows in part.methods.items():
            old = there.rows_of(method)
            better = {key for key in rows if key in old and _worth(old[key]) > _worth(rows[key])}
            if better:
                notes.append(
                    f"{folder}: {len(better)} records of {method} stay as they are: those of the "
                    "store are older, or failed for a cause outside of the method."
                )
            new = {key: row for key, row in rows.items() if key not in better}
            merged = _without_idle_fits(old | new)
            write_rows(there.method_path(method), [row for _, row in sorted(merged.items())])
    return notes


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process adds to the archive; others wait until the block ends."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # file systems without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _task_row(task: TaskRecord) -> dict[str, Any]:
    about = task.plain()
    del about["hash"], about["variables"]
    arrays = {
        name: (a.astype(np.float32) if a.dtype.kind == "f" else a).ravel()
        for name, a in task.arrays.items()
    }
    return {"hash": task.hash, "about": _json(about), "variables": list(task.variables), **arrays}


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=plain)
