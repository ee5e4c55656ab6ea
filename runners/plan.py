"""What a run will do: jobs = method x task x seed, each with the key under which its result is
stored."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cdnbench.digest import digest
from cdnbench.errors import BenchError, InvalidParameter
from cdnbench.knowledge import file_digest
from cdnbench.loaded import LoadedMethod
from cdnbench.method import MethodInfo
from cdnbench.registry import METHODS, entries, load_method, load_suite, parse_methods
from cdnbench.store import FAILURES, Store
from cdnbench.suite import Suite, TaskSpec

GB = 1024.0
FIT_FAILED = "fit failed: "
"""How the reason begins why a job was skipped whose method could not be trained."""


@dataclass(frozen=True)
class Limits:
    """timeout_s: None for the method's own estimate. memory_gb: beyond what the fork server holds.
    threads: a job's."""

    timeout_s: float | None = None
    memory_gb: float = 8.0
    threads: int = 1


@dataclass(frozen=True, eq=False)
class Fit:
    """One training of one method, for all the jobs that need it."""

    key: str
    method: LoadedMethod
    specs: Sequence[TaskSpec]
    seed: int
    timeout_s: float
    knowledge: Mapping[str, str] = field(default_factory=dict)
    """Kind -> digest of what it is trained with."""


@dataclass(frozen=True)
class Job:
    """One run of one method on one task with one seed. fit: what has to be trained before."""

    key: str
    method: LoadedMethod
    spec: TaskSpec
    seed: int
    timeout_s: float
    skip: str | None = None
    fit: Fit | None = None


@dataclass(frozen=True)
class Plan:
    """All jobs of a run in the order they will run: task by task. `left_out`: method -> why it was
    not chosen."""

    suite_name: str
    options: Mapping[str, Any]
    suite: Suite
    jobs: Sequence[Job]
    methods: Sequence[LoadedMethod]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def todo(
        self, store: Store, *, timing: bool = False, fresh: bool = False, retry: bool = False
    ) -> list[Job]:
        """The jobs to run: those whose result the store lacks.

        fresh: all. retry: also those that failed. timing: also those that were not timed alone.
        """

        def lacks(job: Job) -> bool:
            record = store.record(job.key)
            if fresh or record is None or not store.is_whole(record):
                return True
            if retry and (record["status"] in FAILURES or record["reason"].startswith(FIT_FAILED)):
                return True
            return timing and record["status"] == "ok" and record["wall_s_single"] is None

        return [job for job in self.jobs if lacks(job)]

    def batches(self, todo: Sequence[Job], *, alone: bool = False) -> list[list[Job]]:
        """The jobs to run, those together that a method solves together, in the order of the plan.

        Batches are composed from the whole plan, so what is done already does not change who runs
        with whom. alone: all singly.
        """
        wanted = {job.key for job in todo}
        open_: dict[str, list[Job]] = {}
        batches: list[list[Job]] = []
        for job in self.jobs:
            size = 1 if alone or job.skip else job.method.batch_size
            fit = job.fit.key if job.fit else ""
            kind = digest(
                job.method.info.name,
                all_parameters(job.method),
                job.spec.n_variables,
                job.spec.n_regimes,
                fit,
            )
            batch = open_.get(kind)
            if size == 1 or batch is None or len(batch) == size:
                batch = []
                batches.append(batch)
                if size > 1:
                    open_[kind] = batch
            batch.append(job)
        kept = ([job for job in batch if job.key in wanted] for batch in batches)
        return [batch for batch in kept if batch]


def make_plan(
    suite_name: str,
    options: Mapping[str, Any],
    methods: str | None = None,
    *,
    seeds: Sequence[int] = (0,),
    limit: int | None = None,
    limits: Limits | None = None,
    device: str = "cpu",
) -> Plan:
    """Plan a run.

    methods: `a,b:parameter=value`, "all" for every registered method, or None for the default ones
        that can run on the suite.
    limit: only the first tasks of the suite. device: cpu or cuda, for methods with that parameter
        where it is not written out.

    Raises
    ------
    BenchError: a name, parameter or option that does not exist, or nothing to run; the message says
    what to write instead.
    """
    limits = limits or Limits()
    suite = load_suite(suite_name, **options)
    specs = list(suite.specs())[:limit]
    if not specs:
        why = getattr(suite, "why_no_task", lambda: "")()
        raise InvalidParameter(f"{suite_name} has no task with these options. {why}".rstrip())
    chosen, left_out = choose_methods(methods, specs, suite)
    chosen = [on_device(method, device) for method in chosen]
    if not chosen:
        raise BenchError(
            f"No method to run on {suite_name}: "
            + "; ".join(f"{n}: {why}" for n, why in left_out.items())
        )
    jobs, fits = {}, Fits(suite, limits)
    for spec in specs:
        for method in chosen:
            for seed in seeds if method.info.stochastic else [0]:
                job = make_job(method, spec, seed, limits, fits)
                jobs.setdefault(job.key, job)
    return Plan(suite_name, dict(options), suite, list(jobs.values()), chosen, left_out)


def choose_methods(
    methods: str | None, specs: Sequence[TaskSpec], suite: Suite
) -> tuple[list[LoadedMethod], dict[str, str]]:
    """The methods to run, and why others were left out (only where the choice was ours)."""
    if methods is not None and methods != "all":
        chosen = [load_method(name, **parameters) for name, parameters in parse_methods(methods)]
        if not chosen:
            raise InvalidParameter("--methods is empty; leave it out for the default methods.")
        unique: dict[str, LoadedMethod] = {}
        for method in chosen:  # ut-igsp and ut-igsp-set are two readings of one run
            unique.setdefault(digest(method.info.name, all_parameters(method)), method)
        return list(unique.values()), {}
    chosen, left_out = [], {}
    for name in entries(METHODS):
        try:
            method = load_method(name)
            method.weights_digest()
        except BenchError as error:
            left_out[name] = str(error)
            continue
        reasons = [method.info.why_skip(spec) for spec in specs]
        if method.needs_fit and not hasattr(suite, "training"):
            reasons = ["the suite has no training tasks"]
        elif method.info.needs and (
            missing := method.info.why_no_fit(getattr(suite, "resources", {}))
        ):
            reasons = [missing]
        if methods is None and not method.info.default:
            left_out[name] = "not a default method; ask for it with --methods"
        elif methods is None and (slow := _why_slow(method.info, specs)):
            left_out[name] = slow
        elif all(reasons):
            left_out[name] = str(reasons[0])
        else:
            chosen.append(method)
    return chosen, left_out


def _why_slow(info: MethodInfo, specs: Sequence[TaskSpec]) -> str:
    fewest = min((spec.n_variables for spec in specs), default=0)
    if info.default_up_to is None or fewest <= info.default_up_to:
        return ""
    return (
        f"{fewest} variables or more; {info.name} takes minutes a task beyond "
        f"{info.default_up_to}; ask for it with --methods"
    )


def on_device(method: LoadedMethod, device: str) -> LoadedMethod:
    """The method on that device, if it has a choice and none was made."""
    parameters = all_parameters(method)
    if device == parameters.get("device", device) or "device" in method.parameters:
        return method
    name = method.label
    return load_method(name, **{**method.parameters, "device": device})


class Fits:
    """The fits of a run, one for each method, seed and set of training tasks."""

    def __init__(self, suite: Suite, limits: Limits) -> None:
        self._suite, self._limits = suite, limits
        self.resources: Mapping[str, Path] = getattr(suite, "resources", {})
        self._files: dict[Path, str] = {}
        self._made: dict[str, Fit] = {}
        self._digests: dict[
            int, tuple[Sequence[TaskSpec], str]
        ] = {}  # by identity: a suite gives the same list for many tasks

    def of(self, method: LoadedMethod, spec: TaskSpec, seed: int) -> Fit | None:
        """What has to be trained for this task; None if the suite has no training tasks."""
        if not hasattr(self._suite, "training"):
            return None
        specs = self._suite.training(spec)  # type: ignore[attr-defined]
        if id(specs) not in self._digests:
            self._digests[id(specs)] = specs, digest(sorted(s.hash for s in specs))
        knowledge = self._knowledge(method)
        key = digest("fit", job_key(method, self._digests[id(specs)][1], seed), *knowledge.values())
        if key not in self._made:
            timeout = (
                self._limits.timeout_s
                if self._limits.timeout_s is not None
                else method.info.fit_timeout_s
            )
            self._made[key] = Fit(key, method, specs, seed, timeout, knowledge)
        return self._made[key]

    def _knowledge(self, method: LoadedMethod) -> dict[str, str]:
        """Kind -> digest of what the method is trained with."""
        if not method.info.needs:
            return {}
        kinds = [kind for kind in (*method.info.needs, "identifiers") if kind in self.resources]
        return {kind: self._file_digest(self.resources[kind]) for kind in kinds}

    def _file_digest(self, path: Path) -> str:
        if path not in self._files:
            self._files[path] = file_digest(path)
        return self._files[path]


def make_job(method: LoadedMethod, spec: TaskSpec, seed: int, limits: Limits, fits: Fits) -> Job:
    info = method.info
    timeout = limits.timeout_s if limits.timeout_s is not None else float(info.timeout_s(spec))
    skip = info.why_skip(spec)
    if method.has_seen(spec.origin):
        skip = f"the weights of {info.name} were trained on this task"
    if not method.needs_fit:
        return Job(job_key(method, spec.hash, seed), method, spec, seed, timeout, skip)
    fit = fits.of(method, spec, seed)
    if fit is None:
        skip = skip or f"{info.name} has to be trained, and the suite has no training tasks"
    skip = skip or info.why_no_fit(fits.resources)
    key = job_key(method, spec.hash, seed, fit.key if fit else "")
    return Job(key, method, spec, seed, timeout, skip, fit)


def job_key(method: LoadedMethod, task_hash: str, seed: int, fit: str = "") -> str:
    """Digest of everything that determines the scores."""
    axes = [method.info.name, method.info.version, all_parameters(method), task_hash, seed]
    return digest(*axes, *filter(None, [method.weights_digest(), fit]))


def all_parameters(method: LoadedMethod) -> dict[str, Any]:
    """Every parameter with the value in force, so that writing out a default changes no key."""
    if dataclasses.is_dataclass(method.method):
        return {
            f.name: getattr(method.method, f.name)
            for f in dataclasses.fields(method.method)
            if f.init
        }
    known = inspect.signature(type(method.method)).parameters
    defaults = {
        name: p.default for name, p in known.items() if p.default is not inspect.Parameter.empty
    }
    return {**defaults, **method.parameters}
