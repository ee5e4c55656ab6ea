"""A run: every missing job of a plan, in parallel, each result stored the moment it is there."""

from __future__ import annotations

import contextlib
import itertools
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

from cdnbench.loaded import LoadedMethod
from cdnbench.printable import printable
from cdnbench.record import JobRecord, Record, Status
from cdnbench.runners import gpu_jobs
from cdnbench.runners.claims import Claims
from cdnbench.runners.devices import Lease, Slots, Stopped, Waiting
from cdnbench.runners.gpus import slots_for
from cdnbench.runners.job_records import has_other_code, job_record, same_machine, unfitted
from cdnbench.runners.kept import Kept
from cdnbench.runners.messages import Outcome
from cdnbench.runners.others import Others
from cdnbench.runners.plan import Fit, Job, Plan
from cdnbench.runners.processes import Reaper
from cdnbench.runners.scratch import scratch_folder
from cdnbench.runners.server import fork_server
from cdnbench.runners.shards import Shard
from cdnbench.runners.supervise import Interrupted, Supervisor
from cdnbench.runners.task_maker import TaskMaker
from cdnbench.runners.trainer import Trained, Trainer
from cdnbench.runners.underway import ENDING_S, Underway
from cdnbench.store import Store


@dataclass(frozen=True)
class Mode:
    """Which jobs a run does again.

    timing: jobs that were not timed alone, one at a time, so that times can be compared
    (`wall_s_single`); not those whose method has other code now. fresh: all jobs; each old record
    stands until its new one is there. retry: jobs that failed. update: jobs whose method has other
    code now than when they ran.
    """

    timing: bool = False
    fresh: bool = False
    retry: bool = False
    update: bool = False


@dataclass
class Run:
    """One run of a plan into a store.

    jobs: how many run at once; those on GPUs run beside them. on_record: called with each record as
    it is stored, those of fits included, by one thread at a time. on_wait: called with the number
    of jobs that are left when only other runs on the same folder are still at work. maker: what
    makes the tasks. slots: the GPUs; None for all of this machine, with one job on each. shard: the
    part of the plan to run. kept: results in other folders, whose jobs count as done.
    """

    plan: Plan
    store: Store
    mode: Mode = Mode()
    jobs: int = 1
    on_record: Callable[[Record], None] = lambda record: None
    on_wait: Callable[[int], None] = lambda n_jobs: None
    maker: type[TaskMaker] = TaskMaker
    slots: Slots | None = None
    shard: Shard = Shard()
    kept: Kept = field(default_factory=Kept)

    def __post_init__(self) -> None:
        self._telling = threading.Lock()
        self._underway = Underway()

    @cached_property
    def gpus(self) -> Slots:
        """The slots on GPUs. Nobody is asked for GPUs where no method computes on one."""
        if self.slots is not None:
            return self.slots
        return slots_for(any(gpu_jobs.on_gpu(method) for method in self.plan.methods))

    def why_skip(self, job: Job) -> str | None:
        """Why a job will not run, as far as it is known beforehand."""
        return job.skip or gpu_jobs.why_no_gpu(job.method, self.gpus)

    @cached_property
    def mine(self) -> list[Job]:
        """The jobs of the plan that this run is for."""
        return self.shard.jobs(self.plan)

    @cached_property
    def todo(self) -> list[Job]:
        """The jobs whose result the store and the kept ones lacked when this was first asked, and
        those to repeat."""
        return [job for job in self.mine if self._lacks(job)]

    @cached_property
    def fits(self) -> list[Fit]:
        """What the jobs of `todo` need to be trained, and what is trained for other shards."""
        found = {job.fit.key: job.fit for job in self.todo if job.fit and not job.skip}
        found |= {fit.key: fit for fit in self.shard.fits_of(self.plan)}
        return [f for f in found.values() if not gpu_jobs.why_no_gpu(f.method, self.gpus)]

    @property
    def records(self) -> list[JobRecord]:
        """The records of this run's jobs that have ended, in the plan's order."""
        found = (self.store.job(job.key) for job in self.mine)
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
        if not self.todo and not self.fits:
            return 0
        # Scratch space lies outside the store; the reaper removes it if the run is killed.
        with contextlib.ExitStack() as stack:
            stack.callback(self.store.close)
            claims = stack.enter_context(Claims(self.store.folder))
            self._others = Others(claims, self.store, self.todo, timing=self.mode.timing)
            scratch = stack.enter_context(scratch_folder())
            reaper = Reaper([str(scratch)])
            stack.callback(reaper.close)
            methods = [of.method for of in (*self.todo, *self.fits)]
            with fork_server(_modules(methods), self.plan.limits.threads):
                # Where there are GPUs, jobs without a slot see none of them.
                elsewhere = "" if self.gpus.gpus else None
                self._supervisor = Supervisor(
                    self.plan, self.store, reaper, scratch, elsewhere=elsewhere
                )
                self._supervisor.timing = self.mode.timing
                self._maker = self.maker(self.plan, self.todo, self.store, scratch, reaper)
                mode = self.mode
                repeat = mode.timing or mode.fresh or mode.retry or mode.update
                self._trainer = Trainer(
                    self._supervisor,
                    claims,
                    mode.fresh or mode.retry,
                    mode.fresh,
                    self._tell,
                    outdated=has_other_code if mode.update else lambda *_: False,
                )
                self._trainer.look(self.fits)
                self._repeat = repeat
                try:
                    self._run_all()
                finally:
                    self._supervisor.stop.set()
                    self._maker.stop()
                    if self._underway.over(ENDING_S):
                        self._maker.forget()
        return len(self.todo)

    @cached_property
    def outdated(self) -> dict[str, int]:
        """Method -> how many of the results that stand were made by other code of it."""
        done = {job.key for job in self.mine} - {job.key for job in self.todo}
        found: Counter[str] = Counter()
        for job in self.mine:
            record = self._standing(job) if job.key in done else None
            if record is not None and has_other_code(record, job.method):
                found[job.method.info.name] += 1
        return dict(found)

    def _standing(self, job: Job) -> JobRecord | None:
        """The result of a job, in the run's own folder or else in one that is kept."""
        record = self.store.job(job.key)
        if record is not None and not record.outside and self.store.is_done(record):
            return record
        return self.kept.job(job.key)

    def _lacks(self, job: Job) -> bool:
        record = self._standing(job)
        if self.mode.fresh or record is None:
            return True
        if record.outside or (self.mode.retry and record.failed):
            return True
        if self.mode.update and has_other_code(record, job.method):
            return True
        if not self.mode.timing or record.status != Status.ok or record.wall_s_single is not None:
            return False
        # The time of other code would stand beside scores that it did not make.
        own = record is self.store.job(job.key)
        return not (own and has_other_code(record, job.method))

    def _tell(self, record: Record) -> None:
        with self._telling:
            self.on_record(record)

    def _run_all(self) -> None:
        """Work through the steps; each thread drives one process at a time."""
        import joblib  # a tenth of a second, which a run with nothing to do need not wait

        stop = self._supervisor.stop

        def step(item: Callable[[], Any]) -> None:
            with self._underway:
                if not stop.is_set():
                    with contextlib.suppress(Interrupted, Stopped):
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

        def carry_out(steps: Iterable[Callable[[], Any]]) -> None:
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

        fits, batches = self.fits, self.plan.batches(self.todo, alone=self.mode.timing)
        waiting = [] if self.mode.timing else self._waiting(fits, batches, step)
        if waiting:
            fits = [fit for fit in fits if not gpu_jobs.on_gpu(fit.method)]
            batches = [batch for batch in batches if not self._runs_on_gpu(batch)]
        with gpu_jobs.beside(self.gpus, waiting, stop) as self._queue:
            steps = itertools.chain(
                (partial(self._begin_fit, fit) for fit in fits), self._steps(batches)
            )
            carry_out(steps)
            carry_out(partial(self._run_fit, fit) for fit in fits)  # those that other runs began
        for left in self._others.left(stop, self.on_wait):
            for job in left:
                self._maker.expect(job.spec)
            carry_out(partial(self._run_batch, [job]) for job in left)

    def _waiting(
        self, fits: Sequence[Fit], batches: Sequence[list[Job]], step: Callable[..., None]
    ) -> list[Waiting]:
        """What of it waits for a slot on a GPU."""
        made = lambda call, one: lambda lease: step(partial(call, one, lease))  # noqa: E731
        return [
            *(
                gpu_jobs.waiting_fit(fit, made(self._run_fit, fit))
                for fit in fits
                if gpu_jobs.on_gpu(fit.method)
            ),
            *(
                gpu_jobs.waiting_batch(batch, made(self._run_batch, batch))
                for batch in batches
                if self._runs_on_gpu(batch)
            ),
        ]

    def _runs_on_gpu(self, batch: Sequence[Job]) -> bool:
        return gpu_jobs.on_gpu(batch[0].method) and not self.why_skip(batch[0])

    def _begin_fit(self, fit: Fit) -> None:
        """Train it, or leave it to another run that is at it, and go on with the next one."""
        if gpu_jobs.on_gpu(fit.method):
            self._run_fit(fit)
        else:
            self._trainer.begin(fit)

    def _run_fit(self, fit: Fit, lease: Lease | None = None) -> None:
        with self._leased(lease, gpu_jobs.on_gpu(fit.method)) as held:
            self._trainer.ensure(fit, held)

    @contextlib.contextmanager
    def _leased(self, lease: Lease | None, needed: bool) -> Iterator[Lease | None]:
        """The slot on a GPU that is held already, or else a whole GPU if one is needed."""
        if lease is not None or not needed:
            yield lease
            return
        whole = self._queue.whole()
        try:
            yield whole
        finally:
            whole.release()

    def _steps(self, batches: Sequence[list[Job]]) -> Iterator[Callable[[], Any]]:
        """The batches, with their tasks made while what comes before them runs."""
        tasks_of = lambda batch: [job.spec.hash for job in batch]  # noqa: E731
        groups = [list(group) for _, group in itertools.groupby(batches, key=tasks_of)]
        for here, after in itertools.zip_longest(groups, groups[1:]):
            if after:
                yield partial(self._make_tasks, after[0])
            for batch in here:
                yield partial(self._run_batch, batch)

    def _make_tasks(self, batch: Sequence[Job]) -> None:
        for job in batch:
            if not self._others.hold(job):
                self._maker.make(job.spec)

    def _run_batch(self, jobs: Sequence[Job], lease: Lease | None = None) -> None:
        told = set()
        with self._leased(lease, self._runs_on_gpu(jobs)) as held:
            for record in self._batch(jobs, held):
                if record.key not in told:
                    told.add(record.key)
                    self._tell(record)

    def _batch(self, jobs: Sequence[Job], lease: Lease | None) -> Iterator[JobRecord]:
        """Run the jobs of one batch and store their records.

        Jobs that another run on the same folder has claimed or stored are left to it. Yields each
        record as it is stored; one of a batch of several is stored again, with its times, when
        all have ended. Jobs that a failing process takes with it are run again, one by one.
        """
        taken = self._others.claimed(jobs)
        store = self.store.refresh()  # after the claims: what others had done before is seen
        before = {job.key: store.job(job.key) for job in jobs}
        started_at = datetime.now(UTC).isoformat(timespec="seconds")

        def stored(job: Job, outcome: Outcome, trained: Trained | None = None) -> JobRecord:
            return self._stored(job, before[job.key], outcome, started_at, trained)

        try:
            ready: list[tuple[Job, Trained | None]] = []
            for job in taken:
                if self._others.have_done(job) or not (self._repeat or self._lacks(job)):
                    yield before[job.key]  # type: ignore[misc]
                    continue
                made = self._maker.make(job.spec)
                if self._supervisor.stop.is_set():
                    raise Interrupted
                if made.reason:
                    log = self._supervisor.keep_log(JobRecord, job.key, self._maker.log)
                    reason = f"the task could not be made: {made.reason}"
                    yield stored(job, Outcome(Status.error, reason, log=log, outside=made.outside))
                elif why := self.why_skip(job):
                    # What this machine lacks, another one may have.
                    yield stored(job, Outcome(Status.skipped, why, outside=not job.skip))
                else:
                    trained = self._trainer.ensure(job.fit, lease) if job.fit else None
                    if trained and trained.model is None:
                        yield stored(job, unfitted(trained), trained)
                    else:
                        ready.append((job, trained))
            for job, outcome, trained in self._outcomes(ready, lease):
                yield stored(job, outcome, trained)
        finally:
            for job in jobs:
                self._maker.done(job.spec)
                self._others.release(job)

    def _outcomes(
        self, ready: Sequence[tuple[Job, Trained | None]], lease: Lease | None
    ) -> Iterator[tuple[Job, Outcome, Trained | None]]:
        """Run them together, and then one by one those that are not done. Those for which a GPU had
        no memory left are run once more at the end, with a GPU to themselves."""
        left = dict(enumerate(ready))
        attempts = [list(left)] if ready else []
        starved: list[int] = []
        alone = False
        while attempts or (starved and not alone):
            if not attempts:
                assert lease is not None
                lease.widen()
                alone, attempts = True, [[i] for i in starved]
            numbers = attempts.pop(0)
            chosen = [left[i] for i in numbers]
            model = chosen[0][1].model if chosen[0][1] else None
            done = set()
            for k, outcome in self._supervisor.run(
                [job for job, _ in chosen],
                [partial(self._maker.give, job.spec) for job, _ in chosen],
                model,
                lease and lease.slot,
            ):
                done.add(k)
                job, trained = chosen[k]
                if outcome.no_gpu_memory and lease is not None and not alone:
                    if numbers[k] not in starved:
                        starved.append(numbers[k])
                else:
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

        Timing adds a time to a result that stands, and leaves its scores. Two cases replace it: it
        is to be made again for another reason (`fresh`, or `update` and other code), or the same
        code made it on another machine, since a record names the one machine of its times.
        """
        record = job_record(self.plan, job, outcome, started_at, self.mode.timing, trained)
        prediction = outcome.prediction
        outputs = None if prediction is None else prediction.outputs
        stands = old and old.status == Status.ok and self.store.is_done(old)
        if self.mode.timing and old and stands and not self._is_replaced(job, old):
            if outcome.status != Status.ok:
                note = printable(f"timed alone: {outcome.status}: {outcome.reason}")
                record, outputs = replace(old, note=note), None
            elif old.code != record.code or same_machine(old, record):
                record = replace(old, wall_s_single=outcome.wall_s_single, timing=outcome.timing)
                outputs = None
        self.store.write_job(record, outputs)
        return record

    def _is_replaced(self, job: Job, old: JobRecord) -> bool:
        """Whether a result that stands is to be replaced, whether or not this run takes times."""
        return self.mode.fresh or (self.mode.update and has_other_code(old, job.method))


def _modules(methods: Iterable[LoadedMethod]) -> list[str]:
    """What the methods will import: the module of each, and what it asks to have preloaded."""
    modules = []
    for method in {method.info.name: method for method in methods}.values():
        modules += [type(method.method).__module__, *method.info.preload]
    return modules
