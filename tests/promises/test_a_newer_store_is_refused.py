"""A store carries the version of its form, and an older `bench` says that a newer one wrote it."""

import json

import pytest

from cdnbench import report
from cdnbench.archive import Archive, find_stores
from cdnbench.compaction import compact
from cdnbench.errors import BenchError
from cdnbench.segments import FORMAT, checked
from cdnbench.store import Store


@pytest.fixture
def newer(tmp_path):
    """A store whose only segment a newer version wrote."""
    folder = tmp_path / "results" / "s"
    (folder / "records").mkdir(parents=True)
    head = {"kind": "segment", "format": FORMAT + 1, "by": "9.0"}
    lines = checked(json.dumps(head).encode()) + b"\n" + b"what this version cannot know\n"
    (folder / "records" / "a.jsonl").write_bytes(lines)
    return folder


def test_a_report_says_so(newer):
    with pytest.raises(BenchError, match=r"a.jsonl was written by a newer version of bench"):
        report(newer)


def test_a_run_leaves_it_as_it_is(newer, trials):
    from cdnbench import run

    before = {path: path.read_bytes() for path in newer.rglob("*") if path.is_file()}
    small = trials.small_stores
    with pytest.raises(BenchError, match=r"newer version of bench.*update cdnbench.*\n.*--out"):
        run(small.SUITE, small.METHODS, out=newer, limit=1)
    assert {path: path.read_bytes() for path in newer.rglob("*") if path.is_file()} == before


def test_stores_beside_it_are_reported(newer, sound):
    (newer.parent / "t").symlink_to(sound / "store")
    found = report(newer.parent)
    assert len(found.jobs) == 8 and any("newer version" in note for note in found.notes)


def test_an_archive_says_so_as_well(sound, tmp_path):
    import pyarrow.parquet as pq

    (folder,) = compact(Store(sound / "store"), tmp_path / "archive").folders
    path = folder / "random.parquet"
    newer = pq.read_table(path).replace_schema_metadata({b"cdnbench.format": b"3"})
    pq.write_table(newer, path)
    content = path.read_bytes()
    archive = Archive(folder)
    assert {record.method for record in archive.records()} == {"target-shift"}
    assert len(archive.problems) == 1 and "newer version of bench" in archive.problems[0]
    with pytest.raises(BenchError, match="newer version"):
        compact(Store(sound / "store"), tmp_path / "archive")
    assert path.read_bytes() == content


def test_each_store_is_found_once(sound, tmp_path):
    (tmp_path / "a").symlink_to(sound / "store")
    (tmp_path / "b").symlink_to(sound / "store")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "set-aside" / "records").mkdir(parents=True)
    assert len(find_stores(tmp_path)) == 1
