"""The paper's Table 2: test perturbations of cells by line, trivial and non-trivial ones apart."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cdnbench.reports import cells, published
from cdnbench.reports.beside import METRICS_NOTE, PARTIAL, partial_of, side_by_side, sizes
from cdnbench.reports.cells import LINES, MEAN
from cdnbench.reports.frame import Results
from cdnbench.reports.standings import kind
from cdnbench.reports.table import Block, Kind, Table

SUMMARY = "the paper's Table 2 (cells, trivial and non-trivial), ours beside the printed values"
PANELS = {True: "trivial", False: "nontrivial"}
MAKE = "bench reproduce table2"


def build(results: Results) -> Table:
    """One panel each for trivial and non-trivial perturbations.

    The frame has one row per (factors, panel, name, source, line, metric); the line `mean` is the
    mean over lines.
    """
    own = cells.values(results, by=("trivial",))
    printed = published.load("table2_perturbseq")
    printed = printed.assign(trivial=printed.pop("subset") == "trivial")
    blocks: list[Block] = []
    frames: list[pd.DataFrame] = []
    groups = list(cells.parts(results, own))
    for title, rows, lines in groups:
        for trivial, panel in PANELS.items():
            mine = rows[rows["trivial"] == trivial]
            theirs = printed[printed["trivial"] == trivial]
            if set(lines) <= set(LINES):
                theirs = theirs[theirs["cell_line"].isin(lines)]
            block, frame = _panel(results, f"{title}: {panel} perturbations", mine, theirs, lines)
            blocks.append(block)
            frames.append(frame.assign(panel=panel, part=title))
    if not any(set(lines) <= set(LINES) for *_, lines in groups):
        shown = cells.printed_beside(results, own, printed)
        for trivial, panel in PANELS.items() if len(shown) else ():
            theirs = shown[shown["trivial"] == trivial]
            title = f"printed values only: {panel} perturbations"
            block, frame = _panel(None, title, own.iloc[:0], theirs, LINES)
            blocks.append(block)
            frames.append(frame.assign(panel=panel, part="printed"))
    notes = (
        METRICS_NOTE,
        "-cl: trained on other cell lines only. What needs no training has one row.",
        "gears-covered: genes that GEARS does not know are left out, as candidates and as targets. "
        "The paper scores it so. gears: they come last.",
        "The last column of the printed table (Jurkat, r) is lost but for one value.",
    )
    if own.empty:
        notes = (*notes, f"No results on cells yet: {MAKE}.")
    columns = ["name", "source", "cell_line", "metric", "value", "panel", "part"]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    return Table("table2", "Table 2", tuple(blocks), frame, notes)


def _panel(
    results: Results | None,
    title: str,
    own: pd.DataFrame,
    printed: pd.DataFrame,
    lines: Sequence[str],
) -> tuple[Block, pd.DataFrame]:
    """The block, and its numbers in the long form. results: None where `printed` stands alone."""
    every = printed
    printed = printed if results is None else cells.printed_beside(results, own, printed)
    mine = cells.with_means(own, ["name", "label", "method", "variant", "trivial"])
    published_methods = list(dict.fromkeys(printed["method"]))
    groups = [
        ([name] if name else [], beside) for name, beside in cells.row_order(own, published_methods)
    ]
    names, methods = mine["name"], mine["method"]
    styles: dict[str, Kind] = {n: kind(m) for n, m in zip(names, methods, strict=True)}
    found = side_by_side("method", groups, lines, mine, printed, styles, mark_best=True)
    notes = [*_notes(own, lines), *([PARTIAL] if partial_of(mine) else [])]
    if results is not None:
        notes += cells.networks_beside(results, own, published_methods)
    if not set(lines) <= set(LINES):
        notes += _difficulty(mine, cells.printed_frame(every))
    return Block(title, found.heads, found.rows, tuple(notes)), found.numbers


SIMPLE = "target-shift"
"""A row that looks at each gene alone, which tells how hard a line is."""


def _difficulty(mine: pd.DataFrame, printed: pd.DataFrame) -> tuple[str, ...]:
    """How hard our lines are beside the paper's, if we have the simple row."""

    def ranks(rows: pd.DataFrame) -> pd.Series:
        of_rank = rows[(rows["metric"] == "rank") & (rows["cell_line"] == MEAN)]
        return of_rank.groupby("name")["value"].max()

    ours, theirs = ranks(mine), ranks(printed)
    if SIMPLE not in ours:
        return ()
    best = theirs.idxmax()
    return (
        f"How hard these lines are: {SIMPLE}, which looks at each gene alone, reaches a mean rank "
        f"of {ours[SIMPLE]:.2f} here; on the paper's lines the best printed method, {best}, "
        f"reaches {theirs[best]:.2f}.",
    )


def _notes(own: pd.DataFrame, lines: Sequence[str]) -> list[str]:
    notes = [] if own.empty else [sizes(own, lines)]
    if not set(lines) <= set(LINES):
        notes.append(
            "These are not the paper's lines, whose mean stands beside ours: a difference says how "
            "far apart two kinds of data are, not whether a method agrees with the paper."
        )
    return notes
