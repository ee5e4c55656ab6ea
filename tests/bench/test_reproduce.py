"""`bench reproduce`: estimate, run what lacks, show the table."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cdnbench.archive import Archive
from cdnbench.commands import reproduce as command
from cdnbench.compaction import compact
from cdnbench.datasets.cells.suites import PerturbSeq
from cdnbench.errors import BenchError, InvalidParameter, UnknownName
from cdnbench.registry import METHODS, load_class
from cdnbench.runners.api import run
from cdnbench.runners.recipes import RECIPES, Recipe, Scale
from cdnbench.store import Store


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
    given = {"scale": Scale.small, "kept": None, "records": None, "data": None, "knowledge": None}
    given |= {"jobs": 1, "dry_run": False}
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


@pytest.fixture
def checkout(quick, tmp_path, capsys, monkeypatch) -> Path:
    """A folder that keeps the finished store of one of the two methods, as a checkout does."""
    monkeypatch.chdir(tmp_path)
    run("synthetic-mini", "random", out="made", limit=2, protocol="dcdi", jobs=1)
    compact(Store(Path("made")), command.KEPT[0])
    shutil.rmtree("made")
    return tmp_path


def test_what_a_checkout_keeps_is_not_run_again(checkout, capsys):
    reproduce(Path("r"), dry_run=True)
    printed = capsys.readouterr().out
    assert "4 jobs, 2 of them done (2 in docs/results/store/synthetic-mini-dcdi)" in printed
    reproduce(Path("r"))
    shown = capsys.readouterr().out
    assert "random" in shown.split("methods")[-1] and "target-shift" in shown
    methods = {record.method for record in Store(Path("r/synthetic-mini")).jobs()}
    assert methods == {"target-shift"}
    assert {path.name for path in command.KEPT[0].iterdir()} == {"synthetic-mini-dcdi"}
    reproduce(Path("r"))
    assert "4 jobs, 4 of them done (2 in docs" in capsys.readouterr().out


def test_what_counts_as_done_can_be_named_or_left_out(checkout, capsys):
    reproduce(Path("r"), kept="none", dry_run=True)
    assert "4 jobs, 0 of them done;" in capsys.readouterr().out
    shutil.copytree(command.KEPT[0], "copy")
    shutil.rmtree("docs")
    reproduce(Path("r"), kept="copy", dry_run=True)
    assert "2 of them done (2 in copy/synthetic-mini-dcdi)" in capsys.readouterr().out
    reproduce(Path("copy"), dry_run=True)
    assert "2 of them done (2 in copy/synthetic-mini-dcdi)" in capsys.readouterr().out
    with pytest.raises(BenchError, match="No results in nowhere"):
        reproduce(Path("r"), kept="nowhere")


def test_a_kept_result_of_another_version_is_run_again(checkout, capsys, monkeypatch):
    info = replace(load_class(METHODS, "random").info, version="next")
    monkeypatch.setattr(load_class(METHODS, "random"), "info", info)
    reproduce(Path("r"), dry_run=True)
    assert "4 jobs, 0 of them done;" in capsys.readouterr().out


def test_code_that_changed_since_a_kept_result_is_said(checkout, capsys, monkeypatch):
    monkeypatch.setattr(
        "cdnbench.runners.run.has_other_code", lambda record, method: record.method == "random"
    )
    reproduce(Path("r"), dry_run=True)
    printed = capsys.readouterr().out
    assert "the code of random changed since 2 of these results were stored" in printed
    assert "4 jobs, 2 of them done" in printed


def test_kept_scores_that_are_damaged_are_computed_again(checkout, capsys, monkeypatch):
    def damaged(archive, key):
        raise ValueError("damaged")

    monkeypatch.setattr(Archive, "scores", damaged)
    reproduce(Path("r"), dry_run=True)
    assert "4 jobs, 0 of them done;" in capsys.readouterr().out


def test_a_damaged_result_of_its_own_is_replaced_by_the_kept_one(checkout, capsys, monkeypatch):
    run("synthetic-mini", "random", out="r", limit=2, protocol="dcdi", jobs=1)
    monkeypatch.setattr(Store, "is_done", lambda store, record: record.method != "random")
    reproduce(Path("r"))
    shown = capsys.readouterr().out
    assert "4 jobs, 2 of them done (2 in docs" in shown and "random" in shown.split("methods")[-1]


def test_times_of_another_folder_are_not_those_of_this_machine(checkout, capsys, monkeypatch):
    recipe = replace(RECIPES["table11"][Scale.small][0], timing=True)
    monkeypatch.setitem(RECIPES, "table9", {Scale.small: (recipe,)})
    reproduce(Path("r"), "table9", dry_run=True)
    assert "4 jobs, 0 of them done;" in capsys.readouterr().out


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(UnknownName, match="Did you mean table2"):
        reproduce(tmp_path, "tabel2")
    with pytest.raises(InvalidParameter, match="table3 of the paper is lost.*table10, table11"):
        reproduce(tmp_path, "table3")
    with pytest.raises(InvalidParameter, match="on (synthetic|simulated) data"):
        reproduce(tmp_path, "table11", data=tmp_path)
    with pytest.raises(InvalidParameter, match="on (synthetic|simulated) data"):
        reproduce(tmp_path, "table8", data=tmp_path)
    with pytest.raises(InvalidParameter, match="--knowledge is for tables on cells"):
        reproduce(tmp_path, "table11", knowledge="folder")
    with pytest.raises(BenchError, match="No results"):
        reproduce(tmp_path, "table11", records=tmp_path)


def test_scales_of_tables_7_and_8_share_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given: list[dict] = []
    monkeypatch.setattr("cdnbench.commands.ablations.ablations", lambda _, **o: given.append(o))
    for scale in Scale:
        reproduce(Path("r"), "table8", scale=scale, jobs=3)
    small, full = given
    assert small["run"] != full["run"] and small["out"] != full["out"]
    assert {small["jobs"], full["jobs"]} == {3}
    with pytest.raises(InvalidParameter, match="table8.* does not take --kept, --records"):
        reproduce(Path("r"), "table8", kept="none", records=tmp_path)


def test_variants_are_trained_for_tables_7_and_8(tmp_path):
    (tmp_path / command.KEPT[1]).mkdir(parents=True)
    done = bench(tmp_path, "table8", "--dry-run")
    assert done.returncode == 0 and "4 variants" in done.stdout, done.stderr
    assert "at most 20 minutes of training" in done.stdout
    assert "bench report docs/results/variants --table table8" in done.stdout


def test_methods_without_knowledge_are_told_before_the_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, known = tmp_path / "data", tmp_path / "known.npz"
    data.mkdir()
    PerturbSeq.small(data)
    np.savez(known, genes=np.array(["a"]), vectors=np.ones((1, 2)))
    reproduce(Path("r"), "table2", scale=Scale.full, data=data, dry_run=True)
    printed = capsys.readouterr().out
    assert "left out: genept: genept needs embeddings: --knowledge embeddings=FILE" in printed
    assert re.search(r"will be skipped: gears on \d+ tasks: gears needs ", printed)
    assert "will be skipped: genept-style" in printed and "will be skipped: linear" not in printed
    given = f"embeddings={known}"
    reproduce(Path("r"), "table2", scale=Scale.full, data=data, knowledge=given, dry_run=True)
    printed = capsys.readouterr().out
    assert f"--knowledge {given} --methods genept,random" in printed
    assert "left out" not in printed and "will be skipped: gears on" in printed
