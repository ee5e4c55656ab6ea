"""In a container: no home, a user without a name, and folders of the package that are read-only."""

import os
import subprocess
import sys

import pytest

# Folders below a file cannot be made by anybody, root included.
HIDDEN = ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR")


@pytest.fixture
def nowhere(tmp_path):
    """An environment whose home is no folder."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    return {**kept, "HOME": str(tmp_path / "file" / "home")}


def python(code, environment, cwd):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_run(faulty, tmp_path, nowhere):
    code = "import sys; from cdnbench.cli import main; sys.argv[1:] = {}; main()"
    arguments = ["run", "--suite", "tiny", "--methods", "good", "--out", str(tmp_path / "out")]
    environment = {**nowhere, "PYTHONPATH": os.environ["PYTHONPATH"]}
    done = python(code.format(arguments), environment, tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_method_that_is_compiled(tmp_path, nowhere):
    """numba can keep nothing beside the source, nor in the user's cache."""
    code = """
from numba.core import caching
for name in ("UserProvidedCacheLocator", "InTreeCacheLocator", "UserWideCacheLocator"):
    # Some versions of numba have an underscore before these names.
    locator = getattr(caching, name, None) or getattr(caching, "_" + name)
    locator.from_function = classmethod(lambda *a: None)
from cdnbench.compilation import kept_njit
twice = kept_njit()(lambda x: 2 * x)
assert twice(21) == 42
"""
    done = python(code, nowhere, tmp_path)
    assert done.returncode == 0, done.stderr


def test_simulated_lines_go_to_the_temporary_folder(tmp_path, nowhere):
    code = """
from cdnbench.datasets.cells.simulated import embedded
place = embedded._place("simulated", ["a"])
assert place.is_relative_to(embedded.temporary_folder()), place
"""
    done = python(code, {**nowhere, "TMPDIR": str(tmp_path)}, tmp_path)
    assert done.returncode == 0 and "Set CDNBENCH_CACHE" in done.stderr, done.stderr
