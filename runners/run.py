"""A run: every missing job of a plan, in parallel, each result stored the moment it is there."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib

from cdnbench.registry import METHODS, package_of
from cdnbench.runners.drive import Driver, Interrupted, Outcome, keep_end
from cdnbench.runners.plan import Job, Limits, Plan
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

    jobs: how many run at once. timing: one at a time, so that times can be compared (`wall_s_single`). fresh: run all jobs, also
    those that are done; each old record stands until its new one is there. retry: run failed jobs again. on_record: called with each
    record as it is stored.

    A `KeyboardInterrupt` ends the running jobs, which leave no record, and is raised again.

    Raises
    ------
    BenchError: the store cannot be written, or the fork server does not start or dies. What was done is kept.
    """
    limits = limits or Limits()
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
                _run_all(todo, plan, driver, preparer, 1 if timing else jobs, timing, again, on_record)
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
    jobs: int,
    timing: bool,
    again: bool,
    on_record: Callable[[Record], None],
) -> None:
    def step(item: Job | Callable[[], Any]) -> Record | None:
        if driver.stop.is_set():
            return None
        if not isinstance(item, Job):
            item()
            return None
        try:
            return _one(item, plan, driver, preparer, timing, again)
        except Interrupted:
            return None

    # Each thread drives one process. Results come back as they are ready, and the steps are taken from the iterator as threads
    # become free.
    parallel = joblib.Parallel(
        n_jobs=jobs, backend="threading", return_as="generator_unordered", batch_size=1, pre_dispatch=2 * jobs
    )
    results = parallel(joblib.delayed(step)(item) for item in _steps(todo, preparer))
    try:
        for record in results:
            if record is not None:
                on_record(record)
    except BaseException:
        driver.stop.set()  # the threads end their processes and return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib tells that results were given up, which is what is wanted
            results.close()
        raise


def _steps(todo: Sequence[Job], preparer: Preparer) -> Iterator[Job | Callable[[], Any]]:
    """The jobs, task by task, with each task made while the jobs of the one before it run."""
    groups = [list(group) for _, group in itertools.groupby(todo, key=lambda job: job.spec.hash)]
    for here, after in itertools.zip_longest(groups, groups[1:]):
        if after:
            yield lambda spec=after[0].spec: preparer.samples(spec)
        yield from here


def _one(job: Job, plan: Plan, driver: Driver, preparer: Preparer, timing: bool, again: bool) -> Record:
    """Run one job and store its record, unless another run on the same folder has done so meanwhile."""
    store, before = driver.store, driver.store.record(job.key)
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        samples, why = preparer.samples(job.spec)
        if driver.stop.is_set():
            raise Interrupted
        if before is not None and not again and store.is_whole(before):
            return before
        if why:
            outcome = Outcome("error", f"the task could not be made: {why}")
            keep_end(preparer.log, store.log_path(job.key))
        elif job.skip:
            outcome = Outcome("skipped", job.skip)
        else:
            outcome = driver.run(job, samples)
        if timing and before is not None and before["status"] == "ok" and outcome.status != "ok":
            # A result is worth more than its time.
            record = {**before, "note": f"timed alone: {outcome.status}: {outcome.reason}"}
        else:
            record = _record(job, plan, outcome, driver.limits, timing, started_at)
        store.write_record(record)
        return record
    finally:
        preparer.done(job.spec)


def _record(job: Job, plan: Plan, outcome: Outcome, limits: Limits, timing: bool, started_at: str) -> Record:
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
        "seed": job.seed,
        "status": outcome.status,
        "reason": outcome.reason,
        "note": "",
        "batch_size": 1,
        "wall_s": outcome.wall_s,
        "wall_s_single": outcome.wall_s if timing else None,
        "cpu_s": outcome.cpu_s,
        "peak_rss_mb": outcome.peak_rss_mb,
        "peak_gpu_mb": None,
        "device": getattr(job.method.method, "device", info.device),
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
