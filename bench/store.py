"""The store of one suite's results: the one class that knows its paths and formats.

    <folder>/jobs/<key>.json   one record a job: what ran, how it ended, what it cost, what it ran
                               on
    <folder>/jobs/<key>.npz    its raw scores: one (R, N) float64 array a variant (`scores` if there
                               is one reading only)
    <folder>/jobs/<key>.log    what it printed, if it failed
    <folder>/models/<key>/     one a fit: model.npz with its arrays, record.json with how it went
                               and what it cost
    <folder>/tasks/<hash>.npz  one a task: targets, candidates, detectable, ceiling, profiles,
                               variables, and `about` as JSON

Every file appears whole or not at all, and a record is written after its scores: a job counts as
done when its record exists and, if it is "ok", its scores and its task as well.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cdnbench.digest import plain
from cdnbench.errors import BenchError

_STALE_S = 3600.0
FAILURES = ("timeout", "oom", "error", "killed")
STATUSES = ("ok", "skipped", *FAILURES)


@dataclass(frozen=True, eq=False)
class TaskTruth:
    """What a report needs of a task. Arrays are (R, N); `detectable`, `ceiling` and `profiles` are
    None where the suite has none.

    metadata: the suite's factors, `dataset` among them. facts: computed from the truth. setting:
    names of the factors that make up one setting.
    """

    name: str
    suite: str
    variables: tuple[str, ...]
    targets: np.ndarray
    candidates: np.ndarray
    detectable: np.ndarray | None = None
    ceiling: np.ndarray | None = None
    profiles: np.ndarray | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    setting: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """All but the arrays and the variables, as JSON."""
        fields = {
            "name": self.name,
            "suite": self.suite,
            "metadata": dict(self.metadata),
            "facts": dict(self.facts),
            "setting": list(self.setting),
        }
        return json.dumps(fields, sort_keys=True, default=plain)

    @staticmethod
    def of(
        about: str, variables: Sequence[str], arrays: Mapping[str, np.ndarray | None]
    ) -> TaskTruth:
        """The truth again, of `about`, the variables, and the arrays by name."""
        fields = json.loads(about)
        fields["setting"] = tuple(fields["setting"])
        return TaskTruth(**fields, variables=tuple(variables), **arrays)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Store:
    folder: Path

    @property
    def jobs(self) -> Path:
        return self.folder / "jobs"

    @property
    def tasks(self) -> Path:
        return self.folder / "tasks"

    def create(self) -> Store:
        """Make the folders, and make sure that they can be written.

        Raises
        ------
        BenchError: they cannot.
        """
        try:
            for path in (self.jobs, self.tasks):
                path.mkdir(parents=True, exist_ok=True)
                for partial in path.glob(".*.partial-*"):
                    if (
                        time.time() - partial.stat().st_mtime > _STALE_S
                    ):  # left by a run that was killed
                        partial.unlink(missing_ok=True)
                probe = _partial(path / "probe")
                probe.write_bytes(b"")
                probe.unlink()
        except OSError as error:
            raise BenchError(
                f"Cannot write results to {self.folder}: {error}. Name another folder with --out."
            ) from error
        return self

    # Fits

    def model_path(self, key: str) -> Path:
        return self.folder / "models" / key / "model.npz"

    def fit_record_path(self, key: str) -> Path:
        return self.model_path(key).with_name("record.json")

    def fit_record(self, key: str) -> dict[str, Any] | None:
        """The record of a fit that ended, or None; also None if it says "ok" and its model is
        gone."""
        try:
            record = json.loads(self.fit_record_path(key).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return None if record["status"] == "ok" and not self.model_path(key).exists() else record

    def write_fit_record(self, record: Mapping[str, Any]) -> None:
        """Store a fit's record, after its model."""
        path = self.fit_record_path(record["key"])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(
            path, (json.dumps(record, indent=1, sort_keys=True, default=plain) + "\n").encode()
        )

    def write_model(self, key: str, model: Mapping[str, np.ndarray]) -> None:
        path = self.model_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, **model)  # type: ignore[arg-type]
        write_atomically(path, buffer.getvalue())

    def model(self, key: str) -> dict[str, np.ndarray]:
        with np.load(self.model_path(key)) as arrays:
            return dict(arrays)

    # Jobs

    def record_path(self, key: str) -> Path:
        return self.jobs / f"{key}.json"

    def scores_path(self, key: str) -> Path:
        return self.jobs / f"{key}.npz"

    def log_path(self, key: str) -> Path:
        """What a job that failed printed, traceback included."""
        return self.jobs / f"{key}.log"

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Store a job's record, and drop what an earlier record of the same job left that this one
        does not go with."""
        key = record["key"]
        text = json.dumps(record, indent=1, sort_keys=True, default=plain) + "\n"
        write_atomically(self.record_path(key), text.encode())
        if record["status"] == "ok":
            self.log_path(key).unlink(missing_ok=True)
        else:
            self.scores_path(key).unlink(missing_ok=True)

    def is_whole(self, record: Mapping[str, Any]) -> bool:
        """Whether all that the record rests on is there."""
        needed = [self.scores_path(record["key"]), self.task_path(record["task_hash"])]
        return record["status"] != "ok" or all(path.exists() for path in needed)

    def record(self, key: str) -> dict[str, Any] | None:
        """The record of a finished job, or None."""
        try:
            return json.loads(self.record_path(key).read_text())
        except FileNotFoundError:
            return None
        except json.JSONDecodeError as error:
            raise BenchError(
                f"{self.record_path(key)} is not a record ({error}); delete it and run again."
            ) from error

    def records(self) -> Iterator[dict[str, Any]]:
        """All records, in the order of their keys."""
        for path in sorted(self.jobs.glob("*.json")):
            record = self.record(path.stem)
            if record is not None:
                yield record

    def write_scores(self, key: str, outputs: Mapping[str, np.ndarray]) -> None:
        write_arrays(
            self.scores_path(key),
            {variant or "scores": scores for variant, scores in outputs.items()},
        )

    def scores(self, key: str) -> dict[str, np.ndarray]:
        """Variant -> (R, N) scores of a job with status ok."""
        with np.load(self.scores_path(key)) as arrays:
            return {"" if name == "scores" else name: arrays[name] for name in arrays.files}

    def remove(self, key: str) -> None:
        self.record_path(key).unlink(missing_ok=True)
        self.scores_path(key).unlink(missing_ok=True)
        self.log_path(key).unlink(missing_ok=True)

    # Tasks

    def task_path(self, hash: str) -> Path:
        return self.tasks / f"{hash}.npz"

    def write_task(self, hash: str, truth: TaskTruth) -> None:
        arrays = {
            "targets": truth.targets,
            "candidates": truth.candidates,
            "variables": np.array(truth.variables),
            "about": np.array(truth.about),
        }
        optional = {
            "detectable": truth.detectable,
            "ceiling": truth.ceiling,
            "profiles": truth.profiles,
        }
        arrays.update({name: array for name, array in optional.items() if array is not None})
        write_arrays(self.task_path(hash), arrays)

    def task(self, hash: str) -> TaskTruth:
        with np.load(self.task_path(hash)) as arrays:
            names = ("targets", "candidates", "detectable", "ceiling", "profiles")
            found = {name: arrays[name] for name in names if name in arrays.files}
            return TaskTruth.of(str(arrays["about"]), arrays["variables"].tolist(), found)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    with _whole(path) as file:
        file.write(content)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """`np.savez_compressed`, atomically."""
    with _whole(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    partial = _partial(path)
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial-{os.getpid()}-{threading.get_ident()}")
