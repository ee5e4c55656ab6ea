"""Finished stores in a form worth committing: a few Parquet files per suite and protocol.

    <folder>/tasks.parquet     one row per task: hash, about (JSON), variables, and the arrays of
                               `TaskRecord` by name
    <folder>/<method>.parquet  one row per job: its record (JSON) and one column of scores per
                               reading

Arrays are flattened row by row. Floating-point arrays are float32, so scores that differ by less
than a part in 10^7 become ties. Reports read an archive like a store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.digest import plain
from cdnbench.errors import BenchError
from cdnbench.files import write_atomically
from cdnbench.record import JobRecord, NotARecord, Record, Status, TaskRecord, record_of
from cdnbench.store import Store
from cdnbench.truth import ARRAYS

TASKS = "tasks.parquet"
_SCORES = "scores:"
_ABOUT = ("hash", "about", "variables")
_PER_REGIME = {spec.name for spec in ARRAYS if spec.metadata["axes"] == 1}


@dataclass(frozen=True)
class Archive:
    """A compacted store; it has what reports need of a `Store`."""

    folder: Path
    problems: Sequence[str] = ()

    @staticmethod
    def is_at(folder: Path) -> bool:
        """Whether a folder holds an archive."""
        return (folder / TASKS).is_file()

    def records(self) -> Iterator[Record]:
        """All records, in the order of their keys."""
        yield from (record for _, record in sorted(self._records.items()))

    def scores(self, key: str) -> dict[str, np.ndarray]:
        """Variant -> (n_regimes, n_variables) float64 scores of a job that is "ok"."""
        record = self._records[key]
        shape = self.task(record.task_hash).candidates.shape
        return {
            variant: np.array(flat, np.float64).reshape(shape)
            for variant, flat in self._scores[key].items()
        }

    def task(self, hash: str) -> TaskRecord:
        """What is known of a task; FileNotFoundError if it is not there."""
        if hash not in self._tasks:
            raise FileNotFoundError(f"{self.folder / TASKS} has no task {hash}")
        row = self._tasks[hash]
        n_variables = len(row["variables"])
        arrays = {
            name: np.asarray(flat).reshape((-1,) if name in _PER_REGIME else (-1, n_variables))
            for name, flat in row.items()
            if name not in _ABOUT and flat is not None
        }
        values = {**json.loads(row["about"]), "hash": hash, "variables": row["variables"]}
        return TaskRecord.of_plain(values, arrays)

    @cached_property
    def _tasks(self) -> dict[str, dict[str, Any]]:
        return {row["hash"]: row for row in _read(self.folder / TASKS)}

    @cached_property
    def _jobs(self) -> list[tuple[JobRecord, dict[str, Any]]]:
        """Each record with its row."""
        paths = (path for path in sorted(self.folder.glob("*.parquet")) if path.name != TASKS)
        return [(_record(row, path), row) for path in paths for row in _read(path)]

    @cached_property
    def _records(self) -> dict[str, JobRecord]:
        return {record.key: record for record, _ in self._jobs}

    @cached_property
    def _scores(self) -> dict[str, dict[str, list[float]]]:
        return {
            record.key: {
                name.removeprefix(_SCORES): values
                for name, values in row.items()
                if name.startswith(_SCORES) and values is not None
            }
            for record, row in self._jobs
        }


def find_stores(folder: Path) -> list[Store | Archive]:
    """The stores and archives at or directly below a folder.

    Raises
    ------
    BenchError: there is none.
    """
    places = [folder, *sorted(p for p in folder.glob("*") if p.is_dir())] if folder.is_dir() else []
    stores: list[Store | Archive] = [Store(p) for p in places if Store.is_at(p)]
    stores += [Archive(p) for p in places if Archive.is_at(p)]
    if not stores:
        raise BenchError(
            f"No results in {folder}: run `bench run --suite synthetic-mini` first, or name the "
            "folder."
        )
    return stores


def compact(store: Store, into: Path) -> list[Path]:
    """Write a store as archives `<into>/<suite>[-<protocol>]` and return their folders.

    What an archive already holds stays, except for jobs that are in the store as well. A record
    whose task could not be made is kept without one.

    Raises
    ------
    BenchError: the store holds no finished job.
    """
    folders: dict[Path, dict[str, dict[str, dict[str, Any]]]] = {}
    tasks: dict[Path, dict[str, TaskRecord]] = {}
    for record in store.jobs():
        protocol = record.metadata.get("protocol")
        folder = into / (f"{record.suite}-{protocol}" if protocol else record.suite)
        row: dict[str, Any] = {"record": _json(replace(record, log="").plain())}
        if record.status == Status.ok:
            for variant, scores in store.scores(record.key).items():
                row[_SCORES + variant] = scores.astype(np.float32).ravel()
        folders.setdefault(folder, {}).setdefault(record.method, {})[record.key] = row
        if store.has_task(record.task_hash):
            tasks.setdefault(folder, {})[record.task_hash] = store.task(record.task_hash)
    if not folders:
        raise BenchError(f"{store.folder} holds no finished job.")
    for folder, methods in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        there = Archive(folder)
        known = {hash: there.task(hash) for hash in there._tasks} if there.is_at(folder) else {}
        known |= tasks.get(folder, {})
        _write(folder / TASKS, [_task_row(task) for _, task in sorted(known.items())])
        for method, rows in methods.items():
            path = folder / f"{method}.parquet"
            old = {_record(row, path).key: row for row in _read(path)} if path.exists() else {}
            _write(path, [row for _, row in sorted((old | rows).items())])
    return sorted(folders)


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


def _record(row: Mapping[str, Any], path: Path) -> JobRecord:
    try:
        record = record_of(json.loads(row["record"]))
    except (NotARecord, ValueError) as error:
        raise BenchError(f"{path} holds a broken record: {error}.") from None
    if not isinstance(record, JobRecord):
        raise BenchError(f"{path} holds the record of a {record.kind}, not of a job.")
    return record


def _read(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        columns = [_column(table.column(name)) for name in table.column_names]
    except Exception as error:
        raise BenchError(f"{path} cannot be read: {error}") from error
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _column(column: Any) -> list[Any]:
    """The values of an Arrow column; lists of numbers as arrays, which share its memory."""
    import pyarrow as pa

    chunks = [chunk for chunk in column.chunks if len(chunk)]
    numbers = pa.types.is_list(column.type) and not pa.types.is_string(column.type.value_type)
    if not numbers:
        return column.to_pylist()
    found: list[Any] = []
    for chunk in chunks:
        values, ends = chunk.values.to_numpy(zero_copy_only=False), chunk.offsets.to_numpy()
        there = chunk.is_valid().to_pylist()
        found += [
            values[a:b] if valid else None
            for a, b, valid in zip(ends[:-1], ends[1:], there, strict=True)
        ]
    return found


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = dict.fromkeys(name for row in rows for name in row)
    columns = {
        name: pa.array([row.get(name) for row in rows], type=_type(rows, name)) for name in names
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd", compression_level=9)
    write_atomically(path, sink.getvalue().to_pybytes())


def _type(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    """float32 where a column holds floating-point arrays; else what Arrow makes of it."""
    import pyarrow as pa

    values = (row[name] for row in rows if row.get(name) is not None)
    first = next(values, None)
    floats = name.startswith(_SCORES) or (isinstance(first, np.ndarray) and first.dtype.kind == "f")
    return pa.list_(pa.float32()) if floats else None
