"""A run: every missing job of a plan, in parallel, each result stored the moment it is there."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import joblib

from cdnbench.registry import METHODS, package_of
from cdnbench.runners.drive import Driver, Interrupted, Outcome, keep_end
from cdnbench.runners.fits import Fitter
from cdnbench.runners.plan import FIT_FAILED, Job, Limits, Plan
from cdnbench.runners.prepare import Preparer
from cdnbench.runners.processes import Reaper, fork_server
from cdnbench.runners.provenance import provenance
from cdnbench.store import Store

Record = dict[str, Any]


def execute(
    plan: Plan,
    store: Store,
    *,
    jobs: int = 1,
    limits: Limits | None = None,
    timing: bool = False,
    fresh: bool = False,
    retry: bool = False,
    on_record: Callable[[Record], None] = lambda record: None,
) -> int:
    """Run what the store lacks and return how many jobs that was.

    jobs: how many run at once. timing: one at a time, so that times can be compared
    (`wall_s_single`). fresh: run all jobs, also those that are done; each old record stands until
    its new one is there. retry: run failed jobs again. on_record: called with each record as it is
    stored, those of fits ("kind": "fit") included.

    A `KeyboardInterrupt` ends the running jobs, which leave no record, and is raised again.

    Raises
    ------
    BenchError: the store cannot be written, or the fork server does not start or dies. What was
    done is kept.
    """
    limits = limits or Limits()
    telling = threading.Lock()

    def tell(record: Record) -> None:
        with telling:
            on_record(record)

    store.create()
    todo = plan.todo(store, timing=timing, fresh=fresh, retry=retry)
    if not todo:
        return 0
    # Scratch space lies outside the store; the reaper removes it if the run is killed.
    scratch = Path(tempfile.mkdtemp(prefix="cdnbench-"))
    reaper = Reaper([str(scratch)])
    try:
        with fork_server(_modules(todo), limits.threads):
            driver = Driver(store, limits, reaper)
            preparer = Preparer(plan.suite_name, plan.options, todo, store, scratch, reaper)
            try:
                again = timing or fresh or retry
                fitter = Fitter(
                    driver, plan.suite_name, plan.options, scratch, fresh or retry, tell
                )
                _run_all(
                    todo, plan, driver, preparer, fitter, 1 if timing else jobs, timing, again, tell
                )
            finally:
                driver.stop.set()
                preparer.stop()
    finally:
        reaper.close()
        shutil.rmtree(scratch, ignore_errors=True)
    return len(todo)


def _run_all(
    todo: Sequence[Job],
    plan: Plan,
    driver: Driver,
    preparer: Preparer,
    fitter: Fitter,
    jobs: int,
    timing: bool,
    again: bool,
    on_record: Callable[[Record], None],
) -> None:
    def step(item: Sequence[Job] | Callable[[], Any]) -> None:
        if driver.stop.is_set():
            return
        if callable(item):
            with contextlib.suppress(Interrupted):
                item()
            return
        told = set()
        with contextlib.suppress(Interrupted):
            for record in _batch(item, plan, driver, preparer, fitter, timing, again):
                if record["key"] not in told:
                    told.add(record["key"])
                    on_record(record)

    # Each thread drives one process. Results come back as they are ready, and the steps are taken
    # from the iterator as threads become free.
    parallel = joblib.Parallel(
        n_jobs=jobs,
        backend="threading",
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch=2 * jobs,
    )
    steps = _steps(plan.batches(todo, alone=timing), preparer)
    results = parallel(
        joblib.delayed(step)(item) for item in itertools.chain(_fits(todo, fitter), steps)
    )
    try:
        for _ in results:
            pass
    except BaseException:
        driver.stop.set()  # the threads end their processes and return
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # joblib tells that results were given up, which is what is wanted
            results.close()
        raise


def _fits(todo: Sequence[Job], fitter: Fitter) -> Iterator[Callable[[], Any]]:
    """What has to be trained, before all else: side by side, and nobody waits for what another
    thread trains."""
    fits = {job.fit.key: job.fit for job in todo if job.fit and not job.skip}
    return (partial(fitter.ensure, fit) for fit in fits.values())


def _steps(
    batches: Sequence[list[Job]], preparer: Preparer
) -> Iterator[Sequence[Job] | Callable[[], Any]]:
    """The batches, with their tasks made while what comes before them runs."""

    def hashes(batch: list[Job]) -> list[str]:
        return [job.spec.hash for job in batch]

    groups = [list(group) for _, group in itertools.groupby(batches, key=hashes)]
    for here, after in itertools.zip_longest(groups, groups[1:]):
        if after:
            yield lambda batch=after[0]: [preparer.samples(job.spec) for job in batch]
        yield from here


def _batch(
    jobs: Sequence[Job],
    plan: Plan,
    driver: Driver,
    preparer: Preparer,
    fitter: Fitter,
    timing: bool,
    again: bool,
) -> Iterator[Record]:
    """Run the jobs of one batch and store their records, except those that another run on the same
    folder stored meanwhile.

    Yields each record as it is stored; one of a batch of several is stored again, with its times,
    when all have ended. Jobs that a failing process takes with it are run again, one by one.
    """
    store = driver.store
    before = {job.key: store.record(job.key) for job in jobs}
    started_at = datetime.now(UTC).isoformat(timespec="seconds")

    def stored(job: Job, outcome: Outcome) -> Record:
        record = _record(job, plan, outcome, driver.limits, timing, started_at)
        old = before[job.key]
        if timing and old is not None and old["status"] == "ok":
            if outcome.status != "ok":  # a result is worth more than its time
                record = {**old, "note": f"timed alone: {outcome.status}: {outcome.reason}"}
            elif old["batch_size"] > 1:
                record = {**old, "wall_s_single": outcome.wall_s}
        store.write_record(record)
        return record

    try:
        ready, folders = [], []
        for job in jobs:
            folder, why = preparer.samples(job.spec)
            if driver.stop.is_set():
                raise Interrupted
            old = before[job.key]
            if old is not None and not again and store.is_whole(old):
                yield old
            elif why:
                keep_end(preparer.log, store.log_path(job.key))
                yield stored(job, Outcome("error", f"the task could not be made: {why}"))
            elif job.skip:
                yield stored(job, Outcome("skipped", job.skip))
            elif job.fit and (unfitted := fitter.ensure(job.fit)):
                yield stored(job, Outcome("skipped", FIT_FAILED + unfitted))
            else:
                ready.append(job)
                folders.append(folder)
        done = set()
        if ready:
            for index, outcome in driver.run(ready, folders):
                done.add(index)
                yield stored(ready[index], outcome)
        for index in set(range(len(ready))) - done:
            for _, outcome in driver.run([ready[index]], [folders[index]]):
                yield stored(ready[index], outcome)
    finally:
        for job in jobs:
            preparer.done(job.spec)


def _record(
    job: Job, plan: Plan, outcome: Outcome, limits: Limits, timing: bool, started_at: str
) -> Record:
    info = job.method.info
    return {
        "key": job.key,
        "kind": "predict",
        "suite": plan.suite_name,
        "task": job.spec.name,
        "task_hash": job.spec.hash,
        "metadata": dict(job.spec.metadata),
        "setting": list(plan.suite.info.setting),
        "method": info.name,
        "method_version": info.version,
        "variants": list(info.variants),
        "parameters": dict(job.method.parameters),
        "trained_on": job.method.trained_on(),
        "knowledge": {"name": getattr(plan.suite, "knowledge", ""), **job.fit.knowledge}
        if job.fit and job.fit.knowledge
        else {},
        "seed": job.seed,
        "status": outcome.status,
        "reason": outcome.reason,
        "note": outcome.note,
        "facts": outcome.facts,
        "batch_size": outcome.batch_size,
        "wall_s": outcome.wall_s,
        "wall_s_single": outcome.wall_s if timing else None,
        "cpu_s": outcome.cpu_s,
        "peak_rss_mb": outcome.peak_rss_mb,
        "peak_gpu_mb": None,
        "device": job.method.device,
        "threads": limits.threads,
        "timeout_s": job.timeout_s,
        "memory_gb": limits.memory_gb,
        "started_at": started_at,
        **provenance(package_of(METHODS, info.name)),
    }


def _modules(jobs: Sequence[Job]) -> list[str]:
    """What the jobs will import: each method's module, and what it asks to have preloaded."""
    methods = {job.method.info.name: job.method for job in jobs}
    modules = []
    for method in methods.values():
        modules += [type(method.method).__module__, *method.info.preload]
    return modules
