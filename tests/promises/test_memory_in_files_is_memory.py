"""Files that lie in memory count as a job's memory, and are gone when it has ended."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cdnbench import run
from cdnbench.runners import worker
from cdnbench.runners.memory import FASTEST_MB_PER_S, LONGEST_S, SHORTEST_S, next_look
from cdnbench.runners.memory_files import MemoryFiles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux has files in memory")

SHM = Path("/dev/shm")


def left_behind():
    return {path.name for path in SHM.glob("cdnbench-test-*")}


@pytest.mark.parametrize("where", ["memfd", "shm", "shared-memory"])
def test_a_job_that_fills_them_is_ended(faulty, tmp_path, where):
    store = run("tiny", f"fills:where={where}", out=tmp_path / "out", limit=1, memory_gb=0.1)
    (record,) = store.jobs()
    assert (record.status, record.reason) == ("oom", "more than 0.1 GB"), record
    assert not left_behind()


def test_what_a_job_leaves_behind_is_removed_and_nothing_else(faulty, tmp_path):
    other = SHM / f"cdnbench-test-other-{os.getpid()}"
    other.write_bytes(b"x")
    try:
        store = run("tiny", "fills:where=shm,mb=10", out=tmp_path / "out", limit=1)
        (record,) = store.jobs()
        assert record.status == "ok" and 10 <= record.peak_rss_mb < 40
        assert left_behind() == {other.name}
    finally:
        other.unlink()


def test_where_all_share_one_folder_open_files_tell_whose_they_are(tmp_path):
    name = SHM / f"cdnbench-test-{os.getpid()}"
    code = f"f = open({str(name)!r}, 'wb'); f.write(bytes(10 << 20)); f.flush(); print(); input()"
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    other = SHM / f"cdnbench-test-other-{os.getpid()}"
    other.write_bytes(bytes(10 << 20))
    try:
        files = MemoryFiles(process.pid, tmp_path)
        process.stdout.readline()
        assert 10 <= files.mb([process.pid]) < 11
        process.communicate(b"\n")
        assert name.exists() and 10 <= files.mb([]) < 11
        files.remove()
        assert not name.exists() and other.exists()
    finally:
        process.kill()
        other.unlink()
        name.unlink(missing_ok=True)


def test_a_folder_in_memory_counts(tmp_path):
    folder = SHM / f"cdnbench-test-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / "file").write_bytes(bytes(1 << 20))
        files = MemoryFiles(os.getpid(), folder, _began=time.time() + 60)
        assert files.mb([]) == pytest.approx(1.0, abs=0.1)
    finally:
        (folder / "file").unlink()
        folder.rmdir()


def test_looks_come_before_the_limit_can_be_passed():
    assert next_look(0, 8192, 0) == LONGEST_S
    assert next_look(8191, 8192, 0) == SHORTEST_S
    for held in range(0, 256, 8):
        wait = next_look(held, 256, 0)
        assert wait <= LONGEST_S
        assert wait == SHORTEST_S or held + wait * FASTEST_MB_PER_S <= 256
    assert next_look(255, 256, 0.01) == pytest.approx(0.1)  # looking stays a tenth of the time


@pytest.mark.parametrize("error", [MemoryError, OSError])
def test_an_error_that_rests_on_one_of_memory_is_out_of_memory(error):
    cause = MemoryError("no") if error is MemoryError else OSError(12, "Cannot allocate memory")
    raised = ValueError("the fit failed")
    raised.__cause__ = cause
    assert worker._status(raised)[0] == "oom"
    assert worker._status(ValueError("the fit failed"))[0] == "error"
    full = OSError(28, "No space left on device", "/dev/shm/psm_1")
    assert worker._status(full)[0] == "oom"
    assert worker._status(OSError(28, "No space left on device", "/data/x"))[0] == "error"
