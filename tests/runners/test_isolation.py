"""A job touches only itself: what it does to its input, its folder, its descriptors or its limits
costs at most its own result."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cdnbench.runners.plan import Limits, make_plan
from cdnbench.runners.processes import search_path
from cdnbench.runners.run import Mode, Run
from cdnbench.runners.samples import Changed, copy_samples, take_samples, write_samples
from cdnbench.store import Store
from cdnbench.task import Task


def sweep(tmp_path, methods, out="results", *, jobs=1, limit=None, options=None, **mode):
    plan = make_plan("tiny", options or {}, methods, limits=Limits(timeout_s=60), limit=limit)
    store = Store(tmp_path / out)
    Run(plan, store, Mode(**mode), jobs).execute()
    return store


def scores_of(store, method):
    return {r.task: store.scores(r.key)[""].tolist() for r in store.jobs() if r.method == method}


def a_task() -> Task:
    rows = np.arange(12.0).reshape(4, 3)
    return Task(name="t", variables=["a", "b", "c"], observational=rows, regimes=[rows + 1])


@pytest.mark.parametrize("how", ["array", "file"])
def test_a_method_that_writes_to_its_input_gets_an_error_of_its_own(faulty, tmp_path, how):
    store = sweep(tmp_path, f"vandal:how={how},good", limit=2)
    assert {(r.method, r.status) for r in store.jobs()} == {("vandal", "error"), ("good", "ok")}
    assert scores_of(store, "good") == scores_of(sweep(tmp_path, "good", "alone", limit=2), "good")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_method_that_changes_the_runs_copy_does_not_change_what_the_next_reads(
    faulty, tmp_path, jobs
):
    # The owner of a file can always make it writable, so this is the worst case for any user.
    store = sweep(tmp_path, "vandal:how=all,good,slow", jobs=jobs)
    alone = sweep(tmp_path, "good,slow", "alone")
    for method in ("good", "slow"):
        assert scores_of(store, method) == scores_of(alone, method)


def test_samples_are_maps_without_a_name_and_say_when_they_were_changed(tmp_path):
    kept, own = tmp_path / "kept", tmp_path / "own"
    checksums = write_samples(kept, a_task())
    copy_samples(kept, checksums, own)
    read = take_samples(own)
    assert not own.exists() and np.array_equal(read.regimes[0], a_task().regimes[0])
    for blocks in (read.observational, read.regimes[0]):
        with pytest.raises(ValueError):
            blocks.flags.writeable = True
    assert {path.stat().st_mode & 0o222 for path in (kept, *kept.iterdir())} == {0}
    (kept / "rows.npy").chmod(0o644)
    with open(kept / "rows.npy", "r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\1\2\3\4")
    with pytest.raises(Changed):
        copy_samples(kept, checksums, own)
    assert np.array_equal(read.regimes[0], a_task().regimes[0])


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("folder", "ok"),
        ("everything", "ok"),
        ("locked", "ok"),
        ("file-size", "error"),
        ("output", "error"),
        ("descriptors", "error"),
        ("connection", "error"),
        ("moves", "ok"),
    ],
)
def test_a_method_that_breaks_its_surroundings_costs_at_most_its_own_job(
    faulty, tmp_path, what, status
):
    store = sweep(tmp_path, f"good,wrecks:what={what},slow", limit=2)
    found = [(r.method, r.status) for r in store.jobs()]
    wanted = [("good", "ok"), ("slow", "ok"), ("wrecks", status)]
    assert sorted(found) == sorted(2 * wanted)
    (log,) = {r.log != "" for r in store.jobs() if r.method == "wrecks"}
    assert log == (status != "ok")


def test_the_current_folder_is_not_where_jobs_look_for_modules(faulty, tmp_path):
    here, wanted = tmp_path / "here", tmp_path / "wanted"
    here.mkdir()
    wanted.mkdir()
    for name in ("random", "colorsys", "json", "flat_package"):
        (here / f"{name}.py").write_text("")
    (wanted / "wanted_package.py").write_text("")
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(wanted)])
    command = "from cdnbench.cli import main; main()"
    for start in (["-P", "-c", command], ["-c", f"import random, json, colorsys; {command}"]):
        out = tmp_path / f"out{len(start)}"
        # The second way is how a shell's user meets it: Python itself puts the folder first, so
        # the run starts outside and moves in.
        result = subprocess.run(
            [sys.executable, *start, "run", "--suite", "tiny", "--methods", "looks,good"]
            + ["--limit", "1", "--out", str(out)],
            cwd=here if "-P" in start else tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
        )
        records = {r.method: r for r in Store(out).jobs()}
        assert records["good"].status == "ok", result.stderr
        expected = f"RuntimeError: True ['wanted_package'] ({path!r}, '')"
        assert records["looks"].reason == expected


def test_the_search_path_keeps_what_the_user_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    library = str(Path(os.__file__).parent)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), "/a", library, str(tmp_path)])
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert search_path() == ["/a", library, str(tmp_path)]  # the last is an installed package's
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/a", str(tmp_path)]))
    assert search_path() == [str(tmp_path), "/a", library, str(tmp_path)]
