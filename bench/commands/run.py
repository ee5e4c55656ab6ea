"""`bench run`: methods on the tasks of a suite."""

from __future__ import annotations

import re
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdnbench.commands.distributed import Distributed
from cdnbench.commands.options import counted, spellings, suite_options
from cdnbench.errors import InvalidParameter
from cdnbench.fields import LARGEST
from cdnbench.registry import SUITES, load_class

if TYPE_CHECKING:
    from cdnbench.record import JobRecord
    from cdnbench.runners.run import Run

_SHOWN = 10
"""Kinds of failures that the end of a run tells of."""


def run(
    context: typer.Context,
    suite: Annotated[
        str,
        typer.Option(
            help="Name of the suite. `bench list suites` lists all suites and their options."
        ),
    ],
    methods: Annotated[
        str | None,
        typer.Option(
            help="a,b:parameter=value, or 'all'. Without it, every default method that can run."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results. The default is results/<suite>.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=0, help="How many jobs run at once. 0 means one per usable core.")
    ] = 0,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only K tasks, spread evenly over the suite's settings."),
    ] = None,
    subset: Annotated[
        str,
        typer.Option(help="Only these tasks, e.g. trivial or nontrivial on the cell suites."),
    ] = "all",
    seeds: Annotated[str, typer.Option(help="Seeds of the stochastic methods, e.g. 0,1,2.")] = "0",
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Seconds that a job may take. The default is the method's own estimate."
        ),
    ] = None,
    memory_gb: Annotated[
        float, typer.Option(min=0.01, help="Most memory that one job may use, in GB.")
    ] = 8.0,
    device: Annotated[
        str,
        typer.Option(
            help="auto, cpu or cuda, for methods that have the choice. auto uses a GPU if torch "
            "finds one."
        ),
    ] = "auto",
    gpus: Annotated[
        str | None,
        typer.Option(help="Which GPUs to use, e.g. 0-3 or 0,2. The default is all of them."),
    ] = None,
    jobs_per_gpu: Annotated[
        int,
        typer.Option(min=1, help="How many jobs share one GPU, as far as its memory allows."),
    ] = 1,
    shard: Annotated[
        str,
        typer.Option(
            help="Only this part of the jobs: i/n, or fits for what has to be trained, or @FILE "
            "with keys. For several machines, see docs/clusters.md."
        ),
    ] = "1/1",
    executor: Annotated[
        str, typer.Option(help="local, or dask for the workers of a dask scheduler.")
    ] = "local",
    scheduler: Annotated[
        str,
        typer.Option(
            help="Address of the dask scheduler, e.g. tcp://host:8786. Without it, dask starts "
            "workers on this machine."
        ),
    ] = "",
    timing: Annotated[
        bool,
        typer.Option(
            "--timing",
            help="One job at a time, each on one core, and repeated after a first call, so that "
            "times can be compared.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show what would run and about how long it takes, and run nothing."
        ),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run all jobs, also those that are done.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Run failed jobs again.")] = False,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Run jobs again whose method's code changed since their results."
        ),
    ] = False,
) -> None:
    """Run methods on a suite. Jobs whose result is there already are not run again.

    The suite's own options follow, e.g. --protocol dcdi. A run can be interrupted at any moment;
    the same command goes on where it was.

    Examples:

        bench run --suite synthetic-mini

        bench run --methods target-shift,ut-igsp --suite synthetic --protocol both

        bench run --methods 'dci:max_set_size=2' --suite sachs --timeout 3600

        bench run --suite synthetic --shard 2/8 --out part-2
    """
    from cdnbench.runners.api import chosen_device, prepared, slots_of
    from cdnbench.runners.plan import Limits, make_plan
    from cdnbench.runners.run import Mode
    from cdnbench.runners.shards import Shard

    distributed = Distributed.checked(executor, scheduler, timing=timing)
    info = load_class(SUITES, suite).info  # type: ignore[attr-defined]
    options = suite_options(context.args, info, spellings(context.command))
    plan = make_plan(
        suite,
        options,
        methods,
        seeds=_seeds(seeds),
        limit=limit,
        subset=subset,
        limits=Limits(timeout_s=timeout, memory_gb=memory_gb),
        device=distributed.device(device) if distributed else chosen_device(device),
        where_it_helps=device == "auto",
    )
    planned = prepared(
        plan,
        out,
        jobs=jobs,
        mode=Mode(timing, fresh, retry, update),
        slots=distributed.slots() if distributed else slots_of(plan, gpus, jobs_per_gpu),
        shard=Shard.parse(shard),
    )
    _announce(planned)
    if dry_run:
        _estimate(planned, timing)
    else:
        if distributed:
            distributed.plan_again(
                plan,
                seeds=seeds,
                limit=limit,
                timeout=timeout,
                memory_gb=memory_gb,
                methods=methods,
                device=device,
                jobs=jobs,
                gpus=gpus,
                jobs_per_gpu=jobs_per_gpu,
            )
        execute(planned, distributed)
        _finish(planned)


def _estimate(planned: Run, timing: bool) -> None:
    """Say about how long it will take, by what is in the folder and in those beside it."""
    from cdnbench.archive import find_stores
    from cdnbench.errors import BenchError
    from cdnbench.runners.estimate import History

    if not planned.todo:
        return
    folder = planned.store.folder
    history, seen = History(), set()
    for place in (folder, folder.parent) if folder.parent.name == "results" else (folder,):
        try:
            stores = find_stores(place)
        except BenchError:  # nothing was run yet
            continue
        for store in stores:
            if store.folder.resolve() not in seen:
                seen.add(store.folder.resolve())
                history.add(store)
    plan = planned.plan
    told = history.estimate(plan.suite_name, plan.suite.info.setting, planned.todo, timing=timing)
    print(f"time: {told.told(1 if timing else planned.jobs)}")


def execute(planned: Run, distributed: Distributed | None = None) -> None:
    """Run it under a progress display; an interruption ends the process with code 130.
    distributed: where to run it, if not on this machine."""
    from cdnbench.commands.progress import progress

    # SIGTERM ends a run like Ctrl-C, also where the run is the first process of a container.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for moved in planned.store.create().moved:
        print(f"note: {moved}")
    try:
        with progress(len(planned.todo), planned.store.folder) as show:
            planned.on_record = show
            planned.on_wait = _wait_note
            if distributed:
                distributed.execute(planned)
            else:
                planned.execute()
    except KeyboardInterrupt:
        folder = planned.store.folder
        print(
            f"bench: interrupted; finished jobs are in {folder}. Run the same command to go on.",
            file=sys.stderr,
        )
        sys.exit(130)


def _wait_note(n_jobs: int) -> None:
    print(f"waiting for {counted(n_jobs, 'job')} that other runs on this folder are at", flush=True)


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or max(seeds) > LARGEST:
        raise InvalidParameter(
            f"--seeds takes whole numbers from 0 to {LARGEST}, separated by commas; got {text!r}."
        )
    return seeds


def _announce(planned: Run) -> None:
    """Say what will run, what is done already, and what was left out and why."""
    plan, store, todo = planned.plan, planned.store, len(planned.todo)
    tasks, jobs = len({job.spec.hash for job in planned.mine}), len(planned.mine)
    done = jobs - todo
    told = f"{counted(tasks, 'task')}, {counted(jobs, 'job')}, {done} of them done"
    print(f"{plan.suite_name}: {told}, in {store.folder}")
    if planned.shard.fits and not planned.fits:
        print("No method of this plan has to be trained.")
    elif not jobs and not planned.fits:
        print(f"Nothing to do: of the plan's {counted(len(plan.jobs), 'job')}, none is in --shard.")
    for name, n in planned.outdated.items():
        results = "1 result was" if n == 1 else f"{n} results were"
        print(f"note: the code of {name} changed since {results} stored; --update repeats them")
    counts = Counter(job.method.info.name for job in planned.mine)
    if counts:
        print("methods: " + ", ".join(f"{name} ({n})" for name, n in counts.items()))
    for name, why in plan.left_out.items():
        print(f"left out: {name}: {why}")
    for line in skip_notes(planned):
        print(line)
    missing = Counter(
        f.method.info.name for f in planned.fits if planned.mode.fresh or store.fit(f.key) is None
    )
    if missing:
        print("to be trained first: " + ", ".join(f"{name} ({n})" for name, n in missing.items()))
    for problem in store.problems:
        print(f"note: {problem}")


def skip_notes(planned: Run) -> list[str]:
    """What a run will skip and why, one line per method and kind of reason."""
    reasons = ((job.method.info.name, planned.why_skip(job)) for job in planned.mine)
    return [
        f"will be skipped: {name} on {counted(n, 'task')}: {why}"
        for name, why, n in _alike((name, why) for name, why in reasons if why)
    ]


def _alike(reasons: Iterable[tuple[str, str]]) -> list[tuple[str, str, int]]:
    """(what, reason) -> what, one of its reasons, and how often it came; the most frequent first.

    Reasons that differ in numbers only count as one.
    """
    groups: dict[tuple[str, str], Counter[str]] = {}
    for what, reason in reasons:
        groups.setdefault((what, re.sub(r"[\d,.]*\d", "#", reason)), Counter())[reason] += 1
    found = [
        (what, ("e.g. " if len(each) > 1 else "") + min(each), each.total())
        for (what, _), each in groups.items()
    ]
    return sorted(found, key=lambda group: -group[2])


def _finish(planned: Run) -> None:
    """Print the leaderboard and the failures, and exit with code 1 if there are any."""
    from cdnbench.record import Status

    if not planned.mine:
        if planned.fits:
            _finish_fits(planned)
        return
    if planned.shard.keys is None:  # jobs from a list are no ground for a ranking
        from rich.console import Console

        from cdnbench.reports import build

        build([planned.store], subset=planned.plan.subset).leaderboard(Console())
    records = planned.records
    failed = [record for record in records if record.failed]
    for line in failure_summary(failed, planned.store.folder):
        print(line)
    skipped = ((r.method, r.reason) for r in records if r.status == Status.skipped and not r.failed)
    for method, reason, n in _alike(skipped):
        print(f"{n} x {method}: skipped: {reason}")
    if failed:
        print(f"{counted(len(failed), 'job')} failed; --retry runs failed jobs again.")
        sys.exit(1)


def _finish_fits(planned: Run) -> None:
    """Say how many fits there are, and exit with code 1 if some failed."""
    records = [planned.store.fit(fit.key) for fit in planned.fits]
    bad = [record for record in records if record is None or record.failed]
    print(f"{len(records) - len(bad)} of {len(records)} fits are there")
    if bad:
        sys.exit(1)


def failure_summary(failed: Iterable[JobRecord], folder: Path) -> list[str]:
    """One line per kind of failure, each with the path of a log that tells more."""
    from cdnbench.commands.progress import log_note

    failed = list(failed)
    examples = {(f"{r.method}: {r.status}", r.reason): r for r in reversed(failed)}
    kinds = _alike((f"{r.method}: {r.status}", r.reason) for r in failed)
    lines = []
    for what, reason, n in kinds[:_SHOWN]:
        example = examples[what, reason.removeprefix("e.g. ")]
        lines.append(f"{n} x {what}: {reason} {log_note(example, folder)}")
    if len(kinds) > _SHOWN:
        lines.append(f"{len(kinds) - _SHOWN} more kinds of failures: bench report --table jobs")
    return lines
