"""How a run shows where it is: a live bar on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from cdnbench.record import FitRecord, JobRecord, Record, Status

LOG_EVERY_S = 10.0

Show = Callable[[Record], None]


@contextlib.contextmanager
def progress(total: int, folder: Path = Path(), to: TextIO | None = None) -> Iterator[Show]:
    """Yields what to call with the record of each job, and of each fit.

    folder: that of the store, in which the logs of failures lie. to: where to show it; standard
    output by default.
    """
    stream: TextIO = to or sys.stdout
    if total == 0:
        yield lambda record: _only_fits(record, folder, stream)
    elif stream.isatty():
        with _bar(total, folder, stream) as show:
            yield show
    else:
        yield _lines(total, folder, stream)


@contextlib.contextmanager
def _bar(total: int, folder: Path, to: TextIO) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    def whole() -> Column:
        return Column(no_wrap=True, min_width=1)

    # What counts comes first and whole. The name of the last job takes the room that is left.
    columns = (
        BarColumn(bar_width=10),
        MofNCompleteColumn(table_column=whole()),
        TextColumn("{task.fields[bad]}", table_column=whole()),
        TimeElapsedColumn(table_column=whole()),
        TimeRemainingColumn(table_column=whole()),
        TextColumn("left", table_column=whole()),
        TextColumn(
            "{task.fields[last]}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
        ),
    )
    counts: Counter[Status] = Counter()
    with Progress(*columns, console=Console(file=to), expand=True) as bar:
        line = bar.add_task("jobs", total=total, last="", bad="")

        def show(record: Record) -> None:
            if isinstance(record, FitRecord):
                bar.console.print(fit_line(record, folder), markup=False, emoji=False)
                return
            counts[record.status] += 1
            bad = " ".join(f"[red]{n} {s}[/red]" for s, n in counts.items() if s != Status.ok)
            bar.update(line, advance=1, bad=bad, last=f"{record.method} on {record.task}")
            if record.status.is_failure:
                bar.console.print(failure_line(record, folder), markup=False, emoji=False)

        yield show


def _lines(total: int, folder: Path, to: TextIO) -> Show:
    counts: Counter[Status] = Counter()
    begin = last = time.monotonic()
    # The time left is told from the jobs after the last fit, which may take longer than all jobs,
    # or after the first job, before which the run itself starts.
    since, before = begin, 0

    def show(record: Record) -> None:
        nonlocal last, since, before
        now = time.monotonic()
        if isinstance(record, FitRecord):
            since, last, before = now, now, counts.total()
            print(fit_line(record, folder), file=to, flush=True)
            return
        counts[record.status] += 1
        done = counts.total()
        if done == 1 and since == begin:
            since, before = now, 1
        if record.status.is_failure:
            print(failure_line(record, folder), file=to, flush=True)
        if now - last >= LOG_EVERY_S or done == total:
            last = now
            left = ""
            if done > before:
                seconds = (now - since) / (done - before) * (total - done)
                left = f", about {seconds:.0f} s left"
            tally = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
            spent = now - begin
            print(
                f"{done}/{total} jobs ({tally}), {spent:.0f} s{left}",
                file=to,
                flush=True,
            )

    return show


def _only_fits(record: Record, folder: Path, to: TextIO) -> None:
    """What is shown where there is no job."""
    if isinstance(record, FitRecord):
        print(fit_line(record, folder), file=to, flush=True)


def failure_line(record: JobRecord, folder: Path) -> str:
    """One line about a job that failed."""
    return f"{record.method} on {record.task}: {_end(record, folder)}"


def fit_line(record: FitRecord, folder: Path) -> str:
    """One line about a fit that ended."""
    took = "" if record.wall_s is None else f", {record.wall_s:.0f} s"
    end = "" if record.status == Status.ok else f": {_end(record, folder)}"
    return f"trained {record.method} on {record.n_tasks} tasks{took}{end}"


def log_note(record: Record, folder: Path) -> str:
    """Where what a failure printed lies, or the key of a failure that printed nothing."""
    if record.log:
        return f"(log: {folder / record.log})"
    return f"(it printed nothing; key {record.key})"


def _end(record: Record, folder: Path) -> str:
    note = f" {log_note(record, folder)}" if record.failed else ""
    return f"{record.status}: {record.reason}{note}"
