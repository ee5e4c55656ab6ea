"""Results from trees with uncommitted changes are said, and texts equal their stores."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest

from cdnbench.record import Provenance
from cdnbench.reports import texts
from cdnbench.reports.frame import read
from cdnbench.reports.report import Report
from cdnbench.reports.tables import provenance


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that has no room when a file is finished."""

    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    return lambda: monkeypatch.setattr(os, "fsync", fail)


@pytest.fixture
def fill(make_store):
    """A report on two methods, one of them with two of three jobs from a changed tree."""

    def made(dirty: bool | None) -> Report:
        store = make_store(folder=f"dirty-{dirty}")
        targets = store.one_target_each(2, 4)
        for i in range(3):
            task = store.task(f"d{i}", targets, protocol="clean")
            scores = store.at_place(targets, 1)
            store.job("a", task, scores)
            told = dirty if i else False
            origin = Provenance(git_sha="fedcba9876543210", dirty=told, host="h")
            store.job("b", task, scores, provenance=origin)
        return Report(read([store.store]))

    return made


def test_a_changed_tree_is_said_in_every_table(fill):
    report = fill(dirty=True)
    for name in ("leaderboard", "table11", "jobs", "provenance"):
        notes = report.table(name).notes
        told = [note for note in notes if "uncommitted changes: synthetic 2 of 6" in note]
        assert len(told) == 1, name
    frame = report.table("provenance").frame.set_index("method")
    assert frame["dirty"].to_dict() == {"a": 0, "b": 2}
    assert frame.loc["b", "commits"] == "fedcba98"


def test_a_clean_tree_needs_no_note_and_an_unknown_one_is_counted(fill):
    assert provenance.dirty_note(fill(dirty=False).results) == ()
    frame = fill(dirty=None).table("provenance").frame.set_index("method")
    assert frame["unknown"].to_dict() == {"a": 0, "b": 2}


def test_texts_equal_their_stores_until_a_number_changes(fill, tmp_path):
    report, folder = fill(dirty=False), tmp_path / "texts"
    folder.mkdir()
    assert len(texts.write(report, folder)) == len(texts.TEXTS)
    assert texts.write(report, folder) == [] == list(texts.differences(report, folder))
    path = folder / "leaderboards.txt"
    kept = path.read_text("utf-8")
    path.write_text(kept.replace("1.000", "0.999", 1), "utf-8")
    (found,) = texts.differences(report, folder)
    assert "leaderboards.txt" in found and "0.999" in found
    path.write_text(kept, "utf-8")
    (folder / "real.txt").unlink()
    assert [str(folder / "real.txt") in what for what in texts.differences(report, folder)] == [
        True
    ]


def test_a_full_disk_leaves_the_text_before(fill, tmp_path, full_disk):
    (tmp_path / "real.txt").write_text("before", "utf-8")
    report = fill(dirty=False)
    full_disk()
    with pytest.raises(OSError, match="No space"):
        texts.write(report, tmp_path, {"real": "real"})
    assert [path.read_text("utf-8") for path in tmp_path.glob("*real*")] == ["before"]


def test_a_commit_that_nobody_has_is_reported(benchmark_module, tmp_path):
    unknown_commits = benchmark_module("texts").unknown_commits
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    here = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    lost = "0" * 40
    assert unknown_commits({here: 7}, tmp_path) == []
    (jobs,) = unknown_commits({here: 7, lost: 3}, tmp_path)
    assert lost in jobs and "3 jobs" in jobs
    (card,) = unknown_commits({lost: "the card of cdn"}, tmp_path)
    assert "the card of cdn" in card
    (no_history,) = unknown_commits({here: 7}, tmp_path / "nowhere")
    assert "full history" in no_history
