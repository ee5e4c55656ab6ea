"""Compiled functions on an installation that cannot be written."""

import os
import stat
import subprocess
import sys

import pytest

from cdnbench.temporary import can_write, temporary_folder

SOURCE = """
from cdnbench.compilation import kept_njit

@kept_njit()
def double(x):
    return 2 * x

@kept_njit(fastmath=True)
def triple(x):
    return 3 * x

print(double(2), triple(2), len(double.stats.cache_misses), len(double.stats.cache_hits))
"""


def run(folder, **environment):
    """Run the source where neither its folder nor the home can be written."""
    (folder / "program.py").write_text(SOURCE)
    (folder / "__pycache__").touch()  # a file in place of the folder, which stops root as well
    (folder / "home").touch()
    inherited = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    home = str(folder / "home")
    done = subprocess.run(
        [sys.executable, str(folder / "program.py")],
        env={**inherited, "HOME": home, "XDG_CACHE_HOME": f"{home}/cache", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_they_are_kept_in_the_temporary_folder(tmp_path):
    (tmp_path / "temporary").mkdir()
    environment = {"TMPDIR": str(tmp_path / "temporary")}
    assert run(tmp_path, **environment) == ["4", "6", "1", "0"]
    assert run(tmp_path, **environment) == ["4", "6", "0", "1"]  # found again
    (own,) = (tmp_path / "temporary").iterdir()
    assert stat.S_IMODE(own.stat().st_mode) == 0o700 and (own / "numba").is_dir()


def test_a_folder_for_them_that_cannot_be_written_is_passed_over(tmp_path):
    (tmp_path / "temporary").mkdir()
    named = str(tmp_path / "program.py" / "cache")
    found = run(tmp_path, TMPDIR=str(tmp_path / "temporary"), NUMBA_CACHE_DIR=named)
    assert found[:2] == ["4", "6"]


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_a_temporary_folder_that_others_may_write_is_not_taken(tmp_path, monkeypatch, mode):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"cdnbench-{os.getuid()}").mkdir()
    (tmp_path / f"cdnbench-{os.getuid()}").chmod(mode)
    temporary_folder.cache_clear()
    try:
        found = temporary_folder()
    finally:
        temporary_folder.cache_clear()
    assert found.name != f"cdnbench-{os.getuid()}" and found.parent == tmp_path and can_write(found)


CALLER = """
from cdnbench.compilation import kept_njit
from {package}.constants import (
    FACTOR,
)
from {package} import inner

@kept_njit()
def twice(x):
    return 2 * inner.scaled(x) + FACTOR
"""
INNER = """
from cdnbench.compilation import kept_njit

@kept_njit()
def scaled(x):
    return {factor} * x
"""


def test_a_changed_file_of_what_is_called_is_noticed(tmp_path):
    """numba compiles callees and constants of other files into a function, and looks at none."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "caller.py").write_text(CALLER.format(package="package"))

    def outcome(factor, constant) -> list[str]:
        (package / "inner.py").write_text(INNER.format(factor=factor))
        (package / "constants.py").write_text(f"FACTOR = {constant}\n")
        program = "from package.caller import twice as f; print(f(3), len(f.stats.cache_hits))"
        done = subprocess.run(
            [sys.executable, "-B", "-c", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    assert outcome(10, 1) == ["61", "0"]
    assert outcome(10, 1) == ["61", "1"]
    assert outcome(20, 1) == ["121", "0"]
    assert outcome(20, 5) == ["125", "0"]
    assert outcome(20, 5) == ["125", "1"]
