"""Tables as LaTeX: a real pdflatex sets them, and nothing overflows the page."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from cdnbench.reports import build
from cdnbench.reports.select import leading
from cdnbench.reports.show import layout
from cdnbench.reports.show.latex import latex
from cdnbench.reports.table import Block, Cell, Column, Row, Table
from cdnbench.reports.tables import TABLES

RESULTS = Path(__file__).parents[2] / "docs" / "results"
pdflatex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")


def table(block: Block, *more: Block) -> Table:
    return Table("wide", "A_table", (block, *more), pd.DataFrame())


def block(n_columns: int, n_rows: int = 3, text: str = "0.123 ± 0.045", group: int = 3) -> Block:
    """Numbers below headings that span `group` columns each."""
    columns = [Column("method", align="left")]
    columns += [Column(f"c{i}", group=f"line {i // group}") for i in range(n_columns)]
    cells = tuple(Cell(text) for _ in range(n_columns))
    rows = tuple(Row((Cell(f"a-method-with-a-name_{r}[n=2]"), *cells)) for r in range(n_rows))
    long = "bench run --suite perturbseq --methods " + ",".join(["random", "linear", "mlp"] * 12)
    return Block(f"{n_columns} by {n_rows}", columns=tuple(columns), rows=rows, notes=(long,))


def overflows(source: str, folder: Path) -> list[str]:
    """Set the tables in a plain article, and return the complaints of the log about overfull boxes
    and floats."""
    packages = re.findall(r"^% (\\usepackage\{\w+\})$", source, re.M)
    document = [r"\documentclass{article}", *packages, r"\begin{document}", source]
    (folder / "tables.tex").write_text("\n".join([*document, r"\end{document}"]), "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    log = (folder / "tables.log").read_text("latin-1")
    assert done.returncode == 0, log[-2000:]
    return re.findall(r"Overfull \\[hv]box.*|Float too large.*", log)


@pdflatex
def test_overflows_are_seen(tmp_path):
    assert overflows(r"\noindent\rule{500pt}{1pt}", tmp_path)


@pdflatex
@pytest.mark.parametrize("size", [(2, 3), (6, 3), (9, 60), (18, 80), (60, 5)], ids=str)
def test_no_box_overflows(size, tmp_path):
    assert overflows(latex(table(block(*size))), tmp_path) == []


@pdflatex
def test_many_floats_are_set(tmp_path):
    many = latex(table(*(block(2 + i % 9) for i in range(70))))
    assert overflows(many, tmp_path) == []


@pdflatex
def test_one_cell_that_is_wider_than_a_page_is_scaled(tmp_path):
    assert overflows(latex(table(block(2, text="x" * 300))), tmp_path) == []


def test_size_and_orientation_follow_the_width():
    """Upright and large, then small, then sideways, then in several parts."""
    found = [layout.parts(block(n, text="0.12")) for n in range(1, 60)]
    shapes = [(parts[0].size.name, parts[0].sideways, len(parts) > 1) for parts in found]
    assert list(dict.fromkeys(shapes)) == [
        ("footnotesize", False, False),
        ("scriptsize", False, False),
        ("footnotesize", True, False),
        ("scriptsize", True, False),
        ("scriptsize", True, True),
    ]


def test_parts_hold_every_column_once_and_groups_stay_together():
    whole = block(60)
    found = layout.parts(whole)
    titles = [column.title for part in found for column in part.block.columns[1:]]
    assert titles == [column.title for column in whole.columns[1:]]
    for part in found:
        assert part.block.columns[0].title == "method"
        assert (len(part.block.columns) - 1) % 3 == 0


def test_parts_hold_every_row_once_and_the_notes_stand_at_the_end():
    whole = block(3, 150)
    found = layout.parts(whole)
    assert [row for part in found for row in part.block.rows] == list(whole.rows)
    assert [bool(part.block.notes) for part in found] == [False] * (len(found) - 1) + [True]
    labels = re.findall(r"\\label\{(.*?)\}", latex(table(whole)))
    assert len(labels) == len(set(labels)) == len(found)


def test_rows_without_an_entry_in_a_part_are_left_out():
    """A method that has a time at one size alone stands in the part of that size alone."""
    whole = block(60)
    here = Row((Cell("first"), *(Cell("1" * 13 if i < 3 else "") for i in range(60))))
    there = Row((Cell("last"), *(Cell("1" * 13 if i > 56 else "") for i in range(60))))
    first, *middle, last = layout.parts(replace(whole, rows=(here, there)))
    assert not middle
    assert [row.cells[0].text for row in first.block.rows] == ["first"]
    assert [row.cells[0].text for row in last.block.rows] == ["last"]
    assert not first.block.notes and last.block.notes


def test_notes_stand_below_the_rows_and_captions_have_one_number():
    one = replace(table(block(2)), title="Table 9: running times", notes=("of the table",))
    text = latex(one)
    assert r"\caption{Running times (the paper's Table 9): 2 by 3.}" in text
    rows, below = text.split(r"\bottomrule")
    assert "bench run" not in rows
    assert "bench run -{}-suite perturbseq" in below and "of the table." in below
    (caption,) = re.findall(r"\\caption.*", latex(replace(one, title="Table 2")))
    assert caption == r"\caption{The paper's Table 2: 2 by 3.}"


def test_the_first_line_says_what_made_it(make_store):
    store = make_store()
    targets = store.one_target_each(4, 4)
    task = store.task("t", targets, protocol="clean")
    for method in ("a", "b"):
        store.job(method, task, store.at_place(targets, 1))
    made = build(store.store.folder, methods=["a", "b"])
    first = made.to_latex(columns=["mAP", "R@1"]).splitlines()[0]
    assert first == (
        f"% Leaderboard: bench report {store.store.folder} --methods a,b --table leaderboard "
        "--columns mAP,R@1 --latex"
    )


@pytest.fixture(scope="module")
def measured():
    """What the package ships as its results."""
    return build(RESULTS / "store")


@pdflatex
@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES.names)
def test_tables_of_the_results_are_set(measured, name, tmp_path):
    assert overflows(measured.to_latex(name), tmp_path) == []
    for one in (part.block for b in measured.table(name).blocks for part in layout.parts(b)):
        first = leading(one)
        assert all(any(cell.shown for cell in row.cells[first:]) for row in one.rows)


def test_long_words_of_notes_may_be_broken():
    rows = (Row((Cell("m"), Cell("1"))),)
    note = "see " + "a,b/" * 12
    one = Block("t", (Column("method", align="left"), Column("x")), rows, (note,))
    assert r"a,\allowbreak{}b/\allowbreak{}a" in latex(table(one))
    assert latex(table(one)).count("allowbreak") > 20
