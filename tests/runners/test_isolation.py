"""A job touches only itself: what it does to its input, its folder, its descriptors or its limits
costs at most its own result."""

import errno
import mmap
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from cdnbench.runners import sealed
from cdnbench.runners.api import prepared
from cdnbench.runners.plan import Limits, make_plan
from cdnbench.runners.run import Mode, Run
from cdnbench.runners.samples import Changed, copy_samples, take_samples, write_samples
from cdnbench.runners.scratch import scratch_folder
from cdnbench.runners.server import search_path
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


@pytest.fixture(params=["sealed", "copied"])
def kept(request, monkeypatch):
    """Both ways in which a job is given its input; the one is for Linux only."""
    if request.param == "copied":
        monkeypatch.setattr(sealed, "MOST_MB", 0)
    return request.param


@pytest.mark.parametrize("how", ["array", "file"])
def test_a_method_that_writes_to_its_input_gets_an_error_of_its_own(faulty, tmp_path, how, kept):
    store = sweep(tmp_path, f"vandal:how={how},good", limit=2)
    assert {(r.method, r.status) for r in store.jobs()} == {("vandal", "error"), ("good", "ok")}
    assert scores_of(store, "good") == scores_of(sweep(tmp_path, "good", "alone", limit=2), "good")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_method_that_changes_the_runs_copy_does_not_change_what_the_next_reads(
    faulty, tmp_path, jobs, kept
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
    read = take_samples(own, checksums)
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
    with pytest.raises(Changed):  # the half copy
        take_samples(own, checksums)
    with pytest.raises(Changed):
        take_samples(own, checksums)  # it is gone
    assert np.array_equal(read.regimes[0], a_task().regimes[0])


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux has sealed files")
def test_a_sealed_task_is_the_same_and_cannot_be_changed_by_its_owner(tmp_path):
    checksums = write_samples(tmp_path / "kept", a_task())
    sealer = sealed.Sealer()
    kept = sealer.seal(tmp_path / "kept", checksums)
    assert kept is not None
    read = sealed.open_sealed(os.dup(kept))
    assert np.array_equal(read.observational, a_task().observational)
    assert np.array_equal(read.regimes[0], a_task().regimes[0])
    assert np.array_equal(read.candidates, a_task().candidates)
    assert (read.name, read.variables) == ("task", a_task().variables)
    with pytest.raises(ValueError):
        read.observational.flags.writeable = True
    for change in (lambda fd: os.pwrite(fd, b"x", 0), lambda fd: os.ftruncate(fd, 1)):
        with pytest.raises(PermissionError):
            change(kept)
        again = os.open(f"/proc/self/fd/{kept}", os.O_RDWR)
        with pytest.raises(PermissionError):
            change(again)
        os.close(again)
    with pytest.raises(PermissionError):
        mmap.mmap(kept, 0, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    sealer.forget(kept)
    (tmp_path / "kept").chmod(0o755)
    (tmp_path / "kept" / "rows.npy").unlink()
    with pytest.raises(Changed):
        sealer.seal(tmp_path / "kept", checksums)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux has sealed files")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_is_interrupted_leaves_no_file_in_memory(faulty, tmp_path, jobs):
    def in_memory():
        named = (os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
        return [name for name in named if "memfd:samples" in name]

    def interrupt(_):
        raise KeyboardInterrupt

    plan = make_plan("tiny", {}, "good", limits=Limits(timeout_s=60))
    with pytest.raises(KeyboardInterrupt):
        Run(plan, Store(tmp_path / "results"), jobs=jobs, on_record=interrupt).execute()
    assert not in_memory()


def test_tasks_that_are_too_large_or_too_many_are_not_sealed(tmp_path, monkeypatch):
    checksums = write_samples(tmp_path / "kept", a_task())
    monkeypatch.setattr(sealed, "MOST_FILES", 1)
    sealer = sealed.Sealer()
    first = sealer.seal(tmp_path / "kept", checksums)
    assert sealer.seal(tmp_path / "kept", checksums) is None
    if first is not None:
        sealer.forget(first)
    monkeypatch.setattr(sealed, "MOST_MB", 0)
    assert sealer.seal(tmp_path / "kept", checksums) is None


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


def ends(store):
    return {(r.method, r.task): (r.status, r.reason) for r in store.jobs()}


def test_a_task_whose_process_was_killed_is_made_by_a_fresh_one(faulty, tmp_path):
    store = sweep(tmp_path, "good", options={"dies": str(tmp_path / "died")}, limit=2)
    assert (tmp_path / "died").exists() and {e[0] for e in ends(store).values()} == {"ok"}
    assert scores_of(store, "good") == scores_of(sweep(tmp_path, "good", "whole", limit=2), "good")


@pytest.mark.parametrize(
    ("fault", "words"),
    [("exit", "the suite's process ended with code 7, both times"), ("full", "is full; make room")],
)
def test_what_the_harness_broke_is_run_again(faulty, tmp_path, fault, words):
    options = {"n": 2, "fault": fault}
    before = {r.task: r for r in sweep(tmp_path, "good", options=options).jobs()}
    assert before["tiny/0"].status == "ok" and before["tiny/1"].status == "error"
    assert words in before["tiny/1"].reason and before["tiny/1"].outside
    after = {r.task: r for r in sweep(tmp_path, "good", options={"n": 2}).jobs()}
    assert after["tiny/0"] == before["tiny/0"] and after["tiny/1"].status == "ok"


def test_a_copy_that_finds_no_room_is_reported_and_run_again(faulty, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sealed, "MOST_MB", 0)
        patch.setattr("cdnbench.runners.task_maker.copy_samples", full)
        (record,) = sweep(tmp_path, "good", limit=1).jobs()
    assert record.status == "error" and "is full; make room" in record.reason
    assert next(sweep(tmp_path, "good", limit=1).jobs()).status == "ok"


@pytest.mark.parametrize(
    ("how", "words"),
    [("python", "MemoryError"), ("system", "Cannot allocate memory"), ("torch", "allocate memory")],
)
def test_memory_that_a_library_does_not_get_is_out_of_memory(faulty, tmp_path, how, words):
    (record,) = sweep(tmp_path, f"no-memory:how={how}", limit=1).jobs()
    assert record.status == "oom" and words in record.reason


def test_hostile_words_reach_neither_the_store_nor_the_terminal(faulty, tmp_path):
    def bench(*arguments):
        command = [sys.executable, "-m", "cdnbench.cli", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)

    methods = "says,says:fails=false,good"
    result = bench("run", "--suite", "tiny", "--methods", methods, "--limit", "1", "--out", "out")
    assert result.returncode == 1, result.stderr
    shown = result.stdout + bench("report", "out", "--table", "jobs").stdout
    assert b"file" in shown and b"\x1b" not in shown and b"\x00" not in shown
    assert b"Traceback" not in result.stderr
    records = list(Store(tmp_path / "out").jobs())
    found = sorted((r.status, r.reason[:30]) for r in records)
    assert [status for status, _ in found] == ["error", "ok", "ok"], found
    for record in records:
        words = record.reason + record.note + "".join(map(str, record.facts.values()))
        assert words.encode().decode().isprintable() and len(words) < 2100
    html = tmp_path / "page.html"
    assert bench("report", "out", "--html", str(html)).returncode == 0
    assert "\x1b" not in html.read_text(encoding="utf-8")


def test_stray_files_in_a_store_stop_neither_a_run_nor_a_report(faulty, tmp_path):
    for name in ("jobs", "records", "tasks", "models/x"):
        (tmp_path / "results" / name).mkdir(parents=True)
    for name in ("jobs/a.json", "jobs/._a.json", "records/a.jsonl", "records/._a.jsonl"):
        for n, text in enumerate(["", "[]", '{"a": 1}', "\0\5"]):
            path = tmp_path / "results" / name
            path.with_name(path.name.replace("a.", f"a{n}.")).write_text(text + "\n")
    for name in ("jobs/p.json", "records/p.jsonl", "models/x/record.json", "tasks/p.npz"):
        os.mkfifo(tmp_path / "results" / name)
    command = [sys.executable, "-m", "cdnbench.cli", "report", str(tmp_path / "results")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 2 and "No finished job" in result.stderr
    named = re.findall(r"^(/\S+) ", result.stderr, re.MULTILINE)
    strays = {"p.json", "p.jsonl", "record.json", "a1.json", "a1.jsonl", "._a0.json", "p.npz"}
    assert strays <= {Path(path).name for path in named}
    sweep(tmp_path, "good", limit=2)
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and "good" in result.stdout and "note:" not in result.stderr
    aside = [path for path in (tmp_path / "results" / "set-aside").rglob("*") if not path.is_dir()]
    assert strays <= {path.name for path in aside}


def test_folders_of_runs_that_are_gone_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = {
        f"cdnbench-{gone.pid}-ab12cd34": False,
        f"cdnbench-{os.getpid()}-ab12cd34": True,  # a run that goes on
        "cdnbench-notes": True,
        f"other-{gone.pid}-ab12cd34": True,
    }
    for name in names:
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "below").chmod(0o500)
    with scratch_folder() as folder:
        assert {name: (tmp_path / name).exists() for name in names} == names
        # Another container does not see our process, but meets our lock.
        hidden = "import cdnbench.runners.scratch as s; s.psutil.pid_exists = lambda pid: False\n"
        look = f"{hidden}s.remove_abandoned(s.Path({str(tmp_path)!r}))"
        subprocess.run([sys.executable, "-c", look], check=True)
        assert folder.exists() and not (tmp_path / f"cdnbench-{os.getpid()}-ab12cd34").exists()
    assert not folder.exists()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_the_default_number_of_jobs_is_that_of_the_cores_that_may_be_used(faulty):
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert prepared(make_plan("tiny", {}, "good")).jobs == 1
    finally:
        os.sched_setaffinity(0, before)
    assert prepared(make_plan("tiny", {}, "good")).jobs == len(before)
