"""Two runs, compactions or a report beside a run on one folder: real processes."""

import subprocess
import sys

import pytest

from cdnbench.archive import Archive
from cdnbench.store import Store


def start(*words):
    quiet = subprocess.PIPE
    command = [sys.executable, "-m", "cdnbench.cli", *map(str, words)]
    return subprocess.Popen(command, stdout=quiet, stderr=subprocess.STDOUT, text=True)


def ends(*processes) -> list[int]:
    printed = [process.communicate(timeout=300)[0] for process in processes]
    assert not any("Traceback" in text for text in printed), printed
    return [process.returncode for process in processes]


@pytest.mark.slow
def test_two_runs_and_a_report(trials, sound, tmp_path):
    small = trials.small_stores
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "stray.jsonl").write_text("both set this aside\n")
    words = ("--suite", small.SUITE, "--methods", small.METHODS, "--limit", small.LIMIT)
    runs = [start("run", *words, "--jobs", 1, "--out", tmp_path) for _ in range(2)]
    report = start("report", tmp_path)
    assert ends(*runs) == [0, 0] and ends(report)[0] in (0, 2)
    store, whole = Store(tmp_path), Store(sound / "store")
    assert {job.key for job in store.jobs()} == {job.key for job in whole.jobs()}
    for job in store.jobs():
        assert store.is_done(job)
        assert store.scores(job.key)[""].tolist() == whole.scores(job.key)[""].tolist()
    assert store.problems == [] and len(list((tmp_path / "set-aside").rglob("stray.jsonl"))) == 1


@pytest.mark.slow
def test_two_compactions_into_one_archive(sound, tmp_path):
    whole = Store(sound / "store")
    for method in ("random", "target-shift"):
        part = Store(tmp_path / method).create()
        for job in whole.jobs():
            if job.method == method:
                part.write_task(whole.task(job.task_hash))
                part.write_job(job, whole.scores(job.key))
        part.close()
    both = [start("compact", tmp_path / m, tmp_path / "out") for m in ("random", "target-shift")]
    assert ends(*both) == [0, 0]
    (folder,) = (tmp_path / "out").iterdir()
    archive = Archive(folder)
    assert {job.key for job in archive.records()} == {job.key for job in whole.jobs()}
    assert archive.problems == [] and len(archive.tasks()) == 3
