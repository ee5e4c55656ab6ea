"""A data folder of tiny made-up files, laid out as the real one, and the real one where it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cdnbench.datasets.real import papalexi, small
from cdnbench.datasets.real.suites import NAMES


@pytest.fixture
def real_folder() -> Path:
    """The folder that CDNBENCH_DATA names; skips where there is none."""
    folder = Path(os.environ.get("CDNBENCH_DATA", ""))
    if "CDNBENCH_DATA" not in os.environ or not (folder / papalexi.FILE.path).is_file():
        pytest.skip("CDNBENCH_DATA does not name a folder with the real data sets")
    return folder


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory) -> Path:
    """Made-up data in which the knocked-out variable falls."""
    folder = tmp_path_factory.mktemp("data")
    for name in NAMES:
        small.write(folder, name)
    return folder
