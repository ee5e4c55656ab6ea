"""The frame of readings: one row per reading of each current job.

A store has a job per method and task, so what tasks and methods say of themselves is worked out
once for each of them, and rows are put together by number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cdnbench.metrics import METRICS
from cdnbench.record import JobRecord, Status, TaskRecord
from cdnbench.reports.factors import Factors
from cdnbench.reports.labels import reading_label, short_label, told_apart

CEILING = "ceiling"
FIRST = (
    "task",
    "regime",
    "n_targets",
    "method",
    "variant",
    "label",
    "seed",
    "status",
    "metric",
    "value",
)
LAST = ("parameters", "knowledge")
INNER = ("job", "wall_s", "short", "is_default")
"""Columns of readings that are for reports only."""
_OWN = {*FIRST, *LAST, *INNER, "targets", "detectable", "key", *METRICS}
"""Columns that no fact or metadata of a task may take."""
_READING = ("method", "variant", "parameters", "knowledge", "label", "short", "is_default")
_JOB = ("seed", "status", "wall_s", "job")


class Readings:
    """Rows in the order in which they are added."""

    def __init__(self, factors: Factors) -> None:
        self._factors = factors
        self._tasks: dict[tuple[int, str], int] = {}
        self._task_columns: list[dict[str, Any]] = []
        self._kinds: dict[tuple[Any, ...], int] = {}
        self._kind_columns: list[dict[str, Any]] = []
        self._rows: list[tuple[int, int]] = []  # numbers of task and kind
        self._jobs: dict[str, list[Any]] = {name: [] for name in _JOB}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, record: JobRecord, variant: str, task: TaskRecord, job: int) -> None:
        """A reading of a job, whose record is the one of that number."""
        parameters = as_json(told_apart(record.parameters))
        knowledge, trained_on = as_json(record.knowledge), as_json(record.trained_on)
        of = record.method, variant, record.variants, parameters, knowledge, record.design
        kind = self._kinds.get((*of, trained_on))
        if kind is None:
            kind = self._kind(
                (*of, trained_on),
                method=record.method,
                variant=variant,
                parameters=parameters,
                knowledge=knowledge,
                label=reading_label(record, variant),
                short=short_label(record, variant),
                is_default=not record.variants or variant == record.variants[0],
            )
        self._add(task, record.suite, kind, (record.seed, str(record.status), record.wall_s, job))

    def add_ceiling(self, task: TaskRecord) -> None:
        """The reading of a task's ceiling, which no job has."""
        kind = self._kinds.get((CEILING,))
        if kind is None:
            kind = self._kind(
                (CEILING,),
                method=CEILING,
                variant="",
                parameters="{}",
                knowledge="{}",
                label=CEILING,
                short=CEILING,
                is_default=True,
            )
        self._add(task, task.suite, kind, (0, str(Status.ok), None, -1))

    def fail(self, number: int) -> int:
        """Mark a reading as failed, and return the number of its job."""
        self._jobs["status"][number] = str(Status.error)
        self._jobs["wall_s"][number] = np.nan
        return self._jobs["job"][number]

    def frame(self) -> pd.DataFrame:
        """See `cdnbench.reports.frame.Results.readings`."""
        numbers = np.array(self._rows, dtype=np.int64)
        tasks = _frame(self._task_columns).take(numbers[:, 0])
        kinds = _frame(self._kind_columns).take(numbers[:, 1])
        columns = {name: column.array for part in (tasks, kinds) for name, column in part.items()}
        jobs = {name: pd.Series(self._jobs[name], dtype=object) for name in _JOB}
        columns["seed"] = jobs["seed"].infer_objects()
        columns["status"] = jobs["status"].astype("category")
        columns["wall_s"] = pd.to_numeric(jobs["wall_s"], errors="coerce")
        columns["job"] = jobs["job"].astype(np.int64)
        order = dict.fromkeys([*self._task_columns[0], *_READING, *_JOB, *tasks.columns])
        return pd.DataFrame({name: columns[name] for name in order})

    def _kind(self, of: tuple[Any, ...], **columns: Any) -> int:
        self._kinds[of] = len(self._kinds)
        self._kind_columns.append(columns)
        return self._kinds[of]

    def _add(self, task: TaskRecord, suite: str, kind: int, job: tuple[Any, ...]) -> None:
        same = id(task), suite
        if same not in self._tasks:
            self._tasks[same] = len(self._tasks)
            self._task_columns.append(_task_columns(task, suite, self._factors))
        self._rows.append((self._tasks[same], kind))
        for name, value in zip(_JOB, job, strict=True):
            self._jobs[name].append(value)


def as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True) if value else "{}"


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A frame with what is no number as categories."""
    frame = pd.DataFrame.from_records(rows)
    for column in frame.columns:
        if frame[column].dtype == object:
            frame[column] = frame[column].astype("category")
    return frame


def _task_columns(task: TaskRecord, suite: str, factors: Factors) -> dict[str, Any]:
    facts = {k: v for k, v in task.truth.facts.items() if isinstance(v, str | int | float | bool)}
    own = {
        name: value if isinstance(value, str | int | float | bool) else as_json(value)
        for name, value in {**facts, **task.metadata}.items()
        if name not in _OWN
    }
    n_regimes, n_variables = task.truth.targets.shape
    setting = [name for name in task.setting if name not in factors.names]
    return {
        **own,
        **factors.values(suite, task.metadata),
        "n_variables": n_variables,
        "n_regimes": n_regimes,
        "dataset": str(task.metadata.get("dataset", task.name)),
        "setting": ", ".join(f"{name}={task.metadata.get(name, '')}" for name in setting),
        "task": task.name,
    }
