"""Failures of jobs and fits as a user sees them: told once, with a log that exists, until they are
mended."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cdnbench.commands.run import failure_summary
from cdnbench.record import FitRecord, JobRecord, Status
from cdnbench.store import Store


def bench_run(folder, methods, *more):
    command = [sys.executable, "-m", "cdnbench.cli", "run", "--suite", "tiny", "--methods", methods]
    environment = {**os.environ, "COLUMNS": "160"}
    return subprocess.run(
        [*command, "--out", "out", *more],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )


def logs_named(output: str) -> list[str]:
    return re.findall(r"\(log: (\S+)\)", output)


@pytest.mark.parametrize(
    ("how", "status"), [("prints-and-loops", "timeout"), ("prints-and-dies", "error")]
)
def test_a_fit_without_a_time_is_told_with_its_log(faulty, tmp_path, how, status):
    result = bench_run(tmp_path, f"learner:how={how}", "--timeout", "1", "--limit", "1")
    assert result.returncode == 1 and not result.stderr, result.stderr
    assert f"trained learner on 2 tasks: {status}: " in result.stdout
    (log,) = logs_named(result.stdout)
    assert "about to fail" in (tmp_path / log).read_text()
    (fit,) = (r for r in Store(tmp_path / "out").records() if isinstance(r, FitRecord))
    assert fit.wall_s is None and fit.key in log


def test_the_same_command_again_fails_as_well_until_it_is_mended(faulty, tmp_path):
    for more in ([], [], ["--retry"]):
        result = bench_run(tmp_path, "learner:how=raises", "--limit", "1", *more)
        assert result.returncode == 1 and "1 jobs failed" in result.stdout
        reason = "learner: skipped: fit failed: error: RuntimeError: it diverged"
        assert result.stdout.count(reason) == 1
        (log,) = logs_named(result.stdout)
        assert "it diverged" in (tmp_path / log).read_text()


def test_a_method_that_cannot_be_trained_did_not_fail(faulty, tmp_path):
    for _ in range(2):
        result = bench_run(tmp_path, "learner:how=refuses", "--limit", "1")
        assert result.returncode == 0, result.stdout
        assert "learner: skipped: cannot be trained: too few tasks" in result.stdout
    (job,) = Store(tmp_path / "out").jobs()
    assert job.unfitted == Status.skipped and not job.failed


def test_every_kind_of_failure_names_a_log(faulty, tmp_path):
    result = bench_run(tmp_path, "raises,learner:how=raises,good", "--limit", "2")
    assert result.returncode == 1
    assert len(logs_named(result.stdout)) == 2
    assert all((tmp_path / log).stat().st_size for log in logs_named(result.stdout))
    store = Store(tmp_path / "out")
    for record in store.records():
        bad = record.failed or isinstance(record, FitRecord)
        assert bool(record.log) == bad and (not bad or (store.folder / record.log).is_file())


def test_a_failure_that_printed_nothing_says_so():
    known = {"suite": "s", "method": "m", "task": "t", "status": Status.killed, "reason": "by X"}
    (line,) = failure_summary([JobRecord(key=str(i), **known) for i in range(3)], Path("out"))
    assert line == "3 x m: killed: by X (it printed nothing)"


def test_the_clock_of_a_task_does_not_count_what_is_done_with_the_others(monkeypatch):
    from cdnbench.runners import worker

    now = [0.0]
    monkeypatch.setattr(worker.time, "perf_counter", lambda: now[0])

    def results():
        for i in range(3):
            now[0] += 1.0  # the method at work
            yield i

    clock = worker._Clock()
    for _ in clock.over(results()):
        now[0] += 100.0  # the result is sent and stored
    assert clock.costs().wall_s == 3.0
