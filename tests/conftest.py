"""A package of methods and a suite that misbehave, registered as any third-party package is."""

import importlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from cdnbench import registry

FAULTY = Path(__file__).parent / "runners" / "faulty"


@pytest.fixture
def faulty(tmp_path, monkeypatch) -> Path:
    """The folder of the package, which is on `sys.path` and on `PYTHONPATH`."""
    folder = tmp_path / "site"
    shutil.copytree(FAULTY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "faulty_broken.py").write_text("def (:")
    info = folder / "faulty-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1\n")
    os.replace(folder / "entry_points.txt", info / "entry_points.txt")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    for name in ("faulty_methods", "faulty_on_gpus", "faulty_processes", "faulty_suites"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    registry.entries.cache_clear()
    registry.load_class.cache_clear()
    registry.package_of.cache_clear()
    yield folder
    registry.entries.cache_clear()
    registry.load_class.cache_clear()
    registry.package_of.cache_clear()
