"""`bench run`: methods on the tasks of a suite."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdnbench.commands.options import suite_options
from cdnbench.errors import InvalidParameter
from cdnbench.registry import SUITES, load_class
from cdnbench.store import FAILURES, Store

if TYPE_CHECKING:
    from cdnbench.runners.plan import Plan

COMMON = (
    "suite",
    "methods",
    "out",
    "jobs",
    "limit",
    "seeds",
    "timeout",
    "memory-gb",
    "device",
    "timing",
    "dry-run",
    "fresh",
    "retry",
)


def run(
    context: typer.Context,
    suite: Annotated[
        str,
        typer.Option(help="Name of the suite; `bench list suites` shows them and their options."),
    ],
    methods: Annotated[
        str | None,
        typer.Option(
            help="a,b:parameter=value or 'all'; absent: every default method that can run."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; absent: results/<suite>.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=0, help="Jobs at once; 0: one a core.")] = 0,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first K tasks of the suite.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the stochastic methods, e.g. 0,1,2.")] = "0",
    timeout: Annotated[
        float | None,
        typer.Option(min=0.001, help="Seconds a job may take; absent: the method's own estimate."),
    ] = None,
    memory_gb: Annotated[float, typer.Option(min=0.01, help="Memory a job may add, in GB.")] = 8.0,
    device: Annotated[
        str,
        typer.Option(
            help="auto, cpu or cuda: where methods that have a choice compute; auto: cuda where "
            "torch sees it."
        ),
    ] = "auto",
    timing: Annotated[
        bool, typer.Option("--timing", help="One job at a time, so that times can be compared.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, and run nothing.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run all jobs, also those that are done.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Run jobs that failed before once more.")
    ] = False,
) -> None:
    """Run methods on a suite; what is already in the results is not run again.

    The suite's own options follow, e.g. --protocol dcdi. Interrupt at any moment and run again to
    go on.

    Examples:

        bench run --suite synthetic-mini

        bench run --methods target-shift,ut-igsp --suite synthetic --protocol both

        bench run --methods 'dci:max_set_size=2' --suite sachs --timeout 3600
    """
    from cdnbench.runners.plan import Limits, make_plan

    info = load_class(SUITES, suite).info  # type: ignore[attr-defined]
    options = suite_options(context.args, info, COMMON)
    limits = Limits(timeout_s=timeout, memory_gb=memory_gb)
    plan = make_plan(
        suite,
        options,
        methods,
        seeds=_seeds(seeds),
        limit=limit,
        limits=limits,
        device=_device(device),
    )
    store = Store(out or Path("results") / suite)
    todo = plan.todo(store, timing=timing, fresh=fresh, retry=retry)
    _announce(plan, store, len(todo))
    if dry_run:
        return

    from cdnbench.commands.progress import progress
    from cdnbench.runners.run import execute

    workers = jobs or os.cpu_count() or 1
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # ends like Ctrl-C, also as the first process of a container
    try:
        with progress(len(todo)) as show:
            execute(
                plan,
                store,
                jobs=workers,
                limits=limits,
                timing=timing,
                fresh=fresh,
                retry=retry,
                on_record=show,
            )
    except KeyboardInterrupt:
        print(
            f"bench: interrupted; finished jobs are in {store.folder}. Run the same command to go "
            "on.",
            file=sys.stderr,
        )
        sys.exit(130)
    _finish(plan, store)


def _device(name: str) -> str:
    """cpu or cuda. torch is imported only where there is an NVIDIA driver to ask about."""
    if name not in ("auto", "cpu", "cuda"):
        raise InvalidParameter(f"--device takes auto, cpu or cuda; got {name!r}.")
    if name == "cpu" or (name == "auto" and shutil.which("nvidia-smi") is None):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        raise InvalidParameter("--device cuda: torch sees no CUDA device. Use --device cpu.")
    return "cpu"


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0:
        raise InvalidParameter(
            f"--seeds takes whole numbers from 0 on, separated by commas; got {text!r}."
        )
    return seeds


def _announce(plan: Plan, store: Store, todo: int) -> None:
    tasks = len({job.spec.hash for job in plan.jobs})
    print(
        f"{plan.suite_name}: {tasks} tasks, {len(plan.jobs)} jobs, {len(plan.jobs) - todo} of "
        f"them done, in {store.folder}"
    )
    counts = Counter(job.method.info.name for job in plan.jobs)
    print("methods: " + ", ".join(f"{name} ({n})" for name, n in counts.items()))
    for name, why in plan.left_out.items():
        print(f"left out: {name}: {why}")
    for name, why, n in _alike((job.method.info.name, job.skip) for job in plan.jobs if job.skip):
        print(f"will be skipped: {name} on {n} tasks: {why}")
    fits = {job.fit.key: job.fit for job in plan.jobs if job.fit and not job.skip}
    missing = Counter(
        fit.method.info.name for key, fit in fits.items() if store.fit_record(key) is None
    )
    if missing:
        print("to be trained first: " + ", ".join(f"{name} ({n})" for name, n in missing.items()))


def _alike(reasons: Iterable[tuple[str, str]]) -> list[tuple[str, str, int]]:
    """(what, reason) -> what, a reason and how often it came, the most frequent first; reasons that
    differ in numbers only are one."""
    groups: dict[tuple[str, str], Counter[str]] = {}
    for what, reason in reasons:
        groups.setdefault((what, re.sub(r"[\d,.]*\d", "#", reason)), Counter())[reason] += 1
    found = [
        (what, ("e.g. " if len(each) > 1 else "") + min(each), each.total())
        for (what, _), each in groups.items()
    ]
    return sorted(found, key=lambda group: -group[2])


def _finish(plan: Plan, store: Store) -> None:
    """The leaderboard, the failures, and the exit code."""
    from rich.console import Console

    from cdnbench.reports import build
    from cdnbench.runners.plan import FIT_FAILED

    build([store]).leaderboard(Console())
    records = [record for job in plan.jobs if (record := store.record(job.key)) is not None]
    failed = [
        r
        for r in records
        if r["status"] in FAILURES or r["reason"].startswith(FIT_FAILED + "error")
    ]
    for what, reason, n in _alike((f"{r['method']}: {r['status']}", r["reason"]) for r in failed)[
        :10
    ]:
        print(f"{n} x {what}: {reason}")
    for method, reason, n in _alike(
        (r["method"], r["reason"]) for r in records if r["status"] == "skipped"
    ):
        print(f"{n} x {method}: skipped: {reason}")
    if failed:
        print(
            f"{len(failed)} jobs failed; what they printed is in {store.jobs}/<key>.log; --retry "
            "runs them again."
        )
        sys.exit(1)
