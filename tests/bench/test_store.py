"""What is written to a store comes back, many may write at once, and damage costs only itself."""

import contextlib
import dataclasses
import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from cdnbench.digest import digest
from cdnbench.errors import BenchError
from cdnbench.problems import Problems
from cdnbench.record import (
    FitRecord,
    JobRecord,
    NotARecord,
    Provenance,
    Status,
    TaskRecord,
    record_of,
)
from cdnbench.segment_reader import SegmentReader
from cdnbench.segments import SegmentWriter, Stored, checked
from cdnbench.store import Store
from cdnbench.truth import ARRAYS, Truth

ORIGIN = Provenance(versions={"numpy": "2"}, git_sha="ab", dirty=True, host="here")


def a_task(name: str = "t") -> TaskRecord:
    shapes = {spec.name: (2, 3)[: spec.metadata["axes"]] for spec in ARRAYS}
    rng = np.random.default_rng(len(name))
    arrays = {spec.name: rng.integers(2, size=shapes[spec.name]) for spec in ARRAYS}
    return TaskRecord(
        hash=digest(name),
        name=name,
        suite="s",
        variables=("a", "b", "c"),
        candidates=np.ones((2, 3), bool),
        truth=Truth(**arrays, facts={"perturbation": "a+b"}),
        metadata={"dataset": "d", "dose": 2},
        setting=("dose",),
        factors={"dose": "1"},
    )


def a_job(key: str = "k", status: Status = Status.ok, **fields) -> JobRecord:
    known = {"suite": "s", "method": "m", "task": "t", "task_hash": digest("t")}
    return JobRecord(**{**known, "provenance": ORIGIN, "key": key, "status": status, **fields})


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "s").create()


def again(store: Store) -> Store:
    return Store(store.folder)


def test_everything_comes_back(store):
    task = a_task()
    job = a_job(
        metadata={"dose": 2},
        setting=("dose",),
        factors={},
        variants=("soft", "set"),
        converged=False,
        facts={"steps": 3},
        wall_s=0.5,
        note="not quite",
        knowledge={"a": "b"},
    )
    scores = {"soft": np.array([[1.0, np.nan, -np.inf]]), "set": np.zeros((1, 3))}
    fit = FitRecord(key="f", suite="s", method="m", status=Status.timeout, n_tasks=4)
    store.write_task(task)
    store.write_job(job, scores)
    store.write_fit(fit)
    for found in (store, again(store)):
        assert list(found.records()) == [fit, job] and found.is_done(job) and not found.problems
        for name, array in scores.items():
            np.testing.assert_array_equal(found.scores("k")[name], array)
        known = found.task(task.hash)
        assert known.plain() == task.plain()
        assert known.arrays.keys() == task.arrays.keys()
        for name, array in task.arrays.items():
            np.testing.assert_array_equal(known.arrays[name], array)
            assert known.arrays[name].dtype == array.dtype


def test_the_only_reading_of_a_method_has_no_name(store):
    store.write_job(a_job(), {"": np.ones((1, 2))})
    assert again(store).scores("k")[""].tolist() == [[1.0, 1.0]]


def test_the_last_record_of_a_job_counts_and_keeps_its_scores(store):
    store.write_job(a_job(), {"": np.ones((1, 2))})
    other = again(store)  # another run on the same folder
    other.write_job(a_job(wall_s_single=2.0))
    assert store.refresh().job("k").wall_s_single == 2.0
    assert store.scores("k")[""].tolist() == [[1.0, 1.0]]
    store.write_job(a_job(status=Status.error))
    for found in (store, other.refresh(), again(store)):
        assert found.job("k").status == Status.error
        with pytest.raises(OSError):
            found.scores("k")


def test_a_job_without_its_task_is_not_done(store):
    store.write_job(a_job(), {"": np.ones((1, 2))})
    assert not store.is_done(store.job("k"))
    store.write_task(a_task())
    assert store.is_done(store.job("k")) and again(store).is_done(store.job("k"))


def test_a_log_goes_with_its_failure(store):
    log = store.folder / store.log_of(JobRecord, "k")
    log.write_text("no luck")
    store.write_job(a_job(status=Status.error, log=store.log_of(JobRecord, "k")))
    assert log.exists()
    store.write_job(a_job(), {"": np.ones((1, 2))})
    assert not log.exists()


def test_a_line_that_is_still_being_written_is_no_record_yet(store):
    store.write_job(a_job(), {"": np.ones((1, 2))})
    (lines,) = (store.folder / "records").glob("*.jsonl")
    text = b'{"kind":"predict","key":"half","suite":"s","method":"m","status":"skipped","task":"t"}'
    with lines.open("ab") as file:
        file.write(text[:30])
    found = again(store)
    assert [r.key for r in found.records()] == ["k"] and not found.problems
    with lines.open("ab") as file:
        file.write(checked(text)[30:] + b"\n")
    assert [r.key for r in found.records()] == ["half", "k"] and not found.problems


def test_a_line_that_nobody_writes_any_more_is_named(store):
    store.write_job(a_job(), {"": np.ones((1, 2))})
    store.close()
    (lines,) = (store.folder / "records").glob("*.jsonl")
    whole = lines.read_bytes()
    lines.write_bytes(whole + b'{"kind": "predict", "key": "half')
    found = again(store)
    assert [r.key for r in found.records()] == ["k"]
    assert found.problems == [f"{lines} line 4: it ends in the middle of a line."]
    assert found.create().moved and lines.read_bytes() == whole
    assert again(store).problems == []


def test_runs_that_heal_one_segment_at_once_lose_none_of_its_good_lines(store):
    for i in range(8):
        store.write_job(a_job(f"k{i}"), {"": np.ones((1, 2))})
    store.close()
    (lines,) = (store.folder / "records").glob("*.jsonl")
    lines.write_bytes(lines.read_bytes().replace(b'"key":"k3"', b'"key":"x3"'))
    damaged = lines.read_bytes()
    first, second = again(store), again(store)
    assert len(first.problems) == len(second.problems) == 1
    assert len(first.create().moved) == 1
    healed = lines.read_bytes()
    assert second.create().moved == second.problems == []
    assert lines.read_bytes() == healed
    good = [f"k{i}" for i in range(8) if i != 3]
    for found in (first, second, again(store)):
        assert [record.key for record in found.records()] == good and not found.problems
    (aside,) = (store.folder / "set-aside").rglob("*.jsonl")
    assert aside.read_bytes() == damaged


@pytest.mark.parametrize("failing", ["arrays", "line"])
def test_what_is_written_after_a_full_disk_is_whole(tmp_path, monkeypatch, failing):
    writer, write = SegmentWriter(tmp_path), os.write
    for number in range(3):
        calls = iter(("arrays", "line"))

        def write_half(descriptor, content, number=number, calls=calls):
            if next(calls, "") == failing and number == 1:
                write(descriptor, bytes(content)[:5])
                raise OSError(errno.ENOSPC, "disk full")
            return write(descriptor, content)

        monkeypatch.setattr(os, "write", write_half)
        with pytest.raises(OSError) if number == 1 else contextlib.nullcontext():
            writer.append({"number": number}, {"scores": np.full((2, 3), number)})
    problems = Problems(tmp_path)
    reader = SegmentReader(tmp_path, problems)
    values = [line.value for line in reader.new_lines()]
    found = {each["number"]: Stored.of_plain(each["arrays"]) for each in values}
    assert list(found) == [0, 2] and not problems.texts
    assert (reader.arrays(found[2])["scores"] == 2).all()


def test_a_segment_that_began_on_a_full_disk_tells_its_format(tmp_path, monkeypatch):
    def full(descriptor, content):
        raise OSError(errno.ENOSPC, "disk full")

    writer = SegmentWriter(tmp_path)
    with monkeypatch.context() as disk, pytest.raises(OSError):
        disk.setattr(os, "write", full)
        writer.append({"number": 0})
    writer.append({"number": 1})
    writer.append({"number": 2})
    writer.close()
    first, *others = (tmp_path / f"{writer.name}.jsonl").read_text().splitlines()
    assert "format" in first and len(others) == 2


def test_records_after_a_full_disk_have_their_provenance(store, monkeypatch):
    store.write_job(a_job("before"), {"": np.ones((1, 2))})
    other = dataclasses.replace(ORIGIN, host="there", git_sha="cd")

    def full(descriptor, content):
        raise OSError(errno.ENOSPC, "disk full")

    with monkeypatch.context() as disk, pytest.raises(OSError):
        disk.setattr(os, "write", full)
        store.write_job(a_job("full", Status.error, provenance=other))
    store.write_job(a_job("after", Status.error, provenance=other))
    found = again(store)
    assert [record.key for record in found.records()] == ["after", "before"]
    assert [record.provenance for record in found.records()] == [other, ORIGIN]


@pytest.mark.parametrize(
    "line", [b"not json", b"[1, 2]", b'{"a": 1}', b'{"kind": "task"}', b'{"status": "fine"}']
)
def test_a_line_that_is_no_record_is_named_and_left_out(store, line):
    store.write_job(a_job(), {"": np.ones((1, 2))})
    (store.folder / "records" / "stray.jsonl").write_bytes(line + b"\n")
    found = again(store)
    assert [r.key for r in found.records()] == ["k"] and len(found.problems) == 1


def test_arrays_that_are_cut_off_or_damaged_are_not_taken_for_scores(store):
    store.write_task(a_task())
    store.write_job(a_job(), {"": np.random.default_rng(0).random((50, 3))})
    store.close()
    (arrays,) = (store.folder / "records").glob("*.arrays")
    content = bytearray(arrays.read_bytes())
    content[-5] ^= 1
    arrays.write_bytes(content)
    found = again(store)
    with pytest.raises(ValueError, match="damaged"):
        found.scores("k")
    assert not found.is_done(found.job("k"))  # a run makes it again
    os.truncate(arrays, len(content) - 1)
    found = again(store)
    assert not found.is_done(found.job("k"))


def test_many_threads_and_processes_write_at_once(store):
    def write(start):
        for i in range(start, start + 50):
            store.write_job(a_job(f"{i:03}"), {"": np.full((1, 1), float(i))})

    threads = [threading.Thread(target=write, args=(50 * t,)) for t in range(4)]
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); import test_store as t, numpy as np\n"
        "store = t.Store(sys.argv[1])\n"
        "for i in range(500, 550): store.write_job(t.a_job(str(i)), {'': np.full((1, 1), i * 1.0)})"
    )
    here = str(Path(__file__).parent)
    process = subprocess.Popen([sys.executable, "-c", code, str(store.folder), here])
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert process.wait(60) == 0
    found = again(store)
    keys = [record.key for record in found.jobs()]
    assert keys == [f"{i:03}" for i in [*range(200), *range(500, 550)]]
    assert all(found.scores(key)[""].item() == float(key) for key in keys)


def test_a_model_is_moved_into_the_store_before_its_record(store, tmp_path):
    np.savez(tmp_path / "made.npz", w=np.arange(3))
    record = FitRecord(key="f", suite="s", method="m", status=Status.ok)
    store.write_fit(record, tmp_path / "made.npz")
    assert again(store).fit("f") == record and again(store).model("f")["w"].tolist() == [0, 1, 2]
    store.model_path("f").unlink()
    assert again(store).fit("f") is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "s").write_text("a file")
    with pytest.raises(BenchError, match="Cannot write results to .*--out"):
        Store(tmp_path / "s").create()


# Records


@pytest.mark.parametrize("status", Status)
def test_a_failure_is_neither_ok_nor_skipped(status):
    assert status.is_failure == (status not in ("ok", "skipped"))
    assert a_job(status=status).failed == status.is_failure
    unfitted = a_job(status=Status.skipped, unfitted=status)
    assert unfitted.failed == status.is_failure


def test_records_survive_json():
    job = a_job(unfitted=Status.oom, setting=("a",), variants=("x", "y"), converged=True)
    fit = FitRecord(key="f", suite="s", method="m", status=Status.killed, options={"n": 1})
    for record in (job, fit):
        assert record_of(json.loads(json.dumps(record.plain()))) == record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "fine"}, "status is 'fine'"),
        ({"kind": "dance"}, "kind is 'dance'"),
        ({"task": None, "method": None}, "lacks method, task"),
    ],
)
def test_what_is_not_a_record_says_why(change, message):
    values = {name: v for name, v in {**a_job().plain(), **change}.items() if v is not None}
    with pytest.raises(NotARecord, match=message):
        record_of(values)


# Stores of older versions


def test_older_stores_are_read_and_added_to(store):
    task, folder = a_task(), store.folder
    (folder / "jobs").mkdir()
    (folder / "tasks").mkdir()
    old = {
        "key": "old", "kind": "predict", "suite": "s", "task": "t", "task_hash": task.hash,
        "metadata": {"dataset": "d"}, "setting": ["a"], "method": "m", "method_version": "1",
        "variants": ["soft", "set"], "status": "ok", "reason": "", "facts": {}, "seed": 0,
        "note": "not converged within 10 steps", "versions": {"numpy": "1"}, "git_sha": "c",
        "wall_s": 1.5, "started_at": "2026-01-01",
    }  # fmt: skip
    failed = {**old, "key": "failed", "status": "error", "note": ""}
    skipped = {**old, "key": "skipped", "status": "skipped", "reason": "fit failed: timeout: x"}
    for record in (old, failed, skipped):
        (folder / "jobs" / f"{record['key']}.json").write_text(json.dumps(record))
    (folder / "jobs" / "failed.log").write_text("no luck")
    np.savez(folder / "jobs" / "old.npz", soft=np.ones((2, 3)), set=np.zeros((2, 3)))
    about = {"name": "t", "suite": "s", "metadata": {"a": 1}, "facts": {"b": 2}, "setting": ["a"]}
    np.savez(
        folder / "tasks" / f"{task.hash}.npz",
        about=np.array(json.dumps(about)),
        variables=np.array(["a", "b", "c"]),
        targets=task.truth.targets,
        candidates=task.candidates,
        ceiling=np.full((2, 3), 7.0),
    )
    (folder / "jobs" / "stray.json").write_text("[]")
    found = again(store)
    job = found.job("old")
    assert found.is_done(job) and job.converged is False and job.factors is None
    assert job.provenance.versions == {"numpy": "1"} and job.setting == ("a",)
    assert found.scores("old")["set"].tolist() == np.zeros((2, 3)).tolist()
    assert (found.task(task.hash).truth.ceiling_scores == 7.0).all()
    assert found.task(task.hash).truth.facts == {"b": 2}
    assert found.job("failed").log == "jobs/failed.log" and found.job("failed").failed
    assert found.job("skipped").unfitted == Status.timeout and found.job("skipped").failed
    assert len(found.problems) == 1 and "stray.json" in found.problems[0]
    found.write_job(dataclasses.replace(job, wall_s_single=3.0))  # timed: its scores move along
    assert again(found).job("old").wall_s_single == 3.0
    assert again(found).scores("old")["soft"].tolist() == np.ones((2, 3)).tolist()


HOSTILE = os.fsdecode(b"file \xff\x1b[2J\n\x00") + "\u2028" + "x" * 5000


def test_words_are_stored_so_that_they_can_be_printed(store):
    store.write_job(a_job(reason=HOSTILE, note=HOSTILE, facts={"a": [HOSTILE], HOSTILE: 1}), {})
    store.write_job(a_job("short", note="Grüße, 東京 😀"), {})
    for found in (store, again(store)):
        record = found.job("k")
        assert record.reason == record.note == record.facts["a"][0]
        assert len(record.reason) == 2000 and record.reason.encode()
        assert record.reason.startswith(r"file \udcff\x1b[2J\n\x00\u2028xxx")
        assert all(name.isprintable() and name.encode() for name in record.facts)
        assert found.job("short").note == "Grüße, 東京 😀"


def test_words_that_other_versions_stored_are_read_so_that_they_can_be_printed(tmp_path):
    values = a_job(status=Status.error).plain() | {"reason": "file \udcff\x1b"}
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "k.json").write_text(json.dumps(values))
    (tmp_path / "records").mkdir()
    line = json.dumps({**values, "key": "l", "provenance": "", "stored_at": 1.0})
    (tmp_path / "records" / "a.jsonl").write_text(line + "\n")
    assert [r.reason for r in Store(tmp_path).records()] == 2 * [r"file \udcff\x1b"]


@pytest.mark.parametrize("older", [True, False])
def test_stray_files_are_named_and_stop_nothing(tmp_path, older):
    folder = tmp_path / ("jobs" if older else "records")
    good = a_job(status=Status.error).plain()
    wrong = [{"a": 1}, [good], None, "x", {**good, "key": 1}, {**good, "status": [1]}]
    wrong += [{**good, "setting": 3}, {**good, "reason": {}}, {**good, "metadata": []}]
    deep = json.loads("[" * 800 + "]" * 800)
    wrong += [{**good, "wall_s": 10**400}, {**good, "metadata": {"a": deep}}]
    if not older:
        wrong += [{**good, "stored_at": "x"}, {**good, "arrays": [1, 2, 3]}]
        wrong += [{**good, "arrays": ["../../x", 0, 1, 0, []]}, {"kind": "task", "hash": "h"}]
        wrong += [{**good, "stored_at": 10**400}]
    folder.mkdir()
    texts = [json.dumps(value) for value in wrong] + ["{" * 100_000, "", "[" * 100_000]
    suffix = ".json" if older else ".jsonl"
    for i, text in enumerate(texts):
        (folder / f"{i}{suffix}").write_text(text + "\n")
    (folder / f"k{suffix}").write_text(json.dumps(good) + "\n")
    (folder / f"._k{suffix}").write_bytes(b"\0\5\26\7")
    (folder / f"bytes{suffix}").write_bytes(b"\xff\xfe\0\n")
    (folder / f"folder{suffix}").mkdir()
    (folder / f"nowhere{suffix}").symlink_to("nothing")
    os.mkfifo(folder / f"pipe{suffix}")
    store = Store(tmp_path)
    assert [r.key for r in store.records()] == ["k"]
    problems = len(store.problems)
    assert problems >= len(wrong) and all(p.isprintable() for p in store.problems)
    assert list(store.refresh().records()) and len(store.problems) == problems
    store.create().write_job(a_job("l", Status.error))
    store.close()
    assert [r.key for r in again(store).records()] == ["k", "l"]


def test_arrays_that_are_a_pipe_are_not_waited_for(store):
    store.write_task(a_task())
    store.write_job(a_job(), {"": np.zeros((1, 3))})
    store.close()
    (arrays,) = (store.folder / "records").glob("*.arrays")
    arrays.unlink()
    os.mkfifo(arrays)
    found = again(store)
    assert not found.is_done(found.job("k"))
    with pytest.raises(OSError, match="is a pipe"):
        found.scores("k")
