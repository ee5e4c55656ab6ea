"""Tables of screens for figures say what the prepared lines hold."""

from __future__ import annotations

import errno
import os

import numpy as np
import pandas as pd
import pytest

from cdnbench.commands.describe import _write, describe
from cdnbench.datasets.cells import facts
from cdnbench.datasets.cells.suites import PerturbSeq


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    options = PerturbSeq.small(tmp_path_factory.mktemp("small"))
    return PerturbSeq(**options).all_lines


def test_one_row_per_perturbation_with_its_counts(lines):
    known = {str(g) for line in lines.values() for g in line.genes[::2]}
    table = facts.perturbations(lines, known)
    for name, line in lines.items():
        own = table[table["line"] == name]
        assert own["differential"].to_list() == line.arrays["n_differential"].tolist()
        assert own["cells"].to_list() == [
            line.cells(p).shape[0] for p in range(line.n_perturbations)
        ]
        assert (own["not_covered"] <= own["differential"]).all() and own["not_covered"].sum() > 0
    assert facts.perturbations(lines, None)["not_covered"].isna().all()
    everything = {str(g) for line in lines.values() for g in line.genes}
    assert (facts.perturbations(lines, everything)["not_covered"] == 0).all()


def test_profiles_are_fold_changes_with_clusters_together(lines):
    line = next(iter(lines.values()))
    table = facts.profiles(line, n_genes=20)
    assert sorted(table["perturbation"]) == sorted(line.names)
    changes = (np.diff(table["cluster"]) != 0).sum() + 1
    assert changes == table["cluster"].nunique()  # each cluster is one run of rows
    genes = list(table.columns[2:])
    assert len(genes) == 20
    row = table.iloc[0]
    p = list(line.names).index(row["perturbation"])
    expected = line.arrays["change"][p][[list(line.genes).index(g) for g in genes]]
    assert row[genes].to_numpy(float) == pytest.approx(expected, abs=0.006)


def test_the_command_writes_the_tables_and_the_same_bytes_again(lines, tmp_path, capsys):
    folder = str(next(iter(lines.values())).path.parent)
    for name in ("a", "b"):
        describe(data=folder, knowledge="", out=tmp_path / name)
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert {"perturbations.csv", "attrition.csv"} < names
    assert {f"profiles-{name}.csv.gz" for name in lines} < names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    steps = pd.read_csv(tmp_path / "a" / "attrition.csv")
    assert (steps.groupby("line")["perturbations"].diff().dropna() <= 0).all()
    assert "perturbations of" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["attrition.csv", "profiles.csv.gz"])
def test_a_table_that_cannot_be_finished_leaves_the_one_before(tmp_path, monkeypatch, name):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / name).write_text("before", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        _write(pd.DataFrame({"line": ["a"]}), tmp_path / name)
    assert [path.read_text("utf-8") for path in tmp_path.iterdir()] == ["before"]
