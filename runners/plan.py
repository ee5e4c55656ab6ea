"""What a run will do: jobs = method x task x seed, each with the key under which it is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, cast

from cdnbench.digest import digest
from cdnbench.errors import BenchError, InvalidParameter
from cdnbench.fields import LARGEST
from cdnbench.knowledge import file_digest
from cdnbench.loaded import LoadedMethod
from cdnbench.method import MethodInfo, PerLine
from cdnbench.ranges import POSITIVE
from cdnbench.registry import METHODS, entries, load_method, load_suite, parse_methods
from cdnbench.runners.selection import ALL, in_subset, specs_of, spread
from cdnbench.suite import Suite, TaskSpec, check_specs

_MOST = 1e9
"""Seconds and GB."""


@dataclass(frozen=True)
class Limits:
    """What a job may use.

    timeout_s: None for the method's own estimate. memory_gb: beyond what the fork server holds.
    threads: CPU threads per job.

    Raises
    ------
    InvalidParameter: a limit that is not a positive number, or too large to mean anything.
    """

    timeout_s: float | None = None
    memory_gb: float = 8.0
    threads: int = 1

    def __post_init__(self) -> None:
        given = {"memory_gb": self.memory_gb}
        if self.timeout_s is not None:
            given["timeout"] = self.timeout_s
        for name, value in given.items():
            if not (POSITIVE.holds(value) and value <= _MOST):
                raise InvalidParameter(f"{name} takes {POSITIVE.words} up to 1e9; got {value!r}.")


@dataclass(frozen=True, eq=False)
class Fit:
    """One training of one method, for all the jobs that need it.

    knowledge: kind -> digest of what the method is trained with. specs_digest: identity of the
    training tasks. laws: what they cover (`Suite.training_laws`).
    """

    key: str
    method: LoadedMethod
    specs: Sequence[TaskSpec]
    seed: int
    timeout_s: float
    knowledge: Mapping[str, str] = field(default_factory=dict)
    specs_digest: str = ""
    laws: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One run of one method on one task with one seed.

    skip: why it will not run, known beforehand. fit: what has to be trained before.
    """

    key: str
    method: LoadedMethod
    spec: TaskSpec
    seed: int
    timeout_s: float
    skip: str | None = None
    fit: Fit | None = None


@dataclass(frozen=True)
class Plan:
    """All jobs of a run in the order they will run: task by task.

    subset: which tasks of the suite it is restricted to. left_out: method -> why it was not chosen.
    """

    suite_name: str
    options: Mapping[str, Any]
    suite: Suite
    jobs: Sequence[Job]
    methods: Sequence[LoadedMethod]
    limits: Limits = Limits()
    left_out: Mapping[str, str] = field(default_factory=dict)
    subset: str = ALL

    def batches(self, todo: Sequence[Job], *, alone: bool = False) -> list[list[Job]]:
        """The jobs of `todo`, together those that a method solves together, in the plan's order.

        Batches are composed from the whole plan, so what is done already does not change which jobs
        run together. alone: all of them singly.
        """
        wanted = {job.key for job in todo}
        open_: dict[str, list[Job]] = {}
        batches: list[list[Job]] = []
        for job in self.jobs:
            size = 1 if alone or job.skip else job.method.batch_size
            kind = _batch_kind(job) if size > 1 else ""
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
    subset: str = ALL,
    limits: Limits | None = None,
    device: str = "cpu",
    where_it_helps: bool = False,
) -> Plan:
    """Plan a run.

    Parameters
    ----------
    options: the suite's own options.
    methods: `a,b:parameter=value`, "all" for every registered method, or None for the default ones
        that can run on the suite.
    limit: how many tasks, spread evenly over the suite's factors and settings.
    subset: name of a stratum of the suite, or "non" and its name; "all" for every task.
    device: cpu or cuda, for methods that have the choice and where it is not written out.
    where_it_helps: leave those on the CPU for which a GPU is no help.

    Raises
    ------
    BenchError: a name, parameter or option that does not exist, or nothing to run; the message says
        what to write instead.
    """
    limits = limits or Limits()
    seeds = _checked_seeds(seeds)
    if limit is not None and (
        isinstance(limit, bool) or not isinstance(limit, Integral) or limit < 1
    ):
        raise InvalidParameter(f"limit takes a whole number from 1 on; got {limit!r}.")
    if not (methods is None or isinstance(methods, str)):
        raise InvalidParameter(f'methods takes a text, such as "dci,ut-igsp"; got {methods!r}.')
    suite = load_suite(suite_name, **options)
    every = specs_of(suite)
    check_specs(every, suite.info)
    specs = in_subset(every, subset, suite)
    if not specs:
        which = "with these options" if subset == ALL else f"in the subset {subset}"
        why = suite.why_no_task()
        raise InvalidParameter(f"{suite_name} has no task {which}. {why}".rstrip())
    if limit is not None:
        specs = spread(specs, limit, suite)
    chosen, left_out = choose_methods(methods, specs, suite)
    chosen = [
        method if where_it_helps and not method.info.gpu_helps else method.on_device(device)
        for method in chosen
    ]
    if not chosen:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise BenchError(f"No method to run on {suite_name}: {reasons}")
    lines = sorted({str(spec.metadata.get("cell_line", "")) for spec in specs})
    for method in chosen:
        if method.info.per_line:
            cast(PerLine, method.method).check_lines(lines)
    jobs, fits = {}, Fits(suite, limits)
    for spec in specs:
        for method in chosen:
            for seed in seeds if method.info.stochastic else [0]:
                job = make_job(method, spec, seed, limits, fits)
                jobs.setdefault(job.key, job)
    return Plan(
        suite_name,
        dict(options),
        suite,
        list(jobs.values()),
        chosen,
        limits,
        left_out,
        subset,
    )


def _checked_seeds(seeds: Sequence[int]) -> list[int]:
    """
    Raises
    ------
    InvalidParameter: they are not one or more whole numbers that records can hold.
    """
    found = [] if isinstance(seeds, str) or not isinstance(seeds, Iterable) else list(seeds)
    whole = (isinstance(seed, Integral) and not isinstance(seed, bool) for seed in found)
    if not found or not all(whole) or min(found) < 0 or max(found) > LARGEST:
        raise InvalidParameter(
            f"seeds takes one or more whole numbers from 0 to {LARGEST}, as a list; got {seeds!r}."
        )
    return [int(seed) for seed in found]


def choose_methods(
    methods: str | None, specs: Sequence[TaskSpec], suite: Suite
) -> tuple[list[LoadedMethod], dict[str, str]]:
    """The methods to run, and why others were left out (only where the choice was ours)."""
    if methods is not None and methods != ALL:
        chosen = [load_method(name, **parameters) for name, parameters in parse_methods(methods)]
        if not chosen:
            raise InvalidParameter("--methods is empty; leave it out for the default methods.")
        unique: dict[str, LoadedMethod] = {}
        for method in chosen:  # ut-igsp and ut-igsp-set are two readings of one run
            unique.setdefault(digest(method.info.name, method.all_parameters), method)
        return list(unique.values()), {}
    chosen, left_out = [], {}
    for name in entries(METHODS):
        try:
            method = load_method(name)
            method.weights_digest()
        except BenchError as error:
            left_out[name] = str(error)
            continue
        if why := _why_not(method, specs, suite, by_default=methods is None):
            left_out[name] = why
        else:
            chosen.append(method)
    return chosen, left_out


def _why_not(
    method: LoadedMethod, specs: Sequence[TaskSpec], suite: Suite, *, by_default: bool
) -> str:
    """Why a method is not chosen for a suite, "" if it is."""
    info = method.info
    if by_default and not info.default:
        return "not a default method; ask for it with --methods"
    if by_default and (slow := _why_slow(info, specs)):
        return slow
    try:
        _estimate_s(info, specs[0])
    except BenchError as error:  # somebody else's mistake must not stop the other methods
        return str(error)
    if method.needs_fit and suite.training(specs[0]) is None:
        return "the suite has no training tasks"
    reasons = [info.why_skip(spec) for spec in specs]
    if all(reasons):  # told before knowledge that would be of no use
        return str(reasons[0])
    return (info.why_no_fit(suite.resources) or "") if info.needs else ""


def _why_slow(info: MethodInfo, specs: Sequence[TaskSpec]) -> str:
    fewest = min((spec.n_variables for spec in specs), default=0)
    if info.default_up_to is None or fewest <= info.default_up_to:
        return ""
    return (
        f"{fewest} variables or more; {info.name} takes minutes per task beyond "
        f"{info.default_up_to}; ask for it with --methods"
    )


@dataclass(frozen=True)
class _TrainingSet:
    """What a method is trained on. beyond: why it cannot be trained on a task that was left out,
    "" if none was."""

    specs: Sequence[TaskSpec]
    digest: str
    beyond: str
    hashes: frozenset[str]


class Fits:
    """The fits of a run: one per method, seed and set of training tasks."""

    def __init__(self, suite: Suite, limits: Limits) -> None:
        self._suite, self._limits = suite, limits
        self.resources = suite.resources
        self._files: dict[Path, str] = {}
        self._made: dict[str, Fit] = {}
        # By identity: a suite gives the same list for many tasks. The list is kept with what was
        # made of it, so that no other one gets its identity.
        self._sets: dict[tuple[int, str], tuple[Sequence[TaskSpec], _TrainingSet]] = {}

    def of(self, method: LoadedMethod, spec: TaskSpec, seed: int) -> Fit | None:
        """What has to be trained for this task; None if there is nothing to train on.

        Raises
        ------
        BenchError: the suite would train on the task itself.
        """
        chosen = self._set(method, spec)
        if chosen is None or (chosen.beyond and not chosen.specs):
            return None
        if spec.hash in chosen.hashes:
            raise BenchError(
                f"The suite {self._suite.info.name} would train {method.info.name} on the task "
                f"{spec.name!r} that it is tested on. Leave it out of what `training` returns."
            )
        knowledge = self._knowledge(method)
        key = digest("fit", method.key(chosen.digest, seed), *knowledge.values())
        if key not in self._made:
            given = self._limits.timeout_s
            timeout = method.info.fit_timeout_s if given is None else given
            self._made[key] = Fit(
                key,
                method,
                chosen.specs,
                seed,
                timeout,
                knowledge,
                chosen.digest,
                self._suite.training_laws(chosen.specs) if chosen.specs else {},
            )
        return self._made[key]

    def why_none(self, method: LoadedMethod, spec: TaskSpec) -> str:
        """Why there is nothing to train a method on for this task."""
        chosen, name = self._set(method, spec), method.info.name
        if chosen is None:
            return f"{name} has to be trained, and the suite has no training tasks"
        return f"{name} can be trained on no training task of the suite: {chosen.beyond}"

    def _set(self, method: LoadedMethod, spec: TaskSpec) -> _TrainingSet | None:
        """The training tasks that are within the limits of the method; None if the suite has
        none at all."""
        every = self._suite.training(spec)
        if every is None:
            return None
        same = id(every), method.info.name
        if same not in self._sets:
            reasons = [method.info.why_skip(each) for each in every]
            specs = [each for each, why in zip(every, reasons, strict=True) if why is None]
            beyond = next(filter(None, reasons), "")
            hashes = [each.hash for each in specs]
            found = _TrainingSet(specs, digest(sorted(hashes)), beyond, frozenset(hashes))
            self._sets[same] = every, found
        return self._sets[same][1]

    def _knowledge(self, method: LoadedMethod) -> dict[str, str]:
        """Kind -> digest of what the method is trained with."""
        if not method.info.needs:
            return {}
        kinds = [k for k in (*method.info.needs, "identifiers") if k in self.resources]
        return {kind: self._file_digest(self.resources[kind]) for kind in kinds}

    def _file_digest(self, path: Path) -> str:
        if path not in self._files:
            self._files[path] = file_digest(path)
        return self._files[path]


def make_job(method: LoadedMethod, spec: TaskSpec, seed: int, limits: Limits, fits: Fits) -> Job:
    """The job of a method on a task, with what has to be trained before."""
    info = method.info
    given = limits.timeout_s
    timeout = _estimate_s(info, spec) if given is None else given
    skip = info.why_skip(spec)
    if method.has_seen(spec.origin):
        skip = f"the weights of {info.name} were trained on this task"
    if not method.needs_fit:
        return Job(method.key(spec.hash, seed), method, spec, seed, timeout, skip)
    fit = fits.of(method, spec, seed)
    if fit is None:
        skip = skip or fits.why_none(method, spec)
    skip = skip or info.why_no_fit(fits.resources)
    key = method.key(spec.hash, seed, fit.key if fit else "")
    return Job(key, method, spec, seed, timeout, skip, fit)


def _estimate_s(info: MethodInfo, spec: TaskSpec) -> float:
    """The seconds that a method says it may take.

    Raises
    ------
    BenchError: it says no positive number, which no record could hold.
    """
    try:
        seconds = info.timeout_s(spec)
        if not POSITIVE.holds(seconds):
            raise ValueError(f"it is {seconds!r}, not {POSITIVE.words}")
    except Exception as error:
        raise BenchError(
            f"The timeout_s of {info.name} on {spec.name} cannot be used: {type(error).__name__}: "
            f"{error}. Change it, or give --timeout."
        ) from error
    return float(seconds)


def _batch_kind(job: Job) -> str:
    """What the jobs of one batch have in common."""
    sizes = job.spec.n_variables, job.spec.n_regimes
    fit = job.fit.key if job.fit else ""
    return digest(job.method.info.name, job.method.all_parameters, *sizes, fit)
