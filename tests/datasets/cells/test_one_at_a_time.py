"""Names of lines, two preparations at once, and places that cannot be written."""

import os
import subprocess
import sys
import threading

import pytest

from cdnbench.datasets.cells.locking import locked
from cdnbench.datasets.cells.screens import prepare as preparation
from cdnbench.datasets.cells.screens.options import Preparation
from cdnbench.datasets.cells.screens.prepare import LONGEST_NAME, prepare
from cdnbench.datasets.cells.screens.raw import open_raw
from cdnbench.datasets.cells.simulated import embedded
from cdnbench.datasets.cells.simulated.simulate import SMALL
from cdnbench.datasets.cells.suites import PerturbSeq
from cdnbench.errors import InvalidData, InvalidParameter

OPTIONS = Preparation(min_candidates=40, max_candidates=50)


@pytest.fixture(scope="module")
def raw(tmp_path_factory, screen):
    return open_raw(screen.write(tmp_path_factory.mktemp("raw") / "screen.h5ad"))


BAD_NAMES = ["K562/gw", "../x", "a,b", "", ".x", "..", "a\\b", "a\nb", " a", "-a", "a\0b"]


@pytest.mark.parametrize("name", [*BAD_NAMES, "x" * (LONGEST_NAME + 1)])
def test_a_name_that_no_file_or_list_can_have_is_refused(raw, tmp_path, name):
    with pytest.raises(InvalidParameter, match="cell line cannot be called|--line x"):
        prepare(raw, name, tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists() and not (tmp_path / "x.cells.h5").exists()


def test_two_files_of_one_line_are_refused(raw, tmp_path):
    made = prepare(raw, "K562 gw", tmp_path, OPTIONS)
    other = tmp_path / "other.cells.h5"
    other.write_bytes(made.path.read_bytes())
    with pytest.raises(InvalidData, match="K562 gw.cells.h5 and .*other.cells.h5 are both of"):
        PerturbSeq(data=str(tmp_path)).specs()
    other.unlink()
    assert list(PerturbSeq(data=str(tmp_path)).all_lines) == ["K562 gw"]


def test_the_second_of_two_equal_preparations_waits(raw, tmp_path):
    """Both name the same result, and nothing else stays in the folder."""
    command = ["data", "prepare", str(raw.path), "--line", "demo", "--out", str(tmp_path)]
    command += ["--min-candidates", "40", "--max-candidates", "50"]
    code = "from cdnbench.cli import main; main()"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    hashes = [out.strip().rsplit("hash ", 1)[1] for out, _ in said]
    assert hashes[0] == hashes[1]
    assert [path.name for path in tmp_path.iterdir()] == ["demo.cells.h5"]


def test_what_waits_is_told_for_whom(raw, tmp_path):
    said = []
    (tmp_path / ".demo.lock").write_text("1234567\n")  # left by a process that has died
    with locked(tmp_path / ".demo.lock"):
        holds = threading.Event()

        def progress(what, done, of):
            said.append(what)
            holds.set()

        second = threading.Thread(
            target=prepare, args=(raw, "demo", tmp_path, OPTIONS), kwargs={"progress": progress}
        )
        second.start()
        assert holds.wait(60)
        assert not (tmp_path / "demo.cells.h5").exists()
    second.join()
    assert said[0] == f"waiting for process {os.getpid()}, which prepares demo"
    assert [path.name for path in tmp_path.iterdir()] == ["demo.cells.h5"]


def test_a_lock_lets_one_in_at_a_time(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(10):
            with locked(tmp_path / "lock"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 40 and max(most) == 1 and not list(tmp_path.iterdir())


def test_a_lock_is_freed_by_an_error(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "lock"):
        raise KeyError
    with locked(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_without_a_cache_simulated_lines_lie_in_the_temporary_folder(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CDNBENCH_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(embedded, "temporary_folder", lambda: tmp_path / "temporary")
    with pytest.warns(UserWarning, match="cannot be written.*Set CDNBENCH_CACHE"):
        found = embedded.embedded_knowledge(SMALL, "0.5")
    assert all(path.is_relative_to(tmp_path / "temporary") for path in found.values())
    assert embedded.embedded_knowledge(SMALL, "0.5") == found  # said once


def test_a_complete_cache_is_used_without_writing(tmp_path, monkeypatch):
    monkeypatch.setenv("CDNBENCH_CACHE", str(tmp_path))
    found = embedded.embedded_knowledge(SMALL, "0.5")
    monkeypatch.setattr(embedded, "can_write", lambda folder: False)
    assert embedded.embedded_knowledge(SMALL, "0.5") == found
    assert not list(tmp_path.rglob(".lock"))


@pytest.fixture
def lines(tmp_path, monkeypatch):
    """The small simulated lines in a cache of their own."""
    monkeypatch.setenv("CDNBENCH_CACHE", str(tmp_path))
    return embedded.embedded_lines(SMALL)


def replaced(path, content: bytes):
    """Another file of the same name: what is mapped of the old one stays readable."""
    path.unlink()
    path.write_bytes(content)


def test_a_simulated_line_that_is_damaged_is_made_again(lines, tmp_path):
    """Nobody prepared it by hand, so nobody is told to prepare it again."""
    path = lines[0].path
    before = path.read_bytes()
    replaced(path, before[: len(before) // 2])
    assert [line.hash for line in embedded.embedded_lines(SMALL)] == [line.hash for line in lines]
    assert path.stat().st_size == len(before)
    assert not [file for file in path.parent.iterdir() if not file.name.endswith(".cells.h5")]


def test_a_damaged_cache_that_cannot_be_written_is_passed_over(lines, tmp_path, monkeypatch):
    replaced(lines[0].path, b"")
    monkeypatch.setattr(embedded, "can_write", lambda folder: False)
    monkeypatch.setattr(embedded, "temporary_folder", lambda: tmp_path / "temporary")
    with pytest.warns(UserWarning, match="cannot be written"):
        found = embedded.embedded_lines(SMALL)
    assert [line.hash for line in found] == [line.hash for line in lines]
    assert all(line.path.is_relative_to(tmp_path / "temporary") for line in found)


def test_another_way_of_reading_makes_simulated_lines_anew(lines, monkeypatch):
    monkeypatch.setattr(preparation, "READING", preparation.READING + 1)
    again = embedded.embedded_lines(SMALL)
    assert again[0].path.parent != lines[0].path.parent and again[0].hash != lines[0].hash
