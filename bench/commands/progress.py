"""How a run shows where it is: a live bar on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

LOG_EVERY_S = 10.0

Show = Callable[[dict[str, Any]], None]


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
    counts: Counter[str] = Counter()
    with Progress(*columns) as bar:
        line = bar.add_task("jobs", total=total, last="")

        def show(record: dict[str, Any]) -> None:
            if record["kind"] == "fit":
                bar.console.print(_fit_line(record), markup=False, emoji=False)
                return
            counts[record["status"]] += 1
            failures = " ".join(
                f"[red]{n} {status}[/red]" for status, n in counts.items() if status != "ok"
            )
            bar.update(line, advance=1, last=f"{record['method']} on {record['task']} {failures}")
            if record["status"] not in ("ok", "skipped"):
                bar.console.print(
                    f"{record['method']} on {record['task']}: {record['status']}: "
                    f"{record['reason']}",
                    markup=False,
                    emoji=False,
                )

        yield show


def _lines(total: int) -> Show:
    counts: Counter[str] = Counter()
    begin = last = time.monotonic()
    # The time left is told from the jobs after the last fit, which may take longer than all of
    # them.
    since, before = begin, 0

    def show(record: dict[str, Any]) -> None:
        nonlocal last, since, before
        now = time.monotonic()
        if record["kind"] == "fit":
            since, last, before = now, now, counts.total()
            print(_fit_line(record), flush=True)
            return
        counts[record["status"]] += 1
        done = counts.total()
        if record["status"] not in ("ok", "skipped"):
            print(
                f"{record['method']} on {record['task']}: {record['status']}: {record['reason']}",
                flush=True,
            )
        if now - last >= LOG_EVERY_S or done == total:
            last = now
            left = (now - since) / (done - before) * (total - done)
            tally = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
            print(
                f"{done}/{total} jobs ({tally}), {now - begin:.0f} s, about {left:.0f} s left",
                flush=True,
            )

    return show


def _fit_line(record: dict[str, Any]) -> str:
    end = "" if record["status"] == "ok" else f": {record['status']}: {record['reason']}"
    return f"trained {record['method']} on {record['n_tasks']} tasks, {record['wall_s']:.0f} s{end}"
