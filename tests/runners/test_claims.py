"""Runs on one folder share its jobs, and take over those of a run that died."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from cdnbench.runners import claims as module
from cdnbench.runners.claims import Claims
from cdnbench.store import Store


def dies(claims):
    """End a run as SIGKILL does: its lock is gone, its files stay."""
    claims._ended.set()
    claims._toucher.join()
    os.close(claims._descriptor)
    claims._descriptor = os.open(os.devnull, os.O_RDONLY)


def test_one_run_gets_a_job_and_the_other_does_not(tmp_path):
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take("a") and not other.take("a") and other.take("b")
        assert one.take("a"), "a run keeps what it has"
        assert other.held_elsewhere("a") and not one.held_elsewhere("a")
        one.release("a")
        assert not other.held_elsewhere("a") and other.take("a")
    assert list(tmp_path.iterdir()) == []


def test_a_job_of_a_run_that_died_is_taken_over_by_one_only(tmp_path):
    with Claims(tmp_path) as one, Claims(tmp_path) as two, Claims(tmp_path) as three:
        assert one.take("a")
        dies(one)
        assert not two.held_elsewhere("a")
        assert [two.take("a"), three.take("a")] == [True, False]
        dies(two)
        assert three.take("a")
        three.release("a")
        assert not [p for p in (tmp_path / "claims").iterdir() if p.name.startswith("a.")]


def test_a_run_on_another_machine_is_believed_dead_only_after_a_silence(tmp_path, monkeypatch):
    with Claims(tmp_path, "there") as there, Claims(tmp_path, "here") as here:
        assert there.take("a")
        dies(there)
        assert not here.take("a"), "its lock may just not be seen from here"
        path = tmp_path / "claims" / there._name
        os.utime(path, (time.time() - 120, time.time() - 120))
        assert here.take("a")


def test_a_claim_that_is_still_being_written_counts(tmp_path):
    with Claims(tmp_path) as claims:
        half = tmp_path / "claims" / "a.0"
        half.touch()
        assert not claims.take("a")
        os.utime(half, (time.time() - 120, time.time() - 120))
        assert claims.take("a")


@pytest.mark.parametrize("words", ["../../x.alive", "nobody", "0123.alive"])
def test_a_claim_of_nobody_holds_nothing_up(tmp_path, words):
    with Claims(tmp_path) as claims:
        (tmp_path / "claims" / "a.0").write_text(words)
        assert claims.take("a")


def test_a_run_that_lives_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TOUCH_S", 0.01)
    with Claims(tmp_path) as claims:
        path = tmp_path / "claims" / claims._name
        os.utime(path, (0, 0))
        end = time.monotonic() + 10
        while path.stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


# --- runs


def start(tmp_path, methods, *more):
    command = [sys.executable, "-m", "cdnbench.cli", "run", "--suite", "tiny", "--methods", methods]
    command += ["--out", str(tmp_path / "results"), "--jobs", "1", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def made_by_key(store):
    """How often each job's result was written."""
    lines = [
        line
        for path in (store.folder / "records").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    return Counter(line.split('"key":"')[1].split('"')[0] for line in lines if '"key":"' in line)


def test_two_runs_on_one_folder_do_each_job_once(faulty, tmp_path):
    runs = [start(tmp_path, "slow:seconds=0.4", "--seeds", "0,1,2") for _ in range(2)]
    printed = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], printed
    store = Store(tmp_path / "results")
    assert len(list(store.jobs())) == 12 and set(made_by_key(store).values()) == {1}
    assert all("12" in text for text in printed), "both show all results"
    assert not (store.folder / "claims").exists()


def test_a_run_finishes_what_one_that_was_killed_had_claimed(faulty, tmp_path):
    first = start(tmp_path, "slow:seconds=3")
    results = tmp_path / "results"
    end = time.monotonic() + 60
    while not list((results / "claims").glob("*.0")) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert list((results / "claims").glob("*.0"))
    second = start(tmp_path, "slow:seconds=3", "--limit", "1")
    printed = second.communicate(timeout=120)[0]
    assert second.returncode == 0, printed
    assert [record.status for record in Store(results).jobs()] == ["ok"]


def test_a_fit_is_made_by_one_of_two_runs(faulty, tmp_path):
    trace = tmp_path / "trace"
    runs = [start(tmp_path, f"learner:trace={trace}") for _ in range(2)]
    printed = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], printed
    assert len(trace.read_text().split()) == 2  # one for the even tasks, one for the odd ones


def test_two_runs_train_two_things_at_once(faulty, tmp_path):
    runs = [start(tmp_path, f"learner:how=meets,trace={tmp_path / 'trace'}") for _ in range(2)]
    printed = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], printed
    records = list(Store(tmp_path / "results").jobs())
    assert records and {record.status for record in records} == {"ok"}, printed
