"""The descendants of a process, told by the kernel or found among all processes."""

import subprocess
import sys
import time

import psutil
import pytest

from cdnbench.runners import family

CODE = """
import subprocess, sys, threading, time
sleep = "import time; time.sleep(60)"
run = f"subprocess.Popen([sys.executable, '-S', '-c', {sleep!r}])"
child = f"import subprocess, sys; {run}; {sleep}"
start = lambda: subprocess.Popen([sys.executable, "-S", "-c", child])
start()
thread = threading.Thread(target=lambda: (start(), time.sleep(60)))
thread.start()
time.sleep(60)
"""


@pytest.mark.parametrize("told", [True, False])
def test_all_descendants_are_found_those_of_other_threads_too(monkeypatch, told):
    if not told:
        monkeypatch.setattr(family, "_children_are_told", lambda: False)
    process = subprocess.Popen([sys.executable, "-S", "-c", CODE])
    try:
        end = time.monotonic() + 30
        while len(family.descendants(process.pid)) < 4 and time.monotonic() < end:
            time.sleep(0.02)
        found = family.descendants(process.pid)
        expected = psutil.Process(process.pid).children(recursive=True)
        assert len(found) == 4 and set(found) == {p.pid for p in expected}
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait()
    assert family.descendants(process.pid) == []
