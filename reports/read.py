"""Stores -> records with their tasks: which results are current, and what had to be left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cdnbench.errors import BenchError
from cdnbench.record import JobRecord, Record, Status, TaskRecord
from cdnbench.reports.factors import SUBSET, Factors
from cdnbench.reports.labels import digests
from cdnbench.truth import Truth

EVERY = "all"
"""The subset that keeps all tasks."""
_TRIVIAL = "trivial"


class Readable(Protocol):
    """What a report needs of a store. `Store` and `Archive` have it."""

    @property
    def folder(self) -> Path: ...
    @property
    def problems(self) -> Sequence[str]: ...
    def records(self) -> Iterator[Record]: ...
    def scores(self, key: str) -> dict[str, np.ndarray]: ...
    def task(self, hash: str) -> TaskRecord: ...


@dataclass(frozen=True, eq=False)
class Loaded:
    """A record, and where it lies.

    task: what its job was run on, under the one name that all of its records share; None for a fit,
        and where the task cannot be read.
    superseded: whether a newer result takes its place.
    """

    store: Readable
    record: Record
    task: TaskRecord | None = None
    superseded: bool = False


@dataclass(frozen=True, eq=False)
class Read:
    """All records, the factors that they declare, and notes on what was left out."""

    loaded: tuple[Loaded, ...]
    factors: Factors
    notes: tuple[str, ...]


def load(stores: Iterable[Readable], subset: str = EVERY) -> Read:
    """The records of all stores together.

    The newest of the records that agree in suite, method, parameters, task and seed counts. The
    others are `superseded`.

    subset: "all", or the name of a yes/no column of the tasks. "non" before the name keeps the
        tasks where the answer is no.

    Raises
    ------
    BenchError: there is no record, or no task is in the subset.
    """
    stores = list(stores)
    found = [Loaded(store, record) for store in stores for record in store.records()]
    notes = [note for store in stores for note in _left_out(store)]
    if not found:
        folders = ", ".join(str(store.folder) for store in stores) or "no folder"
        raise BenchError(
            "\n".join(
                [
                    f"No finished job in {folders}: run `bench run` first, or name another folder.",
                    *notes,
                ]
            )
        )
    found, lost = _with_tasks(found)
    found = _in_subset(_named_once(found), subset)
    factors = Factors.of(_declared(found))
    current = _current(found, factors)
    stale = sum(map(_is_job, found)) - len(current)
    if stale:
        lost.append(
            f"{stale} older records are superseded by newer ones (see `superseded` in the jobs "
            "table)"
        )
    marked = [
        one if i in current or not _is_job(one) else replace(one, superseded=True)
        for i, one in enumerate(found)
    ]
    return Read(tuple(marked), factors, tuple(dict.fromkeys([*notes, *lost])))


def _left_out(store: Readable) -> list[str]:
    """What a store could not read, and how many files that is."""
    problems = list(store.problems)
    if not problems:
        return []
    files = "1 file" if len(problems) == 1 else f"{len(problems)} files"
    return [
        *problems,
        f"{files} in {store.folder} cannot be used in whole or in part and stayed in place. The "
        "next run or compaction that writes there sets them aside.",
    ]


def about(task: TaskRecord) -> dict[str, Any]:
    """The facts and the metadata of a task; the metadata count where both have a name."""
    return {**task.truth.facts, **task.metadata}


def _is_job(one: Loaded) -> bool:
    return isinstance(one.record, JobRecord)


def _declared(found: Sequence[Loaded]) -> Iterator[tuple[str, Mapping[str, str] | None]]:
    for one in found:
        if isinstance(one.record, JobRecord):
            yield one.record.suite, one.record.factors
            yield one.record.suite, one.task.factors if one.task else None


# Tasks


def _with_tasks(found: Sequence[Loaded]) -> tuple[list[Loaded], list[str]]:
    """The records with their tasks, and a note on each task that cannot be read."""
    tasks: dict[tuple[str, str], TaskRecord] = {}
    failed: dict[tuple[str, str], str] = {}
    joined = []
    for one in found:
        record = one.record
        if not isinstance(record, JobRecord):
            joined.append(one)
            continue
        where = str(one.store.folder), record.task_hash
        if where not in tasks and where not in failed:
            try:
                tasks[where] = one.store.task(record.task_hash)
            except (OSError, ValueError) as error:
                if record.status != Status.ok and record.metadata:
                    tasks[where] = _outline(record)  # no job ran, so no task was made
                else:
                    failed[where] = (
                        f"Task {record.task!r} ({record.task_hash}) of {one.store.folder} cannot "
                        f"be read, and its jobs are left out: {error}. Run them again."
                    )
        joined.append(Loaded(one.store, record, tasks.get(where)))
    return joined, list(failed.values())


def _outline(record: JobRecord) -> TaskRecord:
    """What a record alone tells of its task: its metadata, and no targets."""
    none = np.zeros((0, 0), bool)
    return TaskRecord(
        hash=record.task_hash,
        name=record.task,
        suite=record.suite,
        variables=(),
        candidates=none,
        truth=Truth(targets=none),
        metadata=record.metadata,
        setting=record.setting,
        factors=record.factors,
    )


# Subsets


def _named_once(found: Sequence[Loaded]) -> list[Loaded]:
    """The records with one name per task.

    Older runs with a subset counted only its tasks, so that one task has several names, and one
    name stands for several tasks. The name from a run on all tasks is used. A task without one
    tells its subset where another task has the same name.
    """
    with_subsets = _suites_with(found, _TRIVIAL)
    names: dict[tuple[str, str], tuple[str, Mapping[str, Any]]] = {}
    for one in found:
        record, task = one.record, one.task
        if not isinstance(record, JobRecord) or task is None or record.suite not in with_subsets:
            continue
        identity = record.suite, task.hash
        seen = [(task.name, task.metadata)]
        seen += [(record.task, record.metadata)] if record.metadata else []
        for name in seen:
            if identity not in names or _restriction(names[identity][1]) > _restriction(name[1]):
                names[identity] = name
    owners: dict[tuple[str, str], set[str]] = {}
    for (suite, hash), (name, _) in names.items():
        owners.setdefault((suite, name), set()).add(hash)
    renamed: dict[tuple[str, int], TaskRecord] = {}  # once per task: it has a job per method
    named = []
    for one in found:
        if one.task is not None and (one.record.suite, one.task.hash) in names:
            same = one.record.suite, id(one.task)
            if same not in renamed:
                identity = one.record.suite, one.task.hash
                renamed[same] = _renamed(one.task, *names[identity], owners)
            one = Loaded(one.store, one.record, renamed[same])
        named.append(one)
    return named


def _renamed(
    task: TaskRecord,
    name: str,
    metadata: Mapping[str, Any],
    owners: Mapping[tuple[str, str], set[str]],
) -> TaskRecord:
    restriction = _restriction(metadata)
    dataset = str(metadata.get("dataset", name))
    if restriction and len(owners[task.suite, name]) > 1:
        name, dataset = f"{name} ({restriction})", f"{dataset} ({restriction})"
    metadata = {**task.metadata, "dataset": dataset, SUBSET: EVERY}
    return replace(task, name=name, metadata=metadata)


def _restriction(metadata: Mapping[str, Any]) -> str:
    """The subset that an older run was restricted to, "" if it was not."""
    subset = metadata.get(SUBSET)
    return "" if subset in (None, "", EVERY) else str(subset)


def _suites_with(found: Sequence[Loaded], column: str) -> set[str]:
    return {
        one.record.suite
        for one in found
        if one.task is not None and isinstance(about(one.task).get(column), bool)
    }


def _in_subset(found: Sequence[Loaded], subset: str) -> list[Loaded]:
    """Fits, and the jobs whose tasks are in the subset."""
    if subset == EVERY:
        return list(found)
    kept = []
    restricted: dict[int, TaskRecord] = {}
    for one in found:
        answer = None if one.task is None else _answer(about(one.task), subset)
        if not _is_job(one):
            kept.append(one)
        elif one.task is not None and answer:
            if id(one.task) not in restricted:
                metadata = {**one.task.metadata, SUBSET: subset}
                restricted[id(one.task)] = replace(one.task, metadata=metadata)
            kept.append(Loaded(one.store, one.record, restricted[id(one.task)]))
    if not any(map(_is_job, kept)):
        tasks = [one.task for one in found if one.task is not None]
        known = sorted({k for t in tasks for k, v in about(t).items() if isinstance(v, bool)})
        raise BenchError(
            f"No task is in the subset {subset!r}. It takes `all`, or a yes/no column of the "
            f"tasks, with or without `non` before its name. Here: {', '.join(known) or 'none'}."
        )
    return kept


def _answer(values: Mapping[str, Any], subset: str) -> bool | None:
    """Whether a task is in a subset; None if it does not say."""
    if isinstance(values.get(subset), bool):
        return values[subset]
    opposite = values.get(subset.removeprefix("non"))
    return not opposite if isinstance(opposite, bool) else None


# What is current


def _current(found: Sequence[Loaded], factors: Factors) -> set[int]:
    """Indices of the newest job of each (factors, task, method, parameters, knowledge, seed). A
    failure for a cause outside of the method takes the place of no result of the same version.

    Results on an older version of the data are kept apart from newer ones: where tasks of one name
    have several identities, only the one that was run last counts.
    """
    places: dict[tuple[int, str], tuple[str, ...]] = {}  # once per task: it has a job per method

    def place_of(one: Loaded) -> tuple[str, ...]:
        same = id(one.task), one.record.suite
        if same not in places:
            places[same] = _place(one, factors)
        return places[same]

    jobs = [
        (i, one.record, place_of(one))
        for i, one in enumerate(found)
        if isinstance(one.record, JobRecord)
    ]
    last: dict[tuple, tuple[str, str]] = {}  # place and name -> when it was last run, its identity
    names = [(*place, _restriction(record.metadata), record.task) for _, record, place in jobs]
    for name, (_, record, _) in zip(names, jobs, strict=True):
        if name not in last or record.started_at > last[name][0]:
            last[name] = record.started_at, record.task_hash
    outdated = {
        (*place, record.task_hash)
        for name, (_, record, place) in zip(names, jobs, strict=True)
        if last[name][1] != record.task_hash
    }
    newest: dict[tuple, tuple[JobRecord, int]] = {}
    for i, record, place in jobs:
        if (*place, record.task_hash) in outdated:
            continue
        what = record.method, _json(record.parameters), _json(digests(record.knowledge))
        same = (*place, record.task_hash, *what, record.seed)
        if same not in newest or _replaces(record, newest[same][0]):
            newest[same] = record, i
    return {i for _, i in newest.values()}


def _replaces(one: JobRecord, other: JobRecord) -> bool:
    """Whether a record of a job counts in place of another one."""
    if one.method_version == other.method_version and one.outside != other.outside:
        return other.outside
    return one.started_at >= other.started_at


def replaced(read: Read) -> tuple[set[str], int]:
    """The keys of the superseded jobs of which there is a current result: of the same method with
    the same parameters on the task of the same name. And how many superseded jobs have none, since
    the method was not run on the newer version of the data."""

    def identity(one: Loaded, record: JobRecord) -> tuple:
        name = one.task.name if one.task else record.task
        what = record.method, _json(record.parameters), _json(digests(record.knowledge))
        return (*_place(one, read.factors), name, *what, record.seed)

    jobs = [(one, one.record) for one in read.loaded if isinstance(one.record, JobRecord)]
    current = {identity(*job) for job in jobs if not (job[0].superseded or job[1].outside)}
    old = [job for job in jobs if job[0].superseded]
    keys = {record.key for one, record in old if identity(one, record) in current}
    return keys, len(old) - len(keys)


def _place(one: Loaded, factors: Factors) -> tuple[str, ...]:
    """The factors of a job; those of a job whose task is lost are not known."""
    if one.task is None:
        return (one.record.suite,)
    return tuple(factors.values(one.record.suite, one.task.metadata).values())


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True) if value else "{}"
