"""A worker process from the outside: limits, clocks, and what its end means."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cdnbench.errors import BenchError
from cdnbench.record import FitRecord, JobRecord, Record, Status
from cdnbench.runners import messages, worker
from cdnbench.runners.memory import group_mb
from cdnbench.runners.messages import Outcome
from cdnbench.runners.places import Log, Place
from cdnbench.runners.plan import Fit, Job, Limits, Plan
from cdnbench.runners.processes import (
    SERVER_DIED,
    Reaper,
    Worker,
    server_died,
    signal_name,
)
from cdnbench.runners.scratch import why
from cdnbench.store import Store

GB = 1024.0

LOADING_S = 300.0
"""What importing a method and opening its task may take before its own clock starts."""

LOG_LIMIT = 1_000_000_000
"""Bytes that a job may print before it is ended."""

FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
"""Signals that people and systems send, while others are a program's own."""

CopySamples = Callable[[Path], Mapping[str, int]]
"""Copies a task's samples into a folder, and returns the checksums of the files."""

ATTEMPTS = 3
"""How often a job is started whose input others changed before it was read."""


class _InputSpoilt(Exception):
    """Another job changed the input of this one."""


class Interrupted(Exception):
    """The run was told to stop; the job has been ended and left no record."""


@dataclass
class Supervisor:
    """Runs jobs and fits, each in a process of its own. Any number of threads may use it at once.

    scratch: where working folders and logs lie. stop: set it to end all that is running.
    """

    plan: Plan
    store: Store
    reaper: Reaper
    scratch: Path
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def limits(self) -> Limits:
        return self.plan.limits

    def run(
        self, jobs: Sequence[Job], samples: Sequence[CopySamples], model: Path | None = None
    ) -> Iterator[tuple[int, Outcome]]:
        """Run the jobs together: jobs of one method. samples: what copies the input of each.

        Yields (index, outcome) of each job that ended by itself. In a batch of several jobs it
        yields each at once without costs, and at the end once more with them. If the process as a
        whole fails, its outcome is that of a job alone; of several jobs, those that are not done
        yield nothing.

        Raises
        ------
        Interrupted: `stop` was set.
        """
        for left in reversed(range(ATTEMPTS)):
            try:
                yield from self._run(jobs, samples, model)
                return
            except _InputSpoilt as error:
                if not left and len(jobs) == 1:
                    reason = f"other jobs changed its input {ATTEMPTS} times: {error}"
                    yield 0, Outcome(Status.error, reason, outside=True)

    def _run(
        self, jobs: Sequence[Job], samples: Sequence[CopySamples], model: Path | None
    ) -> Iterator[tuple[int, Outcome]]:
        done: dict[int, Outcome] = {}
        with contextlib.ExitStack() as stack:
            try:
                place = stack.enter_context(Place(self.scratch))
                request = self._request(place, jobs, samples, model)
            except OSError as error:
                if len(jobs) == 1:
                    yield 0, Outcome(Status.error, _no_place(error), outside=True)
                return
            log = place.log
            for event in self._watched(worker.predict, request, jobs, log):
                if isinstance(event, Outcome):  # of the process
                    _share(event, done, len(jobs))
                    break
                index, outcome = event
                done[index] = outcome
                if len(jobs) > 1:
                    self._keep_log(JobRecord, jobs[index].key, outcome, log)
                    yield index, outcome
            for index, outcome in done.items():
                self._keep_log(JobRecord, jobs[index].key, outcome, log)
                yield index, outcome

    def train(self, fit: Fit, model: Path) -> Outcome:
        """Train; the arrays are in the file `model` if the outcome is "ok".

        Raises
        ------
        Interrupted: `stop` was set.
        """
        outcome: Outcome | None = None
        with contextlib.ExitStack() as stack:
            try:
                place = stack.enter_context(Place(self.scratch))
            except OSError as error:
                return Outcome(Status.error, _no_place(error), outside=True)
            request = messages.Fit(
                method=fit.method.info.name,
                parameters=dict(fit.method.parameters),
                suite=self.plan.suite_name,
                options=dict(self.plan.options),
                specs=list(fit.specs),
                seed=fit.seed,
                model=str(model),
                folder=str(place.work),
                log=str(place.log.path),
            )
            for event in self._watched(worker.fit, request, [fit], place.log):
                if isinstance(event, tuple):
                    outcome = event[1]
                elif outcome is None or event.status != Status.ok:
                    outcome = event
                else:
                    outcome.wall_s, outcome.cpu_s = event.wall_s, event.cpu_s
                    outcome.peak_rss_mb = event.peak_rss_mb
            assert outcome is not None
            self._keep_log(FitRecord, fit.key, outcome, place.log)
        return outcome

    def keep_log(self, record: type[Record], key: str, log: Log) -> str:
        """Copy the last part of what was printed into the store; its name there, "" if none."""
        printed = log.last()
        if not printed:
            return ""
        return self.store.write_log(record, key, printed)

    def _keep_log(self, record: type[Record], key: str, outcome: Outcome, log: Log) -> None:
        if outcome.status.is_failure:
            outcome.log = self.keep_log(record, key, log)

    def _request(
        self, place: Place, jobs: Sequence[Job], samples: Sequence[CopySamples], model: Path | None
    ) -> messages.Predict:
        """What to run, with all its input copied to the place."""
        folders = [place.root / f"samples-{i}" for i in range(len(samples))]
        sums = [copy(folder) for copy, folder in zip(samples, folders, strict=True)]
        own_model = place.root / "model.npz"
        if model is not None:
            shutil.copyfile(model, own_model)
        return messages.Predict(
            method=jobs[0].method.info.name,
            parameters=dict(jobs[0].method.parameters),
            model="" if model is None else str(own_model),
            samples=[(str(f), dict(s)) for f, s in zip(folders, sums, strict=True)],
            seeds=[job.seed for job in jobs],
            folder=str(place.work),
            log=str(place.log.path),
        )

    def _watched(
        self, target, request: messages.Predict | messages.Fit, jobs: Sequence[Job | Fit], log: Log
    ) -> Iterator[tuple[int, Outcome] | Outcome]:
        """The outcomes of single jobs as they come, and at last that of the process."""
        process = Worker(target, self.reaper)
        try:
            process.send(request)
            yield from self._events(process, jobs, log)
        finally:
            process.end()

    def _events(
        self, process: Worker, jobs: Sequence[Job | Fit], log: Log
    ) -> Iterator[tuple[int, Outcome] | Outcome]:
        limit_mb = self.limits.memory_gb * GB
        baseline = peak = 0.0
        started = False
        begin, limit = time.monotonic(), LOADING_S
        while True:
            elapsed = time.monotonic() - begin
            # A look at the memory costs time: often at first, then four times a second.
            arrived = process.wait(min(limit - elapsed, 0.02 + 0.1 * elapsed, 0.25))
            if self.stop.is_set():
                raise Interrupted
            if arrived:
                answer = process.receive()
                if isinstance(answer, messages.Started):
                    started, baseline, begin = True, answer.resident_mb, time.monotonic()
                    limit = sum(job.timeout_s for job in jobs)
                elif isinstance(answer, messages.Finished):
                    handed = time.monotonic()
                    yield (
                        answer.index,
                        Outcome(answer.status, answer.reason, prediction=answer.prediction),
                    )
                    begin += time.monotonic() - handed  # storing it is not the method's time
                elif isinstance(answer, messages.Costs):
                    peak = max(answer.peak_rss_mb, peak)
                    if peak > limit_mb and len(jobs) == 1:  # it rose and fell between two looks
                        yield self._too_much(peak)
                    else:
                        yield Outcome(Status.ok, "", answer.wall_s, answer.cpu_s, peak)
                    return
                else:
                    yield _broken(answer, process)
                    return
                continue
            if started:
                peak = max(peak, group_mb(process.pid, baseline))
                if peak > limit_mb:
                    yield self._too_much(peak)
                    return
            if log.size > LOG_LIMIT:
                yield Outcome(Status.error, f"printed more than {LOG_LIMIT / 1e9:g} GB")
                return
            if time.monotonic() - begin >= limit:
                what = "result" if started else "start (importing the method, opening the task)"
                reason = f"no {what} within {limit:g} s"
                yield Outcome(Status.timeout, reason, peak_rss_mb=peak or None)
                return

    def _too_much(self, peak_mb: float) -> Outcome:
        reason = f"more than {self.limits.memory_gb:g} GB"
        return Outcome(Status.oom, reason, peak_rss_mb=peak_mb)


def _share(process: Outcome, done: dict[int, Outcome], n_jobs: int) -> None:
    """What the end of the process means for its jobs."""
    if process.status == Status.ok:
        for outcome in done.values():
            outcome.wall_s = None if process.wall_s is None else process.wall_s / n_jobs
            outcome.cpu_s = None if process.cpu_s is None else process.cpu_s / n_jobs
            outcome.peak_rss_mb, outcome.batch_size = process.peak_rss_mb, n_jobs
    elif n_jobs == 1:
        done[0] = process


def _broken(answer: messages.Answer | None, process: Worker) -> Outcome:
    """The outcome of a process that ended without a result, with or without a word."""
    if isinstance(answer, messages.Spoilt):
        raise _InputSpoilt(answer.reason)
    if isinstance(answer, messages.Broken):
        return Outcome(answer.status, answer.reason)
    return _ended(process.exit_code())


def _ended(exit_code: int | None) -> Outcome:
    """The outcome of a process that ended without a word.

    Raises
    ------
    BenchError: it was not the process but the fork server that ended, and with it what it knew.
    """
    if server_died(exit_code):
        raise BenchError(SERVER_DIED)
    if exit_code is None:
        return Outcome(Status.error, "the process closed its connection and gave no result")
    if exit_code < 0:
        name = signal_name(-exit_code)
        return Outcome(
            Status.killed,
            f"by {name}, not by the runner (by the system, if it ran out of memory)",
            outside=name in FROM_OUTSIDE,
        )
    reason = f"the process exited with code {exit_code} before it gave a result"
    return Outcome(Status.error, reason)


def _no_place(error: OSError) -> str:
    return f"the job could not be started: {why(error)}"
