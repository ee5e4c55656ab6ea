"""`bench report` and `bench list tables|figures`."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cdnbench.commands.list import list_names
from cdnbench.commands.report import report
from cdnbench.errors import BenchError, InvalidParameter, UnknownName


@pytest.fixture
def folder(make_store, tmp_path):
    """Two tasks, one of them trivial."""
    store = make_store("perturbseq")
    for i, trivial in enumerate((True, False)):
        targets = np.eye(1, 4, k=i, dtype=bool)
        task = store.task(f"a/{i}", targets, facts={"trivial": trivial}, cell_line="a")
        store.job("m", task, store.at_place(targets, 1 + i))
    return tmp_path / "perturbseq"


def run(*arguments, code: int = 0) -> str:
    """What it prints to standard output; errors are raised. code: the exit code."""
    app = typer.Typer()
    app.command("report")(report)
    app.command("list")(list_names)
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def test_a_subset_is_a_filter(folder):
    printed = {name: run("report", folder, "--subset", name) for name in ("all", "nontrivial")}
    assert printed["all"].startswith("perturbseq, subset all\n") and "2/2" in printed["all"]
    assert printed["nontrivial"].startswith("perturbseq, subset nontrivial\n")
    assert "1/1" in printed["nontrivial"] and "0.500" in printed["nontrivial"]
    with pytest.raises(BenchError, match="'easy'"):
        run("report", folder, "--subset", "easy")


def test_against_belongs_to_comparisons(folder):
    with pytest.raises(InvalidParameter, match="--against only applies.*--table comparisons"):
        run("report", folder, "--against", "m")
    with pytest.raises(UnknownName, match="no method of these results named 'n'.*Known: m"):
        run("report", folder, "--table", "comparisons", "--against", "n")
    with pytest.raises(UnknownName, match="no method in this selection named 'n'.*Known: m"):
        run(*f"report {folder} --table comparisons --methods m --against n".split())
    assert "Nothing to compare" in run("report", folder, "--table", "comparisons", "--against", "m")


@pytest.mark.parametrize("option", ["--csv", "--html", "--latex", "--figure"])
def test_what_cannot_be_written_leaves_the_old_file_as_it_was(folder, tmp_path, option):
    """A limit on the size of files stands for a full disk."""
    out = tmp_path / "out"
    out.mkdir()
    path = out / "dots-perturbseq.pdf" if option == "--figure" else out / "file"
    path.write_text("old")
    figure = ["all", "--out", out, "--format", "pdf"]
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, allowed[1]))
    try:
        with pytest.raises((BenchError, OSError), match=f"File too large.*{out}"):
            run("report", folder, option, *(figure if option == "--figure" else [path]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert [(each.name, each.read_text()) for each in out.iterdir()] == [(path.name, "old")]


def test_a_link_stays_a_link(folder, tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "file.csv")
    run("report", folder, "--csv", tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink() and "perturbseq" in (
        tmp_path / "file.csv"
    ).read_text()


def test_several_tables_and_figures_at_once(folder, tmp_path):
    printed = run("report", folder, "--table", "jobs,provenance")
    parts = [run("report", folder, "--table", name) for name in ("jobs", "provenance")]
    assert printed == "".join(parts)
    latex = tmp_path / "both.tex"
    run("report", folder, "--table", "leaderboard,provenance", "--latex", latex)
    assert latex.read_text().count(r"\begin{tabular}") == 2
    out = tmp_path / "figures"
    run("report", folder, "--figure", "dots,places", "--out", out, "--format", "png")
    assert {path.stem.split("-")[0] for path in out.iterdir()} >= {"dots", "places"}


def test_a_named_figure_that_has_nothing_to_show_is_no_success(folder, tmp_path):
    options = ["--out", tmp_path / "figures", "--format", "png"]
    run("report", folder, "--figure", "dots,real", *options, code=1)
    assert (tmp_path / "figures").is_dir()  # the other one is there
    run("report", folder, "--figure", "dots,all", *options)


def test_figures_are_written_and_nothing_is_printed(folder, tmp_path):
    for name in ("dots", "all"):
        out = tmp_path / name
        assert run("report", folder, "--figure", name, "--out", out) == ""
        assert {path.suffix for path in out.iterdir()} == {".pdf", ".svg", ".png"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--figure", "dot"], UnknownName, "Did you mean dots"),
        (["--table", "job"], UnknownName, "Did you mean jobs"),
        (["--table", "jobs,lines"], UnknownName, "no table named 'lines'"),
        (["--figure", "dots,rank"], UnknownName, "Did you mean ranks"),
        (["--figure", ""], UnknownName, "no figure named ''"),
        (["--table", "jobs,regimes", "--csv", "x.csv"], InvalidParameter, "--csv takes one table"),
        (["--out", "x"], InvalidParameter, "only applies together with --figure"),
    ],
)
def test_what_does_not_exist_is_refused_before_work_starts(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        run("report", tmp_path / "nowhere", *arguments)


def test_lists_are_one_line_per_name():
    first = run("list", "figures").splitlines()[0]
    assert first.split(maxsplit=1)[0] == "dots" and "mean average precision" in first
    assert run("list", "tables").splitlines()[0].startswith("leaderboard   methods by mean")


def test_data_sets_are_listed_with_their_place_and_licence(tmp_path, monkeypatch):
    monkeypatch.delenv("CDNBENCH_DATA", raising=False)
    lines = dict(line.split(maxsplit=1) for line in run("list", "datasets").splitlines()[:7])
    assert "comes with the installation" in lines["petshop"]
    assert "to be placed as expression/" in lines["sahin"] and "licence: GPL" in lines["sahin"]
    monkeypatch.setenv("CDNBENCH_DATA", str(tmp_path))
    (tmp_path / "expression").mkdir()
    (tmp_path / "expression" / "sahin2008_rppa_16proteins.csv.gz").write_bytes(b"")
    assert f"found in {tmp_path}" in run("list", "datasets")


def test_figures_take_a_width_a_format_and_a_highlight(folder, tmp_path):
    out = tmp_path / "figures"
    options = ["--figure", "dots", "--width", "one", "--format", "png,svg", "--highlight", "m"]
    run("report", folder, *options, "--out", out)
    assert {path.suffix for path in out.iterdir()} == {".png", ".svg"}
    (svg,) = out.glob("*.svg")
    assert 'width="252pt"' in svg.read_text()  # 3.5 inches


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--figure", "dots", "--width", "three"], InvalidParameter, "one or two columns"),
        (["--figure", "dots", "--format", "pmg"], UnknownName, "Did you mean png"),
        (["--highlight", "m"], InvalidParameter, "--highlight only applies together"),
    ],
)
def test_options_of_figures_are_checked_before_work_starts(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        run("report", tmp_path / "nowhere", *arguments)


def test_two_outputs_are_two_files(folder, tmp_path):
    same = [tmp_path / "a.txt", tmp_path / "." / "a.txt"]
    with pytest.raises(InvalidParameter, match="a.txt is named for two outputs"):
        run("report", folder, "--csv", same[0], "--latex", same[1])
    assert not same[0].exists()
