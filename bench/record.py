"""Records: what a store keeps about jobs, fits and tasks, and what reports read.

A record is a frozen data class. `plain` turns it into JSON values and `of_plain` turns these back,
including records that older versions wrote.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np

from cdnbench.fields import NotARecord, checked_fields, is_deep
from cdnbench.truth import ARRAYS, Truth


class Status(StrEnum):
    """How a job or a fit ended."""

    ok = "ok"
    skipped = "skipped"
    timeout = "timeout"
    oom = "oom"
    error = "error"
    killed = "killed"

    @property
    def is_failure(self) -> bool:
        """Whether something went wrong. A method that cannot run on a task did not fail."""
        return self not in (Status.ok, Status.skipped)


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What a result rests on: package versions, the commit, and the kind of machine.

    git_sha, dirty: the commit of a source checkout, and whether files differed from it. Both are
    None for an installed wheel.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    git_sha: str | None = None
    dirty: bool | None = None
    host: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ended:
    """The fields that jobs and fits share.

    log: where the output of a failure is, relative to the store's folder; "" if there is none.
    wall_s, cpu_s, peak_rss_mb: None where the method's call did not return.
    code: digest of the method's code (`code_digest`), "" in records of earlier versions.
    outside: whether it failed for a cause that is neither the method's nor the suite's (it was
        killed, or a disk was full). The next run repeats it.
    """

    key: str
    suite: str
    method: str
    status: Status
    method_version: str = "1"
    code: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    reason: str = ""
    outside: bool = False
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_rss_mb: float | None = None
    peak_gpu_mb: float | None = None
    log: str = ""
    started_at: str = ""
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def failed(self) -> bool:
        """Whether `bench run` counts it as a failure and `--retry` repeats it."""
        return self.status.is_failure

    @classmethod
    @functools.cache
    def defaults(cls) -> dict[str, Any]:
        """The values of fields that may be left out."""
        missing = dataclasses.MISSING
        return {
            f.name: f.default if f.default_factory is missing else f.default_factory()
            for f in dataclasses.fields(cls)
            if f.default is not missing or f.default_factory is not missing
        }

    def plain(self) -> dict[str, Any]:
        """JSON values, provenance flattened; `kind` tells jobs from fits."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values |= dataclasses.asdict(values.pop("provenance"))
        return {"kind": self.kind, **values}  # type: ignore[attr-defined]

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]):
        """The record again. Fields that are not known are dropped, missing ones get defaults.

        Raises
        ------
        NotARecord: a required field is missing, a value cannot be the field's, or the status does
            not exist.
        """
        given = checked_fields(cls, values)
        try:
            given["status"] = Status(given["status"])
        except ValueError:
            raise NotARecord(f"its status is {given['status']!r}") from None
        if not isinstance(given.get("provenance"), Provenance):
            given["provenance"] = provenance_of(values)
        return cls(**given)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord(_Ended):
    """One run of one method on one task with one seed.

    Parameters
    ----------
    task, task_hash: name and identity of the task.
    metadata: the task's plain values: its factors, and `dataset`, the unit of all statistics.
    setting: names of the metadata whose combination is one setting; averages are taken within it.
    factors: names of the metadata that reports never average over, with the value that goes
        without saying in titles.
    variants: names of the readings that the method returns; empty if there is one only.
    trained_on: factor -> values that a pretrained method has seen.
    design: whose design a network is; "" for what is no network.
    knowledge: kind -> digest of what a trained method was given, and `name`, how reports call it.
    note: what readers of the scores must know; "" if there is nothing.
    converged: whether an iterative method converged; None where that means nothing.
    facts: plain values of the method about its run.
    batch_size: how many tasks were solved together. Times are the job's share.
    wall_s_single: wall time of a run of its own (`bench run --timing`): the median of the repeats
        after a first call, of that call where it takes long.
    timing: of such a run, `warm_up_s` (the first call), `repeats_s` (those after it, on one core)
        and `load_average` (what else the machine did in the minute before).
    fit: key of the fit that it needed; "" if none. unfitted: how that fit ended, if not well.
    """

    kind: ClassVar[str] = "predict"
    task: str
    task_hash: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    setting: tuple[str, ...] = ()
    factors: Mapping[str, str] | None = None
    variants: tuple[str, ...] = ()
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    design: str = ""
    knowledge: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    converged: bool | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 1
    wall_s_single: float | None = None
    timing: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    threads: int = 1
    timeout_s: float | None = None
    memory_gb: float | None = None
    fit: str = ""
    unfitted: Status | None = None

    @property
    def failed(self) -> bool:
        """Whether it failed, or was skipped because its fit failed."""
        return self.status.is_failure or (self.unfitted is not None and self.unfitted.is_failure)

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> JobRecord:
        """As for every record. Older ones tell in words what has become fields."""
        given = dict(values)
        reason, note = given.get("reason") or "", given.get("note") or ""
        if "unfitted" not in given and reason.startswith(_OLD_UNFITTED):
            status = reason.removeprefix(_OLD_UNFITTED).partition(":")[0]
            given["unfitted"] = status if status in Status.__members__ else Status.error
        if "converged" not in given:
            given["converged"] = False if note.startswith(_OLD_UNCONVERGED) else None
        if given.get("unfitted") is not None:
            given["unfitted"] = Status(given["unfitted"])
        for name in ("setting", "variants"):
            given[name] = tuple(given.get(name) or ())
        return super(JobRecord, cls).of_plain(given)  # a class with slots is not the one named here


_OLD_UNFITTED = "fit failed: "
_OLD_UNCONVERGED = "not converged"
_OLD_ARRAYS = {"ceiling": "ceiling_scores"}


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRecord(_Ended):
    """One training of one method, shared by the jobs that need it.

    options: the suite's options. n_tasks: how many training tasks there were.
    """

    kind: ClassVar[str] = "fit"
    options: Mapping[str, Any] = field(default_factory=dict)
    n_tasks: int = 0


Record = JobRecord | FitRecord


def record_of(values: Mapping[str, Any]) -> Record:
    """The job's or the fit's record behind JSON values.

    Raises
    ------
    NotARecord: the values are not one.
    """
    kind = values.get("kind", JobRecord.kind)
    if kind not in _KINDS:
        raise NotARecord(f"its kind is {kind!r}")
    return _KINDS[kind].of_plain(values)


_KINDS: dict[str, type[Record]] = {c.kind: c for c in (JobRecord, FitRecord)}


def provenance_of(values: Mapping[str, Any]) -> Provenance:
    """The provenance among JSON values, one object for all that are equal; raises NotARecord."""
    given = checked_fields(Provenance, values)
    versions = tuple(given.pop("versions", {}).items())
    return _provenance(versions, tuple(given), *given.values())


@functools.lru_cache(maxsize=1024, typed=True)
def _provenance(
    versions: tuple[tuple[str, str], ...], names: tuple[str, ...], *values: Any
) -> Provenance:
    return Provenance(versions=dict(versions), **dict(zip(names, values, strict=True)))


@dataclass(frozen=True, eq=False, kw_only=True)
class TaskRecord:
    """What a report needs of a task; the samples are not among it.

    Parameters
    ----------
    hash, name, suite: identity, label, and the suite that made it.
    variables: N names. candidates: (n_regimes, n_variables) bool.
    truth: the answer.
    metadata, setting, factors: as in `JobRecord`.
    """

    hash: str
    name: str
    suite: str
    variables: tuple[str, ...]
    candidates: np.ndarray
    truth: Truth
    metadata: Mapping[str, Any] = field(default_factory=dict)
    setting: tuple[str, ...] = ()
    factors: Mapping[str, str] | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """`candidates`, and the arrays of the truth by name."""
        return {"candidates": self.candidates, **self.truth.arrays}

    def plain(self) -> dict[str, Any]:
        """All but the arrays, as JSON values."""
        return {
            "hash": self.hash,
            "name": self.name,
            "suite": self.suite,
            "variables": list(self.variables),
            "metadata": dict(self.metadata),
            "facts": dict(self.truth.facts),
            "setting": list(self.setting),
            "factors": None if self.factors is None else dict(self.factors),
        }

    @classmethod
    def of_plain(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TaskRecord:
        """The record again, from JSON values and the arrays by name.

        Raises
        ------
        NotARecord: a field or an array is missing, or cannot be a task's.
        """
        known = {"candidates", *(spec.name for spec in ARRAYS)}
        renamed = {_OLD_ARRAYS.get(name, name): array for name, array in arrays.items()}
        given = {name: array for name, array in renamed.items() if name in known}
        fields = TaskRecord.check(values)
        try:
            candidates = np.asarray(given.pop("candidates"), bool)
            truth = Truth(**given, facts=values.get("facts") or {})
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise NotARecord(f"it is not a task ({error})") from None
        shape = truth.targets.shape
        if candidates.shape != shape or shape[1] != len(fields["variables"]):
            raise NotARecord(
                f"it is not a task (candidates {candidates.shape}, targets {shape} and "
                f"{len(fields['variables'])} variables)"
            )
        return TaskRecord(**fields, candidates=candidates, truth=truth)

    @staticmethod
    def check(values: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that are no arrays; raises NotARecord."""
        given = {"setting": (), **values, "candidates": None, "truth": None}
        fields = checked_fields(TaskRecord, given)
        facts = values.get("facts") or {}
        if not isinstance(facts, dict) or is_deep(facts):
            raise NotARecord("its facts are not a mapping, or nested too deeply")
        for name in ("variables", "setting"):
            fields[name] = tuple(fields.get(name) or ())
        return {name: value for name, value in fields.items() if value is not None}
