"""How a run shows where it is: a live bar on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

from cdnbench.record import FitRecord, JobRecord, Record, Status

LOG_EVERY_S = 10.0

Show = Callable[[Record], None]


@contextlib.contextmanager
def progress(total: int) -> Iterator[Show]:
    """Yields what to call with the record of each job, and of each fit."""
    if total == 0:
        yield lambda record: None
    elif sys.stdout.isatty():
        with _bar(total) as show:
            yield show
    else:
        yield _lines(total)


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Show]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}"),
    )
    counts: Counter[Status] = Counter()
    with Progress(*columns) as bar:
        line = bar.add_task("jobs", total=total, last="")

        def show(record: Record) -> None:
            if isinstance(record, FitRecord):
                bar.console.print(fit_line(record), markup=False, emoji=False)
                return
            counts[record.status] += 1
            bad = " ".join(f"[red]{n} {s}[/red]" for s, n in counts.items() if s != Status.ok)
            bar.update(line, advance=1, last=f"{record.method} on {record.task} {bad}")
            if record.status.is_failure:
                bar.console.print(failure_line(record), markup=False, emoji=False)

        yield show


def _lines(total: int) -> Show:
    counts: Counter[Status] = Counter()
    begin = last = time.monotonic()
    # The time left is told from the jobs after the last fit, which may take longer than all jobs.
    since, before = begin, 0

    def show(record: Record) -> None:
        nonlocal last, since, before
        now = time.monotonic()
        if isinstance(record, FitRecord):
            since, last, before = now, now, counts.total()
            print(fit_line(record), flush=True)
            return
        counts[record.status] += 1
        done = counts.total()
        if record.status.is_failure:
            print(failure_line(record), flush=True)
        if now - last >= LOG_EVERY_S or done == total:
            last = now
            left = (now - since) / (done - before) * (total - done)
            tally = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
            spent = now - begin
            print(
                f"{done}/{total} jobs ({tally}), {spent:.0f} s, about {left:.0f} s left", flush=True
            )

    return show


def failure_line(record: JobRecord) -> str:
    """One line about a job that failed."""
    return f"{record.method} on {record.task}: {record.status}: {record.reason}"


def fit_line(record: FitRecord) -> str:
    """One line about a fit that ended."""
    took = "" if record.wall_s is None else f", {record.wall_s:.0f} s"
    end = "" if record.status == Status.ok else f": {record.status}: {record.reason}"
    return f"trained {record.method} on {record.n_tasks} tasks{took}{end}"
