"""Stores -> one store: what machines without a common disk have done is put together."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cdnbench.errors import BenchError
from cdnbench.files import FULL, check_folders
from cdnbench.record import FitRecord, JobRecord, Record, Status
from cdnbench.store import Store


@dataclass
class Merged:
    """jobs, fits, tasks: how many were added or replaced. left_out: how many jobs and fits could
    not be. notes: what was left out or is damaged, in words."""

    jobs: int = 0
    fits: int = 0
    tasks: int = 0
    left_out: int = 0
    notes: list[str] = field(default_factory=list)


def merge(parts: Sequence[Store], into: Store) -> Merged:
    """Add what `parts` hold to the store `into`, which may hold results already.

    Of several records with one key the better one counts: one that is complete before one that is
    not, and one that says something of the method before one that says something of the machine
    (`outside`). Among equals the one that was stored last counts. Merging again changes nothing.

    Raises
    ------
    BenchError: the stores are of different suites, or `into` cannot be written. OSError: the disk
    is full. What was added before stays, and the same call goes on.
    """
    _check_suites([*parts, into])
    into.create()
    merged = Merged()
    try:
        for part in parts:
            _add(part, into, merged)
            merged.notes += part.problems
    finally:
        into.close()
    return merged


def _add(part: Store, into: Store, merged: Merged) -> None:
    for record in part.records():
        there = into.job(record.key) or into.fit(record.key)
        if there is not None and not _is_better((part, record), (into, there)):
            continue
        try:
            if isinstance(record, FitRecord):
                _add_fit(part, into, record)
                merged.fits += 1
            else:
                merged.tasks += _add_task(part, into, record)
                _add_job(part, into, record)
                merged.jobs += 1
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            merged.left_out += 1
            kind = "fit" if isinstance(record, FitRecord) else "job"
            merged.notes.append(
                f"{kind} {record.key} of {record.method} in {part.folder} is left out: {error}"
            )


def _is_better(one: tuple[Store, Record], other: tuple[Store, Record]) -> bool:
    first, second = _worth(*one), _worth(*other)
    return first[:2] > second[:2] or (first[:2] == second[:2] and first[2] > second[2])


def _worth(store: Store, record: Record) -> tuple[bool, bool, float]:
    done = isinstance(record, FitRecord) or store.is_done(record)
    return done, not record.outside, store.stored_at(record.key)


def _add_job(part: Store, into: Store, record: JobRecord) -> None:
    scores = part.scores(record.key) if record.status == Status.ok else None
    kept = replace(record, log=_copied_log(part, into, record))
    into.write_job(kept, scores, at=part.stored_at(record.key))


def _add_fit(part: Store, into: Store, record: FitRecord) -> None:
    model = part.model_path(record.key) if record.status == Status.ok else None
    if model is not None:
        check_folders(part.folder, model)
    kept = replace(record, log=_copied_log(part, into, record))
    into.write_fit(kept, model, at=part.stored_at(record.key))


def _add_task(part: Store, into: Store, record: JobRecord) -> int:
    """Add the job's task where it is missing; how many that was. A task that could not be made has
    no record."""
    if into.has_task(record.task_hash) or not part.has_task(record.task_hash):
        return 0
    into.write_task(part.task(record.task_hash))
    return 1


def _copied_log(part: Store, into: Store, record: Record) -> str:
    if not record.log or record.log != Store.log_of(type(record), record.key):
        return ""
    with contextlib.suppress(OSError):  # a failure without its log is a failure still
        check_folders(part.folder, path := part.folder / record.log)
        return into.write_log(type(record), record.key, path.read_bytes())
    return ""


def _check_suites(stores: Sequence[Store]) -> None:
    seen: dict[str, Path] = {}
    for store in stores:
        for record in store.records():
            seen.setdefault(record.suite, store.folder)
    if len(seen) > 1:
        places = ", ".join(f"{suite} in {folder}" for suite, folder in sorted(seen.items()))
        raise BenchError(f"These are results of different suites: {places}. Merge one suite alone.")
