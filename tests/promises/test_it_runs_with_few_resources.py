"""One usable core of many, and few descriptors."""

import os
import resource
import subprocess
import sys

import pytest

LIMITS = {
    "one core": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "64 descriptors": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")
@pytest.mark.parametrize("limit", LIMITS)
def test_a_run(faulty, tmp_path, limit):
    words = ["run", "--suite", "tiny", "--methods", "good", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "cdnbench.cli", *words],
        preexec_fn=LIMITS[limit],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "good" in done.stdout and "Traceback" not in done.stdout + done.stderr
