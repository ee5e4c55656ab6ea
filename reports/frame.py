"""Stores -> data frames. Everything a report shows comes from here; suites and their data are never
touched.

`read` makes `Results` (jobs, readings, regimes) of stores; `tidy` has one row per (method, variant,
task, regime, seed, metric), `jobs` one row per job.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Protocol

import numpy as np
import pandas as pd

from cdnbench.errors import BenchError
from cdnbench.method import label
from cdnbench.metrics import METRICS, TOP, evaluate
from cdnbench.store import TaskTruth

FACTORS = ("suite", "split", "protocol", "subset", "masking", "standardise", "track")
"""What a report never averages over."""

TOP_SCORE = "top_score"
"""The largest score of a regime's candidates: how sure the method is that something moved."""

CEILING = "ceiling"
_CEILING_RECORD = {"method": CEILING, "status": "ok"}
_ELEMENTS = 4_000_000  # scores held at once
_REQUIRED = ("key", "method", "task", "status", "suite")
_OWN = {
    "task",
    "method",
    "variant",
    "label",
    "seed",
    "status",
    "regime",
    "metric",
    "value",
    "key",
    "targets",
    "detectable",
    TOP_SCORE,
    *METRICS,
}
_JOB_COLUMNS = (
    "key",
    "kind",
    "suite",
    "method",
    "method_version",
    "parameters",
    "label",
    "task",
    "task_hash",
    "seed",
    "status",
    "reason",
    "note",
    "facts",
    "superseded",
    "batch_size",
    "wall_s",
    "wall_s_single",
    "cpu_s",
    "peak_rss_mb",
    "peak_gpu_mb",
    "device",
    "threads",
    "timeout_s",
    "memory_gb",
    "versions",
    "git_sha",
    "dirty",
    "host",
    "started_at",
    "trained_on",
)
_NUMBERS = {
    "seed",
    "batch_size",
    "wall_s",
    "wall_s_single",
    "cpu_s",
    "peak_rss_mb",
    "peak_gpu_mb",
    "threads",
    "timeout_s",
    "memory_gb",
}


class ReportWarning(UserWarning):
    """Something in a store that a report had to leave out."""


class Readable(Protocol):
    """What a report needs of a store; `cdnbench.store.Store` has it."""

    @property
    def folder(self) -> Path: ...
    def records(self) -> Iterator[dict[str, Any]]: ...
    def scores(self, key: str) -> dict[str, np.ndarray]: ...
    def task(self, hash: str) -> TaskTruth: ...


@dataclass(frozen=True, eq=False)
class Results:
    """What stores hold, as frames.

    jobs: one row per record. readings: one row per reading of each current prediction, with the
    task's columns, `label`, `status` and `wall_s`; the ceiling is among them. regimes: one row per
    regime of each finished reading and
    its metrics as columns. notes: what was left out, and where it lies.
    """

    jobs: pd.DataFrame
    readings: pd.DataFrame
    regimes: pd.DataFrame
    notes: tuple[str, ...] = ()


def read(stores: Iterable[Readable]) -> Results:
    """The results of all stores together.

    Only the newest of the records that agree in suite, method, parameters, task and seed counts
    (results of an older version of a method stay in the store); the others are marked `superseded`
    among the jobs.

    Raises
    ------
    BenchError: there is no record, or one that cannot be read; the message names the file.
    """
    stores = list(stores)
    loaded = [(store, record) for store in stores for record in _checked_records(store)]
    if not loaded:
        folders = ", ".join(str(store.folder) for store in stores) or "no folder"
        raise BenchError(
            f"No finished job in {folders}: run `bench run` first, or name another folder."
        )
    tasks, notes = _read_tasks(loaded)
    current = _current(loaded, tasks)
    if len(current) < sum(_is_prediction(record) for _, record in loaded):
        stale = sum(_is_prediction(record) for _, record in loaded) - len(current)
        notes.append(
            f"{stale} older records are superseded by newer ones (see `superseded` in the jobs "
            "table)"
        )

    readings: list[dict[str, Any]] = []  # one small dict a reading; regimes are arrays
    pieces: list[tuple[int, Readable | None, str, str, TaskTruth]] = []
    for index in sorted(current):
        store, record = loaded[index]
        truth = tasks.get(_task_id(store, record))
        if truth is None:
            continue
        outputs = [""] if not record.get("variants") else record["variants"]
        for variant in outputs:
            pieces.append((len(readings), store, record["key"], variant, truth))
            readings.append(_reading(record, variant, truth, index))
    for record, truth in _distinct(
        (loaded[i][1], tasks.get(_task_id(*loaded[i]))) for i in sorted(current)
    ):
        if truth.ceiling is not None:
            pieces.append((len(readings), None, CEILING, "", truth))
            readings.append(
                _reading(
                    {**_CEILING_RECORD, "suite": record["suite"], "task": record["task"]},
                    "",
                    truth,
                    -1,
                )
            )

    ids, columns, broken = _evaluate(p for p in pieces if readings[p[0]]["status"] == "ok")
    for reading, why in broken.items():
        readings[reading].update(status="error", wall_s=np.nan)
        record = loaded[readings[reading]["job"]][1]
        record.update(status="error", reason=why)
        notes.append(why)
    frame = _readings_frame(readings)
    regimes = frame.take(ids).reset_index(drop=True)
    regimes = pd.concat([regimes, pd.DataFrame(columns)], axis=1)
    return Results(
        jobs=_jobs_frame([record for _, record in loaded], current),
        readings=frame,
        regimes=regimes,
        notes=tuple(dict.fromkeys(notes)),
    )


def tidy(source: Iterable[Readable] | Results) -> pd.DataFrame:
    """One row per (method, variant, task, regime, seed, metric); a job that did not finish has one
    without a metric.

    Columns: the factors (`suite`, `split`, `protocol`, `subset`, `masking`, ...; "" where a suite
    has none), the task's metadata and facts, `label` (how tables call the reading), `regime`,
    `n_targets`, `status`, `metric`, `value`. A value is NaN where the metric is undefined; nothing
    is imputed.
    """
    results = _results(source)
    regimes, names = results.regimes, list(METRICS)
    values = regimes[names].to_numpy().ravel()
    n_candidates = regimes["n_candidates"].to_numpy()
    exists = np.ones((len(regimes), len(names)), bool)
    for k in TOP:
        exists[:, names.index(f"recall_at_{k}")] = n_candidates > k
    kept = np.flatnonzero(exists.ravel())
    row, metric = np.divmod(kept, len(names))
    done = regimes.drop(columns=[*names, "job", "wall_s"]).take(row).reset_index(drop=True)
    metrics = pd.CategoricalDtype([*names, ""])
    done["metric"] = pd.Categorical.from_codes(metric.tolist(), dtype=metrics)
    done["value"] = values[kept]
    failed = results.readings[results.readings["status"] != "ok"].drop_duplicates("job")
    failed = failed.drop(columns=["job", "wall_s"]).reset_index(drop=True)
    failed["metric"] = pd.Categorical([""] * len(failed), dtype=metrics)
    failed["value"] = np.nan
    failed["targets"] = pd.Categorical(
        [""] * len(failed), categories=done["targets"].cat.categories.union([""])
    )
    done["targets"] = done["targets"].cat.set_categories(failed["targets"].cat.categories)
    for column in ("regime", "n_targets", "n_candidates"):
        done[column] = done[column].astype("Int64")
        failed[column] = pd.array([pd.NA] * len(failed), dtype="Int64")
    frame = pd.concat([done, failed], ignore_index=True) if len(failed) else done
    first = [
        *FACTORS,
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
    ]
    return frame[[*first, *(c for c in frame.columns if c not in first)]]


def jobs(source: Iterable[Readable] | Results) -> pd.DataFrame:
    """One row per job, fits and superseded ones included; `versions` and `parameters` as JSON."""
    return _results(source).jobs


def _results(source: Iterable[Readable] | Results) -> Results:
    """Results as they are; stores are read, with a warning for what had to be left out."""
    if isinstance(source, Results):
        return source
    results = read(source)
    for note in results.notes:
        warnings.warn(note, ReportWarning, stacklevel=3)
    return results


def shown_parameters(parameters: Mapping[str, Any]) -> str:
    """`[max_set_size=2]`, or nothing if there are none. The device is no reading of its own: the
    jobs table has it."""
    shown = sorted((name, value) for name, value in parameters.items() if name != "device")
    texts = (f"{name}={v if isinstance(v, str) else json.dumps(v)}" for name, v in shown)
    return f"[{', '.join(texts)}]" if shown else ""


def _checked_records(store: Readable) -> Iterator[dict[str, Any]]:
    for record in store.records():
        missing = [field for field in _REQUIRED if field not in record]
        if missing:
            name = store.folder / "jobs" / f"{record.get('key', '?')}.json"
            raise BenchError(
                f"{name} is not a job record: it lacks {', '.join(missing)}. Delete it and run "
                "again."
            )
        yield record


def _is_prediction(record: Mapping[str, Any]) -> bool:
    return record.get("kind", "predict") == "predict"


def _task_id(store: Readable, record: Mapping[str, Any]) -> tuple[str, str]:
    return str(store.folder), record.get("task_hash", "")


def _read_tasks(
    loaded: Sequence[tuple[Readable, dict[str, Any]]],
) -> tuple[dict[tuple[str, str], TaskTruth], list[str]]:
    """(store, task hash) -> truth, and a note for each task file that is missing or broken."""
    tasks: dict[tuple[str, str], TaskTruth] = {}
    failed: dict[tuple[str, str], str] = {}
    for store, record in loaded:
        task_id = _task_id(store, record)
        if not _is_prediction(record) or task_id in tasks or task_id in failed:
            continue
        try:
            tasks[task_id] = store.task(record.get("task_hash", ""))
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            if record["status"] != "ok" and "metadata" in record:
                tasks[task_id] = _outline(
                    record
                )  # every job may have been skipped before the task was made
                continue
            path = store.folder / "tasks" / f"{record.get('task_hash', '')}.npz"
            failed[task_id] = (
                f"{path} (task {record['task']!r}) cannot be read ({type(error).__name__}); its "
                "jobs are left out: "
                "run it again"
            )
    return tasks, list(failed.values())


def _outline(record: Mapping[str, Any]) -> TaskTruth:
    """What a record alone tells of its task: factors, no targets."""
    none = np.zeros((0, 0), bool)
    return TaskTruth(
        name=record["task"],
        suite=record["suite"],
        variables=(),
        targets=none,
        candidates=none,
        metadata=record["metadata"],
        setting=tuple(record.get("setting", ())),
    )


def _current(
    loaded: Sequence[tuple[Readable, dict[str, Any]]], tasks: Mapping[tuple[str, str], TaskTruth]
) -> set[int]:
    """Indices of the newest prediction of each (factors, method, parameters, knowledge, task,
    seed), of those on the newest task of that
    name: what was run on data that have been made anew is not set beside what was run on them
    since."""
    newest: dict[tuple, int] = {}
    of_name: dict[
        tuple, tuple[str, Any]
    ] = {}  # factors and name of a task -> when it was last used, and its hash
    found = []
    for index, (store, record) in enumerate(loaded):
        if not _is_prediction(record):
            continue
        truth = tasks.get(_task_id(store, record))
        factors = (
            tuple(_factors(record, truth).values())
            if truth
            else (record["suite"], record.get("task_hash", ""))
        )
        found.append((index, record, factors))
        used = _started(record), record.get("task_hash")
        of_name[(*factors, record["task"])] = max(
            of_name.get((*factors, record["task"]), ("", None)), used, key=lambda u: u[0]
        )
    for index, record, factors in found:
        if record.get("task_hash") != of_name[(*factors, record["task"])][1]:
            continue
        what = record["method"], _json(record.get("parameters")), _json(_known(record))
        same = (*factors, *what, record["task"], record.get("seed", 0))
        if same not in newest or _started(record) >= _started(loaded[newest[same]][1]):
            newest[same] = index
    return set(newest.values())


def _shown_knowledge(record: Mapping[str, Any]) -> str:
    """What --knowledge was, of a list kind=path the files that the method was trained with, by name
    and digest."""
    known, name = _known(record), (record.get("knowledge") or {}).get("name", "")
    if "=" in name:
        files = [part.partition("=") for part in name.split(",")]
        name = ", ".join(
            f"{PurePath(path).name} {known[kind][:4]}" for kind, _, path in files if kind in known
        )
    return f" [{name}]" if name else ""


def _known(record: Mapping[str, Any]) -> dict[str, str]:
    """Kind of knowledge -> digest of what the method was trained with."""
    return {
        kind: value for kind, value in (record.get("knowledge") or {}).items() if kind != "name"
    }


def _started(record: Mapping[str, Any]) -> str:
    return str(record.get("started_at") or "")


def _factors(record: Mapping[str, Any], truth: TaskTruth) -> dict[str, str]:
    return {"suite": record["suite"], **{f: _text(truth.metadata.get(f)) for f in FACTORS[1:]}}


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _distinct(
    pairs: Iterable[tuple[dict[str, Any], TaskTruth | None]],
) -> list[tuple[dict[str, Any], TaskTruth]]:
    """One (record, truth) for each (factors, task)."""
    return list(
        {(*_factors(r, t).values(), r["task"]): (r, t) for r, t in pairs if t is not None}.values()
    )


def _reading(record: Mapping[str, Any], variant: str, truth: TaskTruth, job: int) -> dict[str, Any]:
    facts = {k: v for k, v in truth.facts.items() if isinstance(v, str | int | float | bool)}
    about = {**facts, **truth.metadata}
    own = {
        name: v if isinstance(v, str | int | float | bool) else _json(v)
        for name, v in about.items()
        if name not in _OWN
    }
    n_regimes, n_variables = truth.targets.shape
    factors = [f for f in truth.setting if f not in FACTORS]
    return {
        **own,
        **_factors(record, truth),
        "n_variables": n_variables,
        "n_regimes": n_regimes,
        "dataset": _text(truth.metadata.get("dataset", truth.name)),
        "setting": ", ".join(f"{f}={truth.metadata.get(f, '')}" for f in factors),
        "task": record["task"],
        "method": record["method"],
        "variant": variant,
        "label": label(record["method"], variant, record.get("variants") or [])
        + shown_parameters(record.get("parameters") or {})
        + _shown_knowledge(record),
        "seed": int(record.get("seed") or 0),
        "status": record["status"],
        "wall_s": record.get("wall_s"),
        "job": job,
    }


def _readings_frame(readings: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame.from_records(readings)
    frame["wall_s"] = pd.to_numeric(frame["wall_s"], errors="coerce")
    for column in frame.columns:
        if frame[column].dtype == object:
            frame[column] = frame[column].astype("category")
    return frame


def _evaluate(
    pieces: Iterable[tuple[int, Readable | None, str, str, TaskTruth]],
) -> tuple[np.ndarray, dict[str, Any], dict[int, str]]:
    """Reading ids (rows,), columns of (rows,) arrays, and reading -> why its scores cannot be
    used."""
    # (R, n_metrics + 1) metrics and the top score, regimes, truth, reading
    done: list[tuple[np.ndarray, np.ndarray, TaskTruth, int]] = []
    pending: dict[int, list[tuple[int, np.ndarray, TaskTruth]]] = {}
    broken: dict[int, str] = {}
    held, opened = 0, ("", {})

    def flush() -> None:
        for group in pending.values():
            found = evaluate(
                np.concatenate([scores for _, scores, _ in group]),
                np.concatenate([truth.targets for *_, truth in group]),
                np.concatenate([truth.candidates for *_, truth in group]),
                np.concatenate([_profiles(truth) for *_, truth in group]),
            )
            top = [_top_scores(scores, truth.candidates) for _, scores, truth in group]
            values = np.column_stack([*found.values(), np.concatenate(top)])
            ends = np.cumsum([len(scores) for _, scores, _ in group])
            for (reading, _, truth), part in zip(group, np.split(values, ends[:-1]), strict=True):
                done.append((part, np.arange(len(part)), truth, reading))
        pending.clear()

    for reading, store, key, variant, truth in pieces:
        try:
            if store is None:
                scores = truth.ceiling
            else:
                if opened[0] != key:
                    opened = (key, store.scores(key))
                scores = opened[1][variant]
            if scores is None or scores.shape != truth.targets.shape:
                raise ValueError(f"not of shape {truth.targets.shape}, that of the task's targets")
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            path = "" if store is None else store.folder / "jobs" / f"{key}.npz"
            broken[reading] = (
                f"{path}: no scores {variant!r} ({type(error).__name__}: {error}); delete it and "
                "run again"
            )
            continue
        pending.setdefault(truth.targets.shape[1], []).append((reading, scores, truth))
        held += truth.targets.size
        if held > _ELEMENTS:
            flush()
            held = 0
    flush()
    done.sort(key=lambda part: part[-1])
    return *_columns(done), broken


def _top_scores(scores: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """(R,) the largest score of each regime's candidates; NaN where none has one."""
    values = np.where(candidates & ~np.isnan(scores), scores, -np.inf).max(axis=1)
    return np.where(np.isinf(values), np.nan, values)


def _detectable(truth: TaskTruth) -> np.ndarray:
    """(R,) share of each regime's targets whose intervention left a trace; NaN where the suite does
    not say."""
    if truth.detectable is None:
        return np.full(len(truth.targets), np.nan)
    n = truth.targets.sum(axis=1)
    found = (truth.targets & truth.detectable).sum(axis=1)
    return np.divide(found, n, out=np.full(len(n), np.nan), where=n > 0)


def _profiles(truth: TaskTruth) -> np.ndarray:
    return np.full(truth.targets.shape, np.nan) if truth.profiles is None else truth.profiles


def _columns(
    done: Sequence[tuple[np.ndarray, np.ndarray, TaskTruth, int]],
) -> tuple[np.ndarray, dict[str, Any]]:
    names: dict[int, np.ndarray] = {}
    for _, _, truth, _ in done:
        if id(truth) not in names:
            variables = np.array(truth.variables, dtype=object)
            names[id(truth)] = np.array(
                ["+".join(variables[t]) for t in truth.targets], dtype=object
            )
    join = lambda parts, dtype: np.concatenate(parts) if parts else np.empty(0, dtype)  # noqa: E731
    columns: dict[str, Any] = {
        "regime": join([regime for _, regime, _, _ in done], np.int64),
        "n_targets": join([truth.targets.sum(axis=1) for *_, truth, _ in done], np.int64),
        "n_candidates": join([truth.candidates.sum(axis=1) for *_, truth, _ in done], np.int64),
        "targets": pd.Categorical(join([names[id(truth)] for *_, truth, _ in done], object)),
    }
    columns["detectable"] = join([_detectable(truth) for *_, truth, _ in done], float)
    values = join([part for part, *_ in done], float).reshape(-1, len(METRICS) + 1)
    columns.update({name: values[:, i] for i, name in enumerate((*METRICS, TOP_SCORE))})
    return np.repeat([reading for *_, reading in done], [len(part) for part, *_ in done]).astype(
        np.int64
    ), columns


def _jobs_frame(records: Sequence[Mapping[str, Any]], current: set[int]) -> pd.DataFrame:
    columns: dict[str, Any] = {
        name: [record.get(name) for record in records] for name in _JOB_COLUMNS
    }
    columns["kind"] = [record.get("kind", "predict") for record in records]
    columns["superseded"] = [_is_prediction(r) and i not in current for i, r in enumerate(records)]
    columns["label"] = [r["method"] + shown_parameters(r.get("parameters") or {}) for r in records]
    for name in ("versions", "parameters", "trained_on", "facts"):
        columns[name] = [_json(value or {}) for value in columns[name]]
    for name in _NUMBERS:
        columns[name] = pd.to_numeric(pd.Series(columns[name], dtype=object), errors="coerce")
    return pd.DataFrame(columns)


def _json(value: Any) -> str:
    return json.dumps(value or {}, sort_keys=True)
