"""From the outside of a job's process: limits, clocks, and what its end means."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cdnbench.errors import BenchError
from cdnbench.runners import child
from cdnbench.runners.memory import group_mb
from cdnbench.runners.plan import GB, Fit, Job, Limits
from cdnbench.runners.processes import Reaper, Worker, server_is_alive
from cdnbench.store import Store

LOADING_S = 300.0
"""What importing a method and opening its task may take before its own clock starts."""

LOG_KEPT = 100_000
"""Bytes of what a failed job printed that are kept: the last ones."""

LOG_LIMIT = 1_000_000_000
"""Bytes that a job may print before it is ended."""


class Interrupted(Exception):
    """The run was told to stop; the job has been ended and left no record."""


@dataclass
class Outcome:
    """How a job ended. note, facts: what the method said besides its scores.

    Costs are None where the method's call did not return. In a batch of several, times are a job's
    share and the peak is the batch's.
    """

    status: str
    reason: str = ""
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_rss_mb: float | None = None
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 1


@dataclass
class Driver:
    """Runs jobs, alone or in batches, each batch in a process of its own; any number of threads may
    use it at once."""

    store: Store
    limits: Limits
    reaper: Reaper
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, jobs: Sequence[Job], samples: Sequence[Path]) -> Iterator[tuple[int, Outcome]]:
        """Run the jobs together, jobs of one method whose tasks were prepared in `samples`.

        Yields (index, outcome) of each that ended by itself: in a batch of several at once, without
        costs, and with them at the end. If the process as a whole fails, its outcome is that of a
        job alone; of several, those that are not done yield nothing.

        Raises
        ------
        Interrupted: `stop` was set.
        """
        descriptor, name = tempfile.mkstemp(
            dir=samples[0]
        )  # neutral: the job's key is no business of the method's
        os.close(descriptor)
        log = Path(name)
        worker = Worker(child.predict, self.reaper)
        done: dict[int, Outcome] = {}
        try:
            worker.send(self._request(jobs, samples, log))
            for event in self._watch(worker, jobs, log):
                if isinstance(event, Outcome):  # of the process
                    self._share(event, done, len(jobs))
                    break
                index, outcome = event
                done[index] = outcome
                if len(jobs) > 1:
                    self._keep_log(jobs[index], outcome, log)
                    yield index, outcome
        finally:
            worker.end()
        for index, outcome in done.items():
            self._keep_log(jobs[index], outcome, log)
            yield index, outcome
        log.unlink(missing_ok=True)

    def fit(self, fit: Fit, suite: str, options: Mapping[str, Any], scratch: Path) -> Outcome:
        """Train; the model lies in the store if the outcome is "ok".

        Raises
        ------
        Interrupted: `stop` was set.
        """
        descriptor, name = tempfile.mkstemp(dir=scratch)
        os.close(descriptor)
        log, worker, outcome = Path(name), Worker(child.fit, self.reaper), None
        request = {
            "method": fit.method.info.name,
            "parameters": dict(fit.method.parameters),
            "suite": suite,
            "options": dict(options),
            "specs": list(fit.specs),
            "seed": fit.seed,
            "key": fit.key,
            "scratch": str(scratch),
            "folder": str(self.store.folder.resolve()),
            "log": str(log),
        }
        try:
            worker.send(request)
            for event in self._watch(worker, [fit], log):
                if isinstance(event, tuple):
                    outcome = event[1]
                elif outcome is None or event.status != "ok":
                    outcome = event
                else:
                    outcome.wall_s, outcome.cpu_s, outcome.peak_rss_mb = (
                        event.wall_s,
                        event.cpu_s,
                        event.peak_rss_mb,
                    )
        finally:
            worker.end()
        assert outcome is not None
        if outcome.status not in ("ok", "skipped"):
            into = self.store.fit_record_path(fit.key).with_name("fit.log")
            into.parent.mkdir(parents=True, exist_ok=True)
            keep_end(log, into)
        log.unlink(missing_ok=True)
        return outcome

    @staticmethod
    def _share(process: Outcome, done: dict[int, Outcome], n_jobs: int) -> None:
        """What the end of the process means for its jobs."""
        if process.status == "ok":
            for outcome in done.values():
                outcome.wall_s = None if process.wall_s is None else process.wall_s / n_jobs
                outcome.cpu_s = None if process.cpu_s is None else process.cpu_s / n_jobs
                outcome.peak_rss_mb, outcome.batch_size = process.peak_rss_mb, n_jobs
        elif n_jobs == 1:
            done[0] = process

    def _keep_log(self, job: Job, outcome: Outcome, log: Path) -> None:
        if outcome.status not in ("ok", "skipped"):
            keep_end(log, self.store.log_path(job.key))

    def _request(self, jobs: Sequence[Job], samples: Sequence[Path], log: Path) -> dict[str, Any]:
        return {
            "method": jobs[0].method.info.name,
            "parameters": dict(jobs[0].method.parameters),
            "model": jobs[0].fit.key if jobs[0].fit else "",
            "tasks": [
                {"scratch": str(folder), "seed": job.seed, "key": job.key}
                for job, folder in zip(jobs, samples, strict=True)
            ],
            "folder": str(self.store.folder.resolve()),
            "log": str(log),
        }

    def _watch(
        self, worker: Worker, jobs: Sequence[Job | Fit], log: Path
    ) -> Iterator[tuple[int, Outcome] | Outcome]:
        """The outcomes of single jobs as they come, and at last that of the process."""
        limit_mb = self.limits.memory_gb * GB
        baseline = peak = 0.0
        started = False
        begin, limit = time.monotonic(), LOADING_S
        while True:
            elapsed = time.monotonic() - begin
            # A look at the memory costs about a millisecond: often at first, then four times a
            # second.
            arrived = worker.wait(min(limit - elapsed, 0.02 + 0.1 * elapsed, 0.25))
            if self.stop.is_set():
                raise Interrupted
            if arrived:
                message = worker.receive()
                if message is None:
                    yield _ended(worker.exit_code())
                    return
                kind, *values = message
                if kind == "started":
                    started, baseline, begin = True, values[0], time.monotonic()
                    limit = sum(job.timeout_s for job in jobs)
                elif kind == "done":
                    index, status, reason, note, facts = values
                    yield index, Outcome(status, reason, note=note, facts=facts)
                elif kind == "end":
                    costs = values[0]
                    costs["peak_rss_mb"] = max(costs["peak_rss_mb"], peak)
                    over = costs["peak_rss_mb"] > limit_mb and len(jobs) == 1  # between two looks
                    yield self._too_much(costs["peak_rss_mb"]) if over else Outcome("ok", **costs)
                    return
                elif kind == "unwritable":
                    raise BenchError(f"Cannot write to {self.store.folder}: {values[0]}.")
                else:
                    yield Outcome(kind, values[0])
                    return
                continue
            if started:
                peak = max(peak, group_mb(worker.pid, baseline))
                if peak > limit_mb:
                    yield self._too_much(peak)
                    return
            if log.stat().st_size > LOG_LIMIT:
                yield Outcome("error", f"printed more than {LOG_LIMIT / 1e9:g} GB")
                return
            if time.monotonic() - begin >= limit:
                what = "result" if started else "start (importing the method and opening the task)"
                yield Outcome("timeout", f"no {what} within {limit:g} s", peak_rss_mb=peak or None)
                return

    def _too_much(self, peak_mb: float) -> Outcome:
        return Outcome("oom", f"more than {self.limits.memory_gb:g} GB", peak_rss_mb=peak_mb)


def keep_end(log: Path, into: Path) -> None:
    """The last part of what was printed, if anything was."""
    size = log.stat().st_size if log.exists() else 0
    if size:
        with open(log, "rb") as file:
            file.seek(max(0, size - LOG_KEPT))
            into.write_bytes(file.read())


def _ended(exit_code: int | None) -> Outcome:
    """A process that ended without a word.

    Raises
    ------
    BenchError: it was not the process but the fork server that ended, and with it what it knew.
    """
    if not server_is_alive():
        raise BenchError(
            "The fork server was killed (out of memory?). Run the same command to go on."
        )
    if exit_code is None:
        return Outcome("error", "the process closed its connection and gave no result")
    if exit_code < 0:
        return Outcome(
            "killed",
            f"by {_signal_name(-exit_code)}, not by the runner (by the system, if it ran out of "
            "memory)",
        )
    return Outcome("error", f"the process exited with code {exit_code} before it gave a result")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
