"""What a run says while it runs."""

import io
import re
import sys

import pytest

from cdnbench.commands import progress
from cdnbench.commands.run import _alike
from cdnbench.record import FitRecord, JobRecord, Status


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


SILENT = "(it printed nothing; key k)"


def job(method: str, task: str, status: Status = Status.ok, reason: str = "") -> JobRecord:
    return JobRecord(
        key="k", suite="s", method=method, task=task, status=status, reason=reason, wall_s=1.0
    )


def fit(status: Status = Status.ok, reason: str = "", wall_s: float | None = 990.0) -> FitRecord:
    return FitRecord(
        key="k", suite="s", method="gears", n_tasks=83, status=status, reason=reason, wall_s=wall_s
    )


def test_the_time_left_does_not_count_the_fits(clock, capsys):
    with progress.progress(10) as show:
        clock[0] = 1000.0
        show(fit())
        clock[0] = 1001.0  # another thread ends a job right after the fit: too soon to tell
        show(job("linear", "a"))
        clock[0] = 1020.0
        show(job("gears", "a"))
        clock[0] = 1040.0
        show(job("gears", "b", Status.error, "no such gene"))
    assert capsys.readouterr().out.splitlines() == [
        "trained gears on 83 tasks, 990 s",
        "2/10 jobs (2 ok), 1020 s, about 80 s left",
        "gears on b: error: no such gene (it printed nothing; key k)",
        "3/10 jobs (1 error, 2 ok), 1040 s, about 93 s left",
    ]


def test_the_time_left_does_not_count_the_start(clock, capsys):
    with progress.progress(4, to=sys.stderr) as show:
        for clock[0] in (30.0, 41.0, 52.0):
            show(job("m", "a"))
    written = capsys.readouterr()
    assert written.out == "" and written.err.splitlines() == [
        "1/4 jobs (1 ok), 30 s",
        "2/4 jobs (2 ok), 41 s, about 22 s left",
        "3/4 jobs (3 ok), 52 s, about 11 s left",
    ]


@pytest.mark.parametrize(("wall_s", "took"), [(9.4, ", 9 s"), (None, "")])
def test_a_failed_fit_says_why(capsys, wall_s, took):
    with progress.progress(1) as show:
        show(fit(Status.error, "no edges", wall_s))
    assert capsys.readouterr().out == f"trained gears on 83 tasks{took}: error: no edges {SILENT}\n"


def test_reasons_that_differ_in_numbers_are_told_once():
    reasons = [
        ("a", "120 variables; at most 100"),
        ("b", "no edges"),
        ("a", "103 variables; at most 100"),
        ("a", "x"),
    ]
    assert _alike(reasons) == [
        ("a", "e.g. 103 variables; at most 100", 2),
        ("b", "no edges", 1),
        ("a", "x", 1),
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_bar_keeps_counts_and_time_left_in_a_narrow_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with progress.progress(12345, to=terminal) as show:
        for status in (Status.ok, Status.timeout, Status.error, Status.ok):
            reason = "no such gene" if status.is_failure else ""
            show(
                job(
                    "regression-invariance",
                    "linear/hard/[er]/a-task-with-a-long-name",
                    status,
                    reason,
                )
            )
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    last = [line for line in re.split(r"[\r\n]", shown) if "12345" in line][-1]
    assert len(last) <= columns
    assert re.search(r"4/12345 +1 timeout 1 error +\d:\d\d:\d\d +[\d:-]+ left", last)
    assert ("linear/hard/[er]/a-task-with-a-long-name" in last) == (columns == 200)
