"""The trials of benchmarks/trust.py, of which a few run here."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="session")
def trials():
    """`trials.damage`, `trials.small_stores` and `trials.stores`, which are not installed."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        from trials import damage, small_stores, stores
    finally:
        sys.path.remove(str(BENCHMARKS))
    return type("Trials", (), {"damage": damage, "small_stores": small_stores, "stores": stores})


@pytest.fixture(scope="session")
def sound(trials, tmp_path_factory) -> Path:
    """A folder with a small store in each form."""
    folder = tmp_path_factory.mktemp("sound")
    trials.small_stores.make(folder / "base")
    return folder / "base"
