"""What cannot be used is set aside, never deleted, and made anew."""

import os
import shutil

import pytest

from cdnbench import run
from cdnbench.store import Store


@pytest.fixture
def copy(sound, tmp_path):
    """A folder with a copy of each store."""
    shutil.copytree(sound, tmp_path / "copy")
    return tmp_path / "copy"


def again(trials, folder) -> Store:
    small = trials.small_stores
    run(small.SUITE, small.METHODS, out=folder, limit=small.LIMIT, jobs=1)
    return Store(folder)


def scores(store: Store) -> dict[str, list]:
    return {
        job.key: store.scores(job.key)[""].tolist() for job in store.jobs() if store.is_done(job)
    }


@pytest.mark.parametrize("form", ["store", "older store"])
def test_all_of_it_at_once(trials, copy, form):
    folder = copy / form
    expected = scores(Store(folder))
    assert len(expected) == 6
    broken = sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".jsonl", ".npz"))
    kept = {}
    for i, path in enumerate(broken):
        path.unlink()
        if i % 3 == 0:
            os.mkfifo(path)
        elif i % 3 == 1:
            path.symlink_to(path.name)
        else:
            path.write_text(f"no record {i}")
            kept[path.name] = path.read_text()
    healed = again(trials, folder)
    assert scores(healed) == expected
    assert healed.problems == []
    left = [path for path in broken if os.path.lexists(path)]
    for path in left:  # for which no job of the run asks
        assert path.suffix == ".npz" and (path.name in kept or path.parents[1].name == "models")
    aside = {path.name for path in (folder / "set-aside").rglob("*") if path.is_file()}
    assert len(aside) + len(left) >= len(kept)
    for name, text in kept.items():
        assert any(p.is_file() and p.read_text() == text for p in folder.rglob(name))


def test_the_good_lines_of_a_damaged_segment_stay(trials, copy):
    folder = copy / "store"
    expected = scores(Store(folder))
    (lines,) = (folder / "records").glob("*.jsonl")
    damaged = bytearray(lines.read_bytes())
    at = damaged.rindex(b'"wall_s":') + len('"wall_s":0.0')
    damaged[at] = ord("1") if damaged[at] != ord("1") else ord("2")  # a number like any other
    lines.write_bytes(damaged)
    store = Store(folder)
    assert len(store.problems) == 1 and str(lines) in store.problems[0]
    assert len(scores(store)) == 5
    assert lines.read_bytes() == damaged  # reading changes nothing
    healed = again(trials, folder)
    assert scores(healed) == expected and healed.problems == []
    assert lines.read_bytes().count(b"\n") == damaged.count(b"\n") - 1
    (aside,) = (folder / "set-aside").rglob("*.jsonl")
    assert aside.read_bytes() == damaged


def test_a_segment_that_another_run_writes_is_left_in_place(copy):
    running = Store(copy / "store").create()
    job = next(running.jobs())
    running.write_job(job, running.scores(job.key))
    (own,) = (copy / "store" / "records").glob(f"{running._writer.name}.jsonl")
    with own.open("ab") as file:
        file.write(b"not a record\n")
    other = Store(copy / "store").create()
    assert len(other.problems) == 1 and other.moved == [] and own.exists()
    running.close()
    assert len(Store(copy / "store").create().moved) == 1
