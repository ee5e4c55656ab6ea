"""A run: every missing job of a plan, in parallel, each result stored the moment it is there."""

from __future__ import annotations

import contextlib
import itertools
import platform
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

from cdnbench.loaded import LoadedMethod
from cdnbench.printable import printable
from cdnbench.record import JobRecord, Record, Status
from cdnbench.registry import METHODS, package_of
from cdnbench.runners.messages import Outcome
from cdnbench.runners.plan import Job, Plan
from cdnbench.runners.processes import Reaper
from cdnbench.runners.provenance import provenance
from cdnbench.runners.scratch import scratch_folder
from cdnbench.runners.server import fork_server
from cdnbench.runners.supervise import Interrupted, Supervisor
from cdnbench.runners.task_maker import TaskMaker
from cdnbench.runners.trainer import Trained, Trainer
from cdnbench.store import Store


@dataclass(frozen=True)
class Mode:
    """Which jobs a run does again.

    timing: jobs that were not timed alone, one at a time, so that times can be compared
    (`wall_s_single`). fresh: all jobs; each old record stands until its new one is there.
    retry: jobs that failed. update: jobs whose method has other code now than when they ran.
    """

    timing: bool = False
    fresh: bool = False
    retry: bool = False
    update: bool = False


@dataclass
class Run:
    """One run of a plan into a store.

    jobs: how many run at once. on_record: called with each record as it is stored, those of fits
    included, by one thread at a time. maker: what makes the tasks.
    """

    plan: Plan
    store: Store
    mode: Mode = Mode()
    jobs: int = 1
    on_record: Callable[[Record], None] = lambda record: None
    maker: type[TaskMaker] = TaskMaker

    def __post_init__(self) -> None:
        self._telling = threading.Lock()

    @cached_property
    def todo(self) -> list[Job]:
        """The jobs whose result the store lacked when this was first asked, and those to repeat."""
        return [job for job in self.plan.jobs if self._lacks(job)]

    @property
    def records(self) -> list[JobRecord]:
        """The records of the plan's jobs that have ended, in the plan's order."""
        found = (self.store.job(job.key) for job in self.plan.jobs)
        return [record for record in found if record is not None]

    def execute(self) -> int:
        """Run what the store lacks, and return how many jobs that was.

        A `KeyboardInterrupt` ends the running jobs, which leave no record, and is raised again.

        Raises
        ------
        BenchError: the store cannot be written, or the fork server does not start or dies. What was
            done is kept.
        """
        self.store.create()
        if not self.todo:
            return 0
        # Scratch space lies outside the store; the reaper removes it if the run is killed.
        with contextlib.ExitStack() as stack:
            stack.callback(self.store.close)
            scratch = stack.enter_context(scratch_folder())
            reaper = Reaper([str(scratch)])
            stack.callback(reaper.close)
            with fork_server(_modules(self.todo), self.plan.limits.threads):
                self._supervisor = Supervisor(self.plan, self.store, reaper, scratch)
                self._supervisor.timing = self.mode.timing
                self._maker = self.maker(self.plan, self.todo, self.store, scratch, reaper)
                mode = self.mode
                repeat = mode.timing or mode.fresh or mode.retry or mode.update
                self._trainer = Trainer(
                    self._supervisor,
                    mode.fresh or mode.retry,
                    self._tell,
                    outdated=has_other_code if mode.update else lambda *_: False,
                )
                self._repeat = repeat
                try:
                    self._run_all()
                finally:
                    self._supervisor.stop.set()
                    self._maker.stop()
        return len(self.todo)

    @cached_property
    def outdated(self) -> dict[str, int]:
        """Method -> how many of the results that stand were made by other code of it."""
        done = {job.key for job in self.plan.jobs} - {job.key for job in self.todo}
        found: Counter[str] = Counter()
        for job in self.plan.jobs:
            record = self.store.job(job.key) if job.key in done else None
            if record is not None and has_other_code(record, job.method):
                found[job.method.info.name] += 1
        return dict(found)

    def _lacks(self, job: Job) -> bool:
        record = self.store.job(job.key)
        if self.mode.fresh or record is None or not self.store.is_done(record):
            return True
        if record.outside or (self.mode.retry and record.failed):
            return True
        if self.mode.update and has_other_code(record, job.method):
            return True
        return self.mode.timing and record.status == Status.ok and record.wall_s_single is None

    def _tell(self, record: Record) -> None:
        with self._telling:
            self.on_record(record)

    def _run_all(self) -> None:
        """Work through the steps; each thread drives one process at a time."""
        import joblib  # a tenth of a second, which a run with nothing to do need not wait

        stop = self._supervisor.stop

        def step(item: Callable[[], Any]) -> None:
            if not stop.is_set():
                with contextlib.suppress(Interrupted):
                    item()

        # Results come back as they are ready, and the steps are taken from the iterator as threads
        # become free.
        parallel = joblib.Parallel(
            n_jobs=1 if self.mode.timing else self.jobs,
            backend="threading",
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch="2 * n_jobs",
        )
        steps = itertools.chain(self._fits(), self._steps())
        results = parallel(joblib.delayed(step)(item) for item in steps)
        try:
            for _ in results:
                pass
        except BaseException:
            stop.set()  # the threads end their processes and return
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that results were given up is what is wanted
                results.close()
            raise

    def _fits(self) -> Iterator[Callable[[], Any]]:
        """What has to be trained, before all else and side by side: nobody waits for another."""
        fits = {job.fit.key: job.fit for job in self.todo if job.fit and not job.skip}
        return (partial(self._trainer.ensure, fit) for fit in fits.values())

    def _steps(self) -> Iterator[Callable[[], Any]]:
        """The batches, with their tasks made while what comes before them runs."""
        batches = self.plan.batches(self.todo, alone=self.mode.timing)
        tasks_of = lambda batch: [job.spec.hash for job in batch]  # noqa: E731
        groups = [list(group) for _, group in itertools.groupby(batches, key=tasks_of)]
        for here, after in itertools.zip_longest(groups, groups[1:]):
            if after:
                yield partial(self._make_tasks, after[0])
            for batch in here:
                yield partial(self._run_batch, batch)

    def _make_tasks(self, batch: Sequence[Job]) -> None:
        for job in batch:
            self._maker.make(job.spec)

    def _run_batch(self, jobs: Sequence[Job]) -> None:
        told = set()
        for record in self._batch(jobs):
            if record.key not in told:
                told.add(record.key)
                self._tell(record)

    def _batch(self, jobs: Sequence[Job]) -> Iterator[JobRecord]:
        """Run the jobs of one batch and store their records.

        Jobs that another run on the same folder stored meanwhile are left alone. Yields each record
        as it is stored; one of a batch of several is stored again, with its times, when all have
        ended. Jobs that a failing process takes with it are run again, one by one.
        """
        store = self.store.refresh()
        before = {job.key: store.job(job.key) for job in jobs}
        started_at = datetime.now(UTC).isoformat(timespec="seconds")

        def stored(job: Job, outcome: Outcome, trained: Trained | None = None) -> JobRecord:
            return self._stored(job, before[job.key], outcome, started_at, trained)

        try:
            ready: list[tuple[Job, Trained | None]] = []
            for job in jobs:
                made = self._maker.make(job.spec)
                if self._supervisor.stop.is_set():
                    raise Interrupted
                old = before[job.key]
                if not self._repeat and not self._lacks(job):
                    yield old  # type: ignore[misc]
                elif made.reason:
                    log = self._supervisor.keep_log(JobRecord, job.key, self._maker.log)
                    reason = f"the task could not be made: {made.reason}"
                    yield stored(job, Outcome(Status.error, reason, log=log, outside=made.outside))
                elif job.skip:
                    yield stored(job, Outcome(Status.skipped, job.skip))
                else:
                    trained = self._trainer.ensure(job.fit) if job.fit else None
                    if trained and trained.model is None:
                        yield stored(job, _unfitted(trained), trained)
                    else:
                        ready.append((job, trained))
            for job, outcome, trained in self._outcomes(ready):
                yield stored(job, outcome, trained)
        finally:
            for job in jobs:
                self._maker.done(job.spec)

    def _outcomes(
        self, ready: Sequence[tuple[Job, Trained | None]]
    ) -> Iterator[tuple[Job, Outcome, Trained | None]]:
        """Run them together, and then one by one those that are not done."""
        left = dict(enumerate(ready))
        attempts = [list(left)] if ready else []
        while attempts:
            chosen = [left[i] for i in attempts.pop(0)]
            model = chosen[0][1].model if chosen[0][1] else None
            done = set()
            for k, outcome in self._supervisor.run(
                [job for job, _ in chosen],
                [partial(self._maker.give, job.spec) for job, _ in chosen],
                model,
            ):
                done.add(k)
                job, trained = chosen[k]
                yield job, outcome, trained
            if len(chosen) > 1:
                attempts = [[i] for i in left if i not in done]

    def _stored(
        self,
        job: Job,
        old: JobRecord | None,
        outcome: Outcome,
        started_at: str,
        trained: Trained | None,
    ) -> JobRecord:
        """Store what a job came to, and return its record.

        Timing never replaces a result: it adds the time to it.
        """
        record = job_record(self.plan, job, outcome, started_at, self.mode.timing, trained)
        prediction = outcome.prediction
        outputs = None if prediction is None else prediction.outputs
        if self.mode.timing and old and old.status == Status.ok and self.store.is_done(old):
            if outcome.status != Status.ok:
                note = printable(f"timed alone: {outcome.status}: {outcome.reason}")
                record, outputs = replace(old, note=note), None
            elif old.batch_size > 1:
                record = replace(old, wall_s_single=outcome.wall_s_single, timing=outcome.timing)
                outputs = None
        self.store.write_job(record, outputs)
        return record


def has_other_code(record: Record, method: LoadedMethod) -> bool:
    """Whether the code of a method is other than it was when a result was stored. Nothing is said
    of records that do not know, and of those of another version of Python, which reads code into
    another form."""
    here, there = platform.python_version_tuple(), record.provenance.versions.get("python", "")
    same_python = there.split(".")[:2] == list(here[:2])
    return bool(record.code and same_python and (now := method.code()) and now != record.code)


def job_record(
    plan: Plan,
    job: Job,
    outcome: Outcome,
    started_at: str,
    timing: bool = False,
    trained: Trained | None = None,
) -> JobRecord:
    """The record of a job that ended."""
    info, suite, spec, said = job.method.info, plan.suite.info, job.spec, outcome.prediction
    known = {"name": plan.suite.knowledge, **job.fit.knowledge} if job.fit else {}
    failed_fit = trained is not None and trained.record.status != Status.ok
    return JobRecord(
        key=job.key,
        suite=plan.suite_name,
        task=spec.name,
        task_hash=spec.hash,
        metadata=dict(spec.metadata),
        setting=tuple(suite.setting),
        factors=dict(suite.factors),
        method=info.name,
        method_version=info.version,
        code=job.method.code(),
        variants=tuple(info.variants),
        parameters=dict(job.method.parameters),
        trained_on=job.method.trained_on(),
        design=info.design,
        knowledge=known if job.fit and job.fit.knowledge else {},
        seed=job.seed,
        status=outcome.status,
        reason=printable(outcome.reason),
        outside=outcome.outside,
        note="" if said is None else printable(said.note),
        converged=None if said is None else said.converged,
        facts={} if said is None else said.facts,
        batch_size=outcome.batch_size,
        wall_s=outcome.wall_s,
        wall_s_single=outcome.wall_s_single if timing else None,
        timing=outcome.timing,
        cpu_s=outcome.cpu_s,
        peak_rss_mb=outcome.peak_rss_mb,
        device=job.method.device,
        threads=plan.limits.threads,
        timeout_s=job.timeout_s,
        memory_gb=plan.limits.memory_gb,
        log=outcome.log,
        fit=job.fit.key if job.fit else "",
        unfitted=trained.record.status if trained is not None and failed_fit else None,
        started_at=started_at,
        provenance=provenance(package_of(METHODS, info.name)),
    )


def _unfitted(trained: Trained) -> Outcome:
    """The outcome of a job whose method could not be trained."""
    record = trained.record
    reason = f"cannot be trained: {record.reason}"
    if record.failed:
        reason = f"fit failed: {record.status}: {record.reason}"
    return Outcome(Status.skipped, reason, log=record.log, outside=record.outside)


def _modules(jobs: Sequence[Job]) -> list[str]:
    """What the jobs will import: each method's module, and what it asks to have preloaded."""
    methods = {job.method.info.name: job.method for job in jobs}
    modules = []
    for method in methods.values():
        modules += [type(method.method).__module__, *method.info.preload]
    return modules
