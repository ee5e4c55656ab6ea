"""Results as data frames. Everything that a report shows comes from here; suites and their data are
never touched.

`read` makes `Results` of stores. `tidy` has one row per (method, variant, task, regime, seed,
metric), and `jobs` has one row per job.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cdnbench.errors import BenchError
from cdnbench.metrics import METRICS
from cdnbench.record import JobRecord, Record, Status, TaskRecord
from cdnbench.reports.evaluate import Piece, evaluate
from cdnbench.reports.factors import Factors
from cdnbench.reports.labels import design_of, job_label
from cdnbench.reports.lines import lines
from cdnbench.reports.read import EVERY, Loaded, Readable, load
from cdnbench.reports.readings import CEILING as CEILING  # tables take it from here
from cdnbench.reports.readings import FIRST, INNER, LAST, Readings, as_json

_NUMBERS = (
    "seed",
    "batch_size",
    "wall_s",
    "wall_s_single",
    "load_average",
    "cpu_s",
    "peak_rss_mb",
    "peak_gpu_mb",
    "threads",
    "timeout_s",
    "memory_gb",
)
_JSON = ("parameters", "trained_on", "facts", "knowledge")
_JOB_COLUMNS = (
    "key",
    "kind",
    "suite",
    "method",
    "method_version",
    "code",
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
    "design",
    "knowledge",
    "converged",
    "fit",
    "unfitted",
    "log",
)


class ReportWarning(UserWarning):
    """Something in a store that a report had to leave out."""


@dataclass(frozen=True, eq=False)
class Results:
    """What stores hold, as frames.

    jobs: one row per record.
    readings: one row per reading of each current job, the ceilings among them. It has the task's
        columns, `method`, `variant`, `parameters` and `knowledge` (JSON), their `label` for
        readers and a `short` one without origin and knowledge, `is_default` for the reading that a
        method is known by, `status`, `wall_s`, and `job`, the row among the jobs (-1 for a
        ceiling).
    regimes: one row per regime of each finished reading, with its metrics as columns.
    factors: the columns that are never averaged over.
    notes: what was left out, and where it lies.
    lines: one row per cell line of the tasks, see `cdnbench.reports.lines`.
    pieces: row of `readings` -> where its scores lie, for those that were measured.
    rows: (rows of `regimes`,) the row of `readings` of each.
    folders: (rows of `jobs`,) the folder of the store that each record is in.
    is_selection: whether only some of the methods are here (`cdnbench.reports.select`). cell_rows:
        the only rows that the tables of cells show, by name; None for all.
    """

    jobs: pd.DataFrame
    readings: pd.DataFrame
    regimes: pd.DataFrame
    factors: Factors = dataclasses.field(default_factory=Factors)
    notes: tuple[str, ...] = ()
    lines: pd.DataFrame = dataclasses.field(default_factory=lambda: lines([]))
    pieces: Mapping[int, Piece] = dataclasses.field(default_factory=dict)
    rows: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))
    folders: tuple[Path, ...] = ()
    is_selection: bool = False
    cell_rows: frozenset[str] | None = None


@contextlib.contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Records are many objects that all stay, so looking through them again and again for what can
    be freed is in vain."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_no_search_for_cycles()
def read(stores: Iterable[Readable], subset: str = EVERY) -> Results:
    """The results of all stores together; see `cdnbench.reports.read.load` for what counts.

    Raises
    ------
    BenchError: there is no record, no task that can be read, or none in the subset.
    """
    stores = list(stores)
    found = load(stores, subset)
    loaded, factors = list(found.loaded), found.factors
    readings = Readings(factors)
    pieces: list[Piece] = []
    ceilings: dict[tuple[str, ...], TaskRecord] = {}
    places: dict[tuple[int, str], tuple[str, ...]] = {}  # once per task: it has a job per method
    for number, one in enumerate(loaded):
        record, task = one.record, one.task
        if one.superseded or task is None or not isinstance(record, JobRecord):
            continue
        for variant in record.variants or ("",):
            if record.status == Status.ok:
                pieces.append(Piece(len(readings), task, one.store, record.key, variant))
            readings.add(record, variant, task, number)
        if task.truth.ceiling_scores is not None:
            same = id(task), record.suite
            if same not in places:
                values = factors.values(record.suite, task.metadata).values()
                places[same] = (*values, task.name)
            ceilings[places[same]] = task
    for task in ceilings.values():
        pieces.append(Piece(len(readings), task))
        readings.add_ceiling(task)

    if not len(readings):
        raise BenchError("\n".join(["There is no job whose task can be read.", *found.notes]))
    measured = evaluate(pieces)
    for number, why in measured.broken.items():
        if (job := readings.fail(number)) >= 0:
            changed = dataclasses.replace(loaded[job].record, status=Status.error, reason=why)
            loaded[job] = dataclasses.replace(loaded[job], record=changed)
    frame = readings.frame()
    regimes = frame.take(measured.readings).reset_index(drop=True)
    return Results(
        jobs=_jobs_frame(loaded),
        readings=frame,
        regimes=pd.DataFrame({**regimes, **measured.columns}, copy=False),
        factors=factors,
        notes=tuple(dict.fromkeys([*found.notes, *measured.broken.values()])),
        lines=lines(one.task for one in loaded if one.task is not None and not one.superseded),
        pieces={p.reading: p for p in pieces if p.reading not in measured.broken},
        rows=measured.readings,
        folders=tuple(one.store.folder for one in loaded),
    )


def tidy(source: Iterable[Readable] | Results) -> pd.DataFrame:
    """One row per (method, variant, task, regime, seed, metric). A job that did not finish has one
    row without a metric.

    Columns: the factors ("" where a suite has none), the task's metadata and facts, `regime`,
    `n_targets`, `method`, `variant`, `parameters` and `knowledge` as JSON, `label` (how tables call
    the reading), `status`, `metric` and `value`. A value is NaN where the metric is undefined;
    nothing is imputed.
    """
    results = _results(source)
    regimes, names = results.regimes, list(METRICS)
    values = regimes[names].to_numpy().ravel()
    least = np.array([metric.min_candidates for metric in METRICS.values()])
    exists = regimes["n_candidates"].to_numpy()[:, None] >= least
    kept = np.flatnonzero(exists.ravel())
    row, metric = np.divmod(kept, len(names))
    done = regimes.drop(columns=[*names, *INNER]).take(row).reset_index(drop=True)
    metrics = pd.CategoricalDtype([*names, ""])
    done["metric"] = pd.Categorical.from_codes(metric.tolist(), dtype=metrics)
    done["value"] = values[kept]
    failed = results.readings[results.readings["status"] != "ok"].drop_duplicates("job")
    failed = failed.drop(columns=list(INNER)).reset_index(drop=True)
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
    first = [*results.factors.names, *FIRST]
    others = [c for c in frame.columns if c not in first and c not in LAST]
    return frame[[*first, *others, *LAST]]


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


def _jobs_frame(loaded: Sequence[Loaded]) -> pd.DataFrame:
    records = [one.record for one in loaded]
    columns: dict[str, Any] = {
        name: [getattr(record, name, None) for record in records] for name in _JOB_COLUMNS
    }
    timings = [getattr(record, "timing", {}) for record in records]
    columns["load_average"] = [timing.get("load_average") for timing in timings]
    for name in ("versions", "git_sha", "dirty", "host"):
        columns[name] = [getattr(record.provenance, name) for record in records]
    shared = {id(versions): versions for versions in columns["versions"]}
    texts = {number: as_json(versions) for number, versions in shared.items()}
    columns["versions"] = [texts[id(versions)] for versions in columns["versions"]]
    for name in _JSON:
        columns[name] = [as_json(value) for value in columns[name]]
    columns["label"] = _labels(records, columns["parameters"], columns["trained_on"])
    columns["design"] = [design_of(r) if isinstance(r, JobRecord) else "" for r in records]
    columns["superseded"] = [one.superseded for one in loaded]
    for name in ("status", "unfitted"):
        columns[name] = [None if value is None else str(value) for value in columns[name]]
    for name in _NUMBERS:
        columns[name] = pd.to_numeric(pd.Series(columns[name], dtype=object), errors="coerce")
    return pd.DataFrame(columns)


def _labels(
    records: Sequence[Record], parameters: Sequence[str], trained_on: Sequence[str]
) -> list[str]:
    """The label of each record, worked out once for all that have the same."""
    known: dict[tuple[str, ...], str] = {}
    found = []
    for record, *texts in zip(records, parameters, trained_on, strict=True):
        same = (record.kind, record.method, getattr(record, "design", ""), *texts)
        if same not in known:
            known[same] = job_label(record)
        found.append(known[same])
    return found
