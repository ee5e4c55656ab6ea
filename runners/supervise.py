"""A worker process from the outside: limits, clocks, and what its end means."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cdnbench.record import FitRecord, JobRecord, Record, Status
from cdnbench.runners import messages, worker
from cdnbench.runners.devices import Slot
from cdnbench.runners.endings import Endings, TryAgain, settled
from cdnbench.runners.memory import LONGEST_S, Held, JobMemory, next_look
from cdnbench.runners.memory_files import MemoryFiles
from cdnbench.runners.messages import Outcome
from cdnbench.runners.places import Log, Place
from cdnbench.runners.plan import Fit, Job, Limits, Plan
from cdnbench.runners.processes import Reaper, Worker
from cdnbench.runners.samples import Given
from cdnbench.runners.scratch import why
from cdnbench.runners.timing import repeats_s
from cdnbench.store import Store

GB = 1024.0

LOADING_S = 300.0
"""What importing a method and opening its task may take before its own clock starts."""

CHECKPOINT_EVERY_S = 30.0
"""Seconds between two checkpoints of a fit."""

LOG_LIMIT = 1_000_000_000
"""Bytes that a job may print before it is ended."""

GiveSamples = Callable[[Path], Given]
"""Gives a task's samples to a job, which may have them copied to a folder."""


class Interrupted(Exception):
    """The run was told to stop; the job has been ended and left no record."""


@dataclass
class Supervisor:
    """Runs jobs and fits, each in a process of its own. Any number of threads may use it at once.

    scratch: where working folders and logs lie. stop: set it to end all that is running. timing:
    whether calls are repeated to be timed. elsewhere: what a job without a slot on a GPU sees of
    GPUs, as in `messages.Predict`.
    """

    plan: Plan
    store: Store
    reaper: Reaper
    scratch: Path
    stop: threading.Event = field(default_factory=threading.Event)
    timing: bool = False
    elsewhere: str | None = None
    _endings: Endings = field(default_factory=Endings)

    @property
    def limits(self) -> Limits:
        return self.plan.limits

    @property
    def _memory_mb(self) -> float:
        return self.limits.memory_gb * GB

    def run(
        self,
        jobs: Sequence[Job],
        samples: Sequence[GiveSamples],
        model: Path | None = None,
        slot: Slot | None = None,
    ) -> Iterator[tuple[int, Outcome]]:
        """Run the jobs together: jobs of one method. samples: what gives each its input. slot:
        where they may compute on a GPU.

        Yields (index, outcome) of each job that ended by itself. In a batch of several jobs it
        yields each at once without costs, and at the end once more with them. If the process as a
        whole fails, its outcome is that of a job alone; of several jobs, those that are not done
        yield nothing.

        Raises
        ------
        Interrupted: `stop` was set.
        """
        if len(jobs) > 1:
            with contextlib.suppress(TryAgain):
                yield from self._together(jobs, samples, model, slot)
            return
        outcome, printed = settled(lambda: self._alone(jobs[0], samples[0], model, slot))
        if printed:
            outcome.log = self.store_log(JobRecord, jobs[0].key, printed)
        yield 0, outcome

    def train(self, fit: Fit, model: Path, slot: Slot | None = None) -> Outcome:
        """Train; the arrays are in the file `model` if the outcome is "ok". slot: as in `run`.

        Raises
        ------
        Interrupted: `stop` was set.
        """
        outcome, printed = settled(lambda: self._trained(fit, model, slot))
        if printed:
            outcome.log = self.store_log(FitRecord, fit.key, printed)
        return outcome

    def _sees(self, slot: Slot | None) -> dict[str, Any]:
        """What a request says of the GPU."""
        if slot is None:
            return {"gpu": self.elsewhere}
        return {"gpu": slot.gpu.name, "gpu_share_mb": slot.share_mb}

    def _alone(
        self, job: Job, samples: GiveSamples, model: Path | None, slot: Slot | None
    ) -> Outcome:
        with contextlib.ExitStack() as stack:
            try:
                place = stack.enter_context(Place(self.scratch))
                request, sealed = self._request(place, [job], [samples], model, slot)
            except OSError as error:
                return Outcome(Status.error, _no_place(error), outside=True)
            return self._single(worker.predict, request, job, place.log, sealed)

    def _trained(self, fit: Fit, model: Path, slot: Slot | None) -> Outcome:
        with contextlib.ExitStack() as stack:
            try:
                place = stack.enter_context(Place(self.scratch))
            except OSError as error:
                return Outcome(Status.error, _no_place(error), outside=True)
            checkpoint = place.root / "checkpoint.npz"
            self.store.copy_checkpoint(fit.key, fit.method.code(), checkpoint)
            request = messages.Fit(
                method=fit.method.info.name,
                parameters=dict(fit.method.parameters),
                suite=self.plan.suite_name,
                options=dict(self.plan.options),
                specs=list(fit.specs),
                seed=fit.seed,
                model=str(model),
                checkpoint=str(checkpoint),
                checkpoint_every_s=CHECKPOINT_EVERY_S,
                folder=str(place.work),
                log=str(place.log.path),
                memory_mb=self._memory_mb,
                **self._sees(slot),
            )
            keep = partial(self._keep_checkpoint, fit, checkpoint)
            return self._single(worker.fit, request, fit, place.log, on_saved=keep)

    def _single(
        self,
        target,
        request: messages.Predict | messages.Fit,
        job: Job | Fit,
        log: Log,
        sealed: Sequence[int] = (),
        on_saved: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """The outcome of a process with one job: what it answers, with what it cost. on_saved:
        called when a fit has written a checkpoint."""
        outcome: Outcome | None = None
        try:
            for event in self._watched(target, request, [job], log, sealed, on_saved):
                if isinstance(event, tuple):
                    outcome = event[1]
                elif outcome is None or event.status != Status.ok:
                    outcome = event
                else:
                    outcome.wall_s, outcome.cpu_s = event.wall_s, event.cpu_s
                    outcome.peak_rss_mb, outcome.timing = event.peak_rss_mb, event.timing
                    outcome.peak_gpu_mb, outcome.hosts = event.peak_gpu_mb, event.hosts
        except TryAgain as again:
            again.printed = log.last()
            raise
        assert outcome is not None
        self._keep_log(JobRecord if isinstance(job, Job) else FitRecord, job.key, outcome, log)
        return outcome

    def _together(
        self,
        jobs: Sequence[Job],
        samples: Sequence[GiveSamples],
        model: Path | None,
        slot: Slot | None,
    ) -> Iterator[tuple[int, Outcome]]:
        done: dict[int, Outcome] = {}
        with contextlib.ExitStack() as stack:
            try:
                place = stack.enter_context(Place(self.scratch))
                request, sealed = self._request(place, jobs, samples, model, slot)
            except OSError:  # tried again one by one
                return
            for event in self._watched(worker.predict, request, jobs, place.log, sealed):
                if isinstance(event, Outcome):  # of the process
                    if event.status == Status.ok:
                        _share(event, done, len(jobs))
                    break
                index, outcome = event
                done[index] = outcome
                self._keep_log(JobRecord, jobs[index].key, outcome, place.log)
                yield index, outcome
            for index, outcome in done.items():
                self._keep_log(JobRecord, jobs[index].key, outcome, place.log)
                yield index, outcome

    def _keep_checkpoint(self, fit: Fit, file: Path) -> None:
        with contextlib.suppress(OSError):  # the fit goes on; the one before, if any, is still kept
            self.store.write_checkpoint(fit.key, fit.method.code(), file)

    def keep_log(self, record: type[Record], key: str, log: Log) -> str:
        """Copy the last part of what was printed into the store; its name there, "" if none."""
        return self.store_log(record, key, log.last())

    def store_log(self, record: type[Record], key: str, printed: bytes) -> str:
        """Put what was printed into the store; its name there, "" if it is nothing."""
        if not printed:
            return ""
        return self.store.write_log(record, key, printed)

    def _keep_log(self, record: type[Record], key: str, outcome: Outcome, log: Log) -> None:
        if outcome.status.is_failure:
            outcome.log = self.keep_log(record, key, log)

    def _request(
        self,
        place: Place,
        jobs: Sequence[Job],
        samples: Sequence[GiveSamples],
        model: Path | None,
        slot: Slot | None,
    ) -> tuple[messages.Predict, list[int]]:
        """What to run, with all its input at the place, and the descriptors of that which is
        sealed."""
        folders = [place.root / f"samples-{i}" for i in range(len(samples))]
        given = [give(folder) for give, folder in zip(samples, folders, strict=True)]
        own_model = place.root / "model.npz"
        if model is not None:
            shutil.copyfile(model, own_model)
        request = messages.Predict(
            method=jobs[0].method.info.name,
            parameters=dict(jobs[0].method.parameters),
            model="" if model is None else str(own_model),
            samples=[
                None if isinstance(one, int) else (str(folder), dict(one))
                for folder, one in zip(folders, given, strict=True)
            ],
            seeds=[job.seed for job in jobs],
            folder=str(place.work),
            log=str(place.log.path),
            memory_mb=self._memory_mb,
            repeat_s=repeats_s(jobs[0].timeout_s) if self.timing else 0.0,
            **self._sees(slot),
        )
        return request, [one for one in given if isinstance(one, int)]

    def _watched(
        self,
        target,
        request: messages.Predict | messages.Fit,
        jobs: Sequence[Job | Fit],
        log: Log,
        sealed: Sequence[int],
        on_saved: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[int, Outcome] | Outcome]:
        """The outcomes of single jobs as they come, and at last that of the process."""
        process = Worker(target, self.reaper)
        memory = JobMemory(process.pid, MemoryFiles(process.pid, Path(request.folder)))
        try:
            process.send(request, sealed)
            yield from self._events(process, memory, jobs, log, on_saved)
        finally:
            memory.files_mb()  # a last look at what it would leave behind
            process.end()
            memory.files.remove()

    def _events(
        self,
        process: Worker,
        memory: JobMemory,
        jobs: Sequence[Job | Fit],
        log: Log,
        on_saved: Callable[[], None],
    ) -> Iterator[tuple[int, Outcome] | Outcome]:
        limit_mb, look = self._memory_mb, LONGEST_S
        peak, started = 0.0, False
        begin, limit = time.monotonic(), LOADING_S
        whole = limit  # with what earlier runs spent
        while True:
            arrived = process.wait(min(limit - (time.monotonic() - begin), look))
            if self.stop.is_set():
                raise Interrupted
            if arrived:
                answer = process.receive()
                if isinstance(answer, messages.Started):
                    started, begin = True, time.monotonic()
                    memory.start(Held(answer.resident_mb, answer.shared_mb), answer.own_shm)
                    look = next_look(0.0, limit_mb, 0.0)
                    whole = sum(job.timeout_s for job in jobs)
                    limit = whole - answer.spent_s
                    if limit <= 0:  # whatever it has done since
                        yield Outcome(Status.timeout, f"no result within {whole:g} s")
                        return
                elif isinstance(answer, messages.Saved):
                    on_saved()
                elif isinstance(answer, messages.Finished):
                    handed = time.monotonic()
                    yield (
                        answer.index,
                        Outcome(
                            answer.status,
                            answer.reason,
                            prediction=answer.prediction,
                            no_gpu_memory=answer.no_gpu_memory,
                        ),
                    )
                    begin += time.monotonic() - handed  # storing it is not the method's time
                elif isinstance(answer, messages.Costs):
                    # It may have risen and fallen between two looks, or lie in files.
                    peak = max(answer.peak_rss_mb, peak, memory.files_mb())
                    if peak > limit_mb and len(jobs) == 1:
                        yield self._too_much(peak)
                    else:
                        yield Outcome(
                            Status.ok,
                            "",
                            answer.wall_s,
                            answer.cpu_s,
                            peak,
                            answer.peak_gpu_mb,
                            timing=answer.timing,
                            hosts=answer.hosts,
                        )
                    return
                else:
                    yield self._endings.of(answer, process)
                    return
                continue
            if started:
                looked = time.perf_counter()
                now = memory.mb()
                peak = max(peak, now)
                if peak > limit_mb:
                    yield self._too_much(peak)
                    return
                look = next_look(now, limit_mb, time.perf_counter() - looked)
            if log.size > LOG_LIMIT:
                yield Outcome(Status.error, f"printed more than {LOG_LIMIT / 1e9:g} GB")
                return
            if time.monotonic() - begin >= limit:
                what = "result" if started else "start (importing the method, opening the task)"
                reason = f"no {what} within {whole:g} s"
                yield Outcome(Status.timeout, reason, peak_rss_mb=peak or None)
                return

    def _too_much(self, peak_mb: float) -> Outcome:
        reason = f"more than {self.limits.memory_gb:g} GB"
        return Outcome(Status.oom, reason, peak_rss_mb=peak_mb)


def _share(costs: Outcome, done: dict[int, Outcome], n_jobs: int) -> None:
    """Give each job its share of what the process cost."""
    for outcome in done.values():
        outcome.wall_s = None if costs.wall_s is None else costs.wall_s / n_jobs
        outcome.cpu_s = None if costs.cpu_s is None else costs.cpu_s / n_jobs
        outcome.peak_rss_mb, outcome.peak_gpu_mb = costs.peak_rss_mb, costs.peak_gpu_mb
        outcome.batch_size = n_jobs


def _no_place(error: OSError) -> str:
    return f"the job could not be started: {why(error)}"
