"""Finished stores in a form worth committing: a few Parquet files a suite and protocol, which
reports read like a store.

    <folder>/tasks.parquet     one row a task: hash, about (JSON), variables, targets, candidates,
                               detectable, ceiling, profiles
    <folder>/<method>.parquet  one row a job: its record (JSON) and one column of scores a reading

Arrays are flattened row by row; scores and ceilings are float32, so scores that differ by less than
a part in 10^7 become ties.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.errors import BenchError
from cdnbench.store import Store, TaskTruth, write_atomically

TASKS = "tasks.parquet"
_SCORES = "scores:"


@dataclass(frozen=True)
class Archive:
    """A compacted store; it has what reports need of a `Store`."""

    folder: Path

    def records(self) -> Iterator[dict[str, Any]]:
        """All records, in the order of their keys."""
        yield from (record for _, record in sorted(self._records.items()))

    def scores(self, key: str) -> dict[str, np.ndarray]:
        """Variant -> (R, N) float64 scores of a job with status ok."""
        record = self._records[key]
        shape = self.task(record["task_hash"]).targets.shape
        return {
            variant: np.array(flat, np.float64).reshape(shape)
            for variant, flat in self._scores[key].items()
        }

    def task(self, hash: str) -> TaskTruth:
        if hash not in self._tasks:
            raise FileNotFoundError(f"{self.folder / TASKS} has no task {hash}")
        row = self._tasks[hash]
        arrays = {
            name: None
            if row.get(name) is None
            else np.asarray(row[name]).reshape(-1, len(row["variables"]))
            for name in ("targets", "candidates", "detectable", "ceiling", "profiles")
        }
        return TaskTruth.of(row["about"], row["variables"], arrays)

    @cached_property
    def _tasks(self) -> dict[str, dict[str, Any]]:
        return {row["hash"]: row for row in _read(self.folder / TASKS)}

    @cached_property
    def _jobs(self) -> list[dict[str, Any]]:
        paths = (path for path in sorted(self.folder.glob("*.parquet")) if path.name != TASKS)
        return [row for path in paths for row in _read(path)]

    @cached_property
    def _records(self) -> dict[str, dict[str, Any]]:
        records = (json.loads(row["record"]) for row in self._jobs)
        return {record["key"]: record for record in records}

    @cached_property
    def _scores(self) -> dict[str, dict[str, list[float]]]:
        return {
            json.loads(row["record"])["key"]: {
                name.removeprefix(_SCORES): values
                for name, values in row.items()
                if name.startswith(_SCORES) and values is not None
            }
            for row in self._jobs
        }


def find_stores(folder: Path) -> list[Store | Archive]:
    """The stores and archives at or directly below a folder.

    Raises
    ------
    BenchError: there is none.
    """
    places = [folder, *sorted(p for p in folder.glob("*") if p.is_dir())] if folder.is_dir() else []
    stores: list[Store | Archive] = [Store(p) for p in places if (p / "jobs").is_dir()]
    stores += [Archive(p) for p in places if (p / TASKS).is_file()]
    if not stores:
        raise BenchError(
            f"No results in {folder}: run `bench run --suite synthetic-mini` first, or name the "
            "folder."
        )
    return stores


def compact(store: Store, into: Path) -> list[Path]:
    """Write a store as archives `<into>/<suite>[-<protocol>]`, one a protocol, and return their
    folders.

    What an archive already holds stays, except for jobs that are in the store as well. A record
    whose task could not be made is kept without one.
    """
    folders: dict[Path, dict[str, list[dict[str, Any]]]] = {}
    tasks: dict[Path, dict[str, TaskTruth]] = {}
    for record in store.records():
        protocol = record.get("metadata", {}).get("protocol")
        folder = into / (f"{record['suite']}-{protocol}" if protocol else record["suite"])
        row: dict[str, Any] = {"record": json.dumps(record, sort_keys=True)}
        if record["status"] == "ok":
            for variant, scores in store.scores(record["key"]).items():
                row[_SCORES + variant] = scores.astype(np.float32).ravel()
        folders.setdefault(folder, {}).setdefault(record["method"], []).append(row)
        if store.task_path(record["task_hash"]).exists():
            tasks.setdefault(folder, {})[record["task_hash"]] = store.task(record["task_hash"])
    if not folders:
        raise BenchError(f"{store.folder} holds no finished job.")
    for folder, methods in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        there = Archive(folder)
        known = (
            {hash: there.task(hash) for hash in there._tasks} if (folder / TASKS).exists() else {}
        )
        known |= tasks.get(folder, {})
        _write(folder / TASKS, [_task_row(hash, truth) for hash, truth in sorted(known.items())])
        for method, rows in methods.items():
            path = folder / f"{method}.parquet"
            old = _read(path) if path.exists() else []
            merged = {json.loads(row["record"])["key"]: row for row in [*old, *rows]}
            _write(path, [row for _, row in sorted(merged.items())])
    return sorted(folders)


def _task_row(hash: str, truth: TaskTruth) -> dict[str, Any]:
    return {
        "hash": hash,
        "about": truth.about,
        "variables": list(truth.variables),
        "targets": truth.targets.ravel(),
        "candidates": truth.candidates.ravel(),
        "detectable": None if truth.detectable is None else truth.detectable.ravel(),
        "ceiling": None if truth.ceiling is None else truth.ceiling.astype(np.float32).ravel(),
        "profiles": None if truth.profiles is None else truth.profiles.astype(np.float32).ravel(),
    }


def _read(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path).to_pylist()
    except Exception as error:
        raise BenchError(f"{path} cannot be read: {error}") from error


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = dict.fromkeys(name for row in rows for name in row)
    floats = {name for name in names if name.startswith(_SCORES) or name in ("ceiling", "profiles")}
    columns = {
        name: pa.array(
            [row.get(name) for row in rows], type=pa.list_(pa.float32()) if name in floats else None
        )
        for name in names
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd", compression_level=9)
    write_atomically(path, sink.getvalue().to_pybytes())
