"""The report as scripts and the command line see it: tables by name, CSV, LaTeX, HTML."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from cdnbench import reports
from cdnbench.errors import BenchError, UnknownName
from cdnbench.reports.show.latex import escape
from cdnbench.reports.tables import TABLES


@pytest.fixture
def folder(make_store, tmp_path):
    """A small synthetic store of two settings, and Sachs-like regimes."""
    rng = np.random.default_rng(0)
    store = make_store()
    targets = store.one_target_each(6, 10)
    for i in range(6):
        for mechanism in ("linear", "polynomial"):
            about = {"protocol": "dcdi", "n_nodes": 10, "n_edges": 10, "intervention": "soft-scale"}
            ceiling = targets + 0.1 * rng.normal(size=targets.shape)
            task = store.task(
                f"d{i}-{mechanism}", targets, ceiling=ceiling, mechanism=mechanism, **about
            )
            for method, signal in (("random", 0.0), ("target-shift", 1.0), ("my_method", 3.0)):
                store.job(method, task, rng.normal(size=targets.shape) + signal * targets)
            store.job("slow", task, status="timeout", reason="600 s & more")
    sachs = make_store("sachs")
    targets = sachs.one_target_each(2, 5)
    task = sachs.task("primary", targets, subset="primary", setting=("subset",), simulated=False)
    sachs.job("target-shift", task, sachs.at_place(targets, 3))
    sachs.job("random", task, np.zeros((2, 5)))
    return tmp_path


FILLED = set(TABLES.names) - {
    "ablations",
    "agreement",
    "distribution",
    "real",
    "strata",
}  # which take special results; they have their own tests


@pytest.fixture
def report(folder):
    return reports.build(folder)


def test_every_name_makes_a_table(report):
    for name in TABLES.names:
        table = report.table(name)
        assert table.name == name and bool(table.blocks) == (name in FILLED), name
        for block in table.blocks:
            assert {len(row.cells) for row in block.rows} == {len(block.columns)}
        console = Console(file=io.StringIO(), width=100, force_terminal=True)
        report.show(console, name)
    with pytest.raises(UnknownName, match="Did you mean leaderboard"):
        report.table("leaderbord")


def test_what_was_left_out_is_shown_with_every_table(folder, make_store):
    more = make_store()
    more.job("my_method", more.task("lost", np.eye(3, dtype=bool), written=False), np.eye(3))
    report = reports.build(folder)
    for name in TABLES.names:
        out = io.StringIO()
        report.show(Console(file=out, width=80), name)
        assert out.getvalue().count("its jobs are left out") == 1, name
    assert "its jobs are left out" in report.to_html()


def test_csv_of_the_leaderboard_is_the_tidy_frame(report, tmp_path):
    report.to_csv(tmp_path / "tidy.csv")
    frame = pd.read_csv(
        tmp_path / "tidy.csv", keep_default_na=False, na_values={"value": [""], "regime": [""]}
    )
    assert len(frame) == len(report.frame)
    np.testing.assert_allclose(frame["value"], report.frame["value"])
    assert frame["label"].tolist() == report.frame["label"].astype(str).tolist()
    assert set(frame["masking"]) == {""}
    assert (frame.loc[frame["status"] == "timeout", "metric"] == "").all()


@pytest.mark.parametrize("name", TABLES.names)
def test_csv_of_every_table(report, tmp_path, name):
    report.to_csv(tmp_path / "t.csv", name)
    assert len(pd.read_csv(tmp_path / "t.csv")) == len(report.numbers(name))
    assert bool(len(report.numbers(name))) == (name in FILLED)


def test_csv_into_no_folder_is_an_error(report, tmp_path):
    with pytest.raises(BenchError, match="Cannot write"):
        report.to_csv(tmp_path / "no" / "t.csv", "jobs")


@pytest.mark.parametrize("name", TABLES.names)
def test_latex_is_balanced(report, name):
    text = report.to_latex(name)
    begun, ended = (re.findall(rf"\\{w}\{{((?:sideways)?table)\}}", text) for w in ("begin", "end"))
    assert begun == ended and len(begun) >= len(report.table(name).blocks)
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert re.sub(r"\\[{}]", "", body).count("{") == re.sub(r"\\[{}]", "", body).count("}")
    assert re.search(r"(?<!\\)[_#]", re.sub(r"\\label\{.*?\}", "", body)) is None
    assert body.isascii()
    labels = re.findall(r"\\label\{(.*?)\}", body)
    assert len(set(labels)) == len(labels)
    for tabular in re.findall(
        r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}(.*?)\\end\{tabular\}", body, flags=re.S
    ):
        rows = [line for line in tabular[1].splitlines() if line.endswith(r"\\")]
        for row in rows:
            spans = [int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row)]
            assert len(re.findall(r"(?<!\\)&", row)) + sum(spans) == len(tabular[0]) - 1, row


def test_latex_escapes():
    assert escape("a_b & 5 % {x} ± ~") == r"a\_b \& 5 \% \{x\} $\pm$ \textasciitilde{}"
    assert escape("dci[n=2]") == "dci{[}n=2{]}"


class _Tags(HTMLParser):
    """Checks that tags are closed in order."""

    void = {"meta", "line", "circle", "br", "input"}

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.void or tag == "circle":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_whole_and_self_contained(report):
    page = report.to_html()
    tags = _Tags()
    tags.feed(page)
    assert tags.open == [] and all(link.startswith("#") for link in tags.links)
    assert not {"link", "img", "iframe"} & set(tags.seen)
    assert "@import" not in page and "url(" not in page and "<script src" not in page
    assert "default-src 'none'" in page  # and what its own script is allowed to be
    assert tags.seen.count("svg") == 2  # one figure a block
    for text in (
        "my_method",
        "600 s &amp; more",
        "ceiling",
        "Table 11",
        "numpy 2.0.0",
        "0123456789",
        "real",
    ):
        assert text in page, text


def test_comparisons_favour_the_better_method_and_hold_back_on_one_setting(report):
    frame = report.table("comparisons").frame
    synthetic = frame[frame["suite"] == "synthetic"].set_index(["against", "label"])
    row = synthetic.loc[("my_method", "random")]
    assert row["difference"] < 0 and row["high"] < 0 and row["p_holm"] < 0.05
    assert (row["n_datasets"], row["n_settings"]) == (12, 2)
    assert ("target-shift", "my_method") not in synthetic.index  # the pair stands once
    assert "slow" not in synthetic.index.get_level_values("label")
    assert set(frame["suite"]) == {"synthetic"}  # one dataset of Sachs says nothing


def test_comparisons_within_one_setting_have_no_p(make_store):
    store = make_store()
    targets = store.one_target_each(3, 4)
    for i in range(5):
        task = store.task(f"d{i}", targets, mechanism="a")
        store.job("a", task, store.at_place(targets, 1))
        store.job("b", task, store.at_place(targets, 2 + i % 2))
    row = reports.build(store.store).table("comparisons").frame.iloc[0]
    values = np.array([1 / 2, 1 / 3, 1 / 2, 1 / 3, 1 / 2]) - 1
    assert row["difference"] == pytest.approx(values.mean()) and np.isnan(row["p"])
    assert row["high"] - row["low"] == pytest.approx(
        2 * 2.7764 * values.std(ddof=1) / np.sqrt(5), rel=1e-4
    )


def test_comparisons_rest_on_what_both_finished(make_store):
    store = make_store()
    targets = store.one_target_each(3, 4)
    for i in range(4):
        task = store.task(f"d{i}", targets, mechanism="ab"[i % 2])
        store.job("a", task, store.at_place(targets, 1 if i < 2 else 4))
        if i < 2:
            store.job("b", task, store.at_place(targets, 2))
    row = reports.build(store.store).table("comparisons").frame.iloc[0]
    assert (row["against"], row["label"], row["n_datasets"]) == ("a", "b", 2)
    assert row["difference"] == -0.5


def test_regimes_show_the_place_of_the_target(report):
    table = report.table("regimes")
    block = next(b for b in table.blocks if b.title.startswith("sachs"))
    assert [column.title for column in block.columns] == ["method", "x0", "x1"]
    assert {row.cells[0].text: [c.text for c in row.cells[1:]] for row in block.rows} == {
        "random": ["3", "3"],
        "target-shift": ["3", "3"],
    }
    assert block.notes[0].startswith("1 is first of 5")


def test_jobs_say_what_did_not_finish(report):
    blocks = report.table("jobs").blocks
    assert [block.title for block in blocks] == ["jobs by method", "what did not finish"]
    assert [c.text for c in blocks[1].rows[0].cells[:5]] == [
        "synthetic",
        "slow",
        "timeout",
        "12",
        "600 s & more",
    ]


def test_a_fit_that_failed_is_told_apart_from_jobs(report, folder, make_store):
    make_store().fit("slow", "oom")
    blocks = reports.build(folder).table("jobs").blocks
    rows = {row.cells[1].text: [c.text for c in row.cells[2:6]] for row in blocks[0].rows}
    assert rows["slow (fit)"] == ["1", "0", "0", "1"] and rows["slow"] == ["12", "0", "12", "0"]
    assert "slow (fit)" in {row.cells[1].text for row in blocks[1].rows}


def test_tables_show_themselves(report):
    table = report.table("jobs")
    assert str(table) == repr(table)
    assert str(table).splitlines()[0] == "jobs by method"
    html = table._repr_html_()
    tags = _Tags()
    tags.feed(html)
    assert tags.open == [] and tags.seen.count("table") == len(table.blocks)
    assert "600 s &amp; more" in html
    assert report._repr_html_() == report.table()._repr_html_()


def test_the_report_in_python_is_that_of_the_command(folder):
    from cdnbench import report

    made = report(folder / "synthetic")
    assert set(made.frame["suite"]) == {"synthetic"}
    assert made.table().frame.equals(reports.build(folder / "synthetic").table().frame)
    assert len(made.jobs) == 48
