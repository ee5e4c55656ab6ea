"""`bench reproduce`: estimate, run what lacks, show the table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cdnbench.commands import reproduce as command
from cdnbench.errors import BenchError, InvalidParameter, UnknownName
from cdnbench.runners.recipes import RECIPES, Recipe, Scale


def bench(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "cdnbench.cli", "reproduce", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        line, cwd=folder, capture_output=True, text=True, timeout=300, env=environment, check=False
    )


@pytest.fixture
def quick(monkeypatch):
    """Table 11 from two tasks of the smallest suite."""
    options = {"protocol": "dcdi"}
    recipe = Recipe(suite="synthetic-mini", methods="random,target-shift", options=options, limit=2)
    monkeypatch.setitem(RECIPES, "table11", {Scale.small: (recipe,), Scale.full: (recipe,)})


def reproduce(out: Path, table: str = "table11", **options) -> None:
    given = {"scale": Scale.small, "records": None, "data": None, "jobs": 1, "dry_run": False}
    command.reproduce(table, out=out, **{**given, **options})


def test_it_runs_what_lacks_and_shows_the_table(quick, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reproduce(tmp_path / "r", dry_run=True)
    printed = capsys.readouterr().out
    assert "4 jobs, 0 of them done; no estimate" in printed and not (tmp_path / "r").exists()
    assert "bench run --suite synthetic-mini --protocol dcdi --methods random" in printed
    reproduce(tmp_path / "r")
    assert "hard interventions" in capsys.readouterr().out
    store = tmp_path / "r" / "synthetic-mini"
    times = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    reproduce(tmp_path / "r")
    assert "4 jobs, 4 of them done\n" in capsys.readouterr().out
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_the_estimate_rests_on_earlier_records(quick, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reproduce(tmp_path / "before")
    capsys.readouterr()
    reproduce(tmp_path / "r", records=tmp_path / "before", dry_run=True)
    assert "by earlier records" in capsys.readouterr().out


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(UnknownName, match="Did you mean table2"):
        reproduce(tmp_path, "tabel2")
    with pytest.raises(InvalidParameter, match="on (synthetic|simulated) data"):
        reproduce(tmp_path, "table11", data=tmp_path)
    with pytest.raises(InvalidParameter, match="on (synthetic|simulated) data"):
        reproduce(tmp_path, "table8", data=tmp_path)
    with pytest.raises(BenchError, match="No results"):
        reproduce(tmp_path, "table11", records=tmp_path)


def test_variants_are_trained_for_tables_7_and_8(tmp_path):
    done = bench(tmp_path, "table8", "--dry-run")
    assert done.returncode == 0 and "4 variants" in done.stdout, done.stderr
    assert "at most 20 minutes of training" in done.stdout
