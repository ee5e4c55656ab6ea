"""The paper's Table 2: test perturbations of cells by line, trivial and non-trivial ones apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cdnbench.reports import cells, published
from cdnbench.reports.cells import DIFFERENCE, LINES, MEAN, METRICS, OURS, PRINTED
from cdnbench.reports.frame import Results
from cdnbench.reports.standings import kind
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number, place_best

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
            block, frame = _panel(f"{title}: {panel} perturbations", mine, theirs, lines)
            blocks.append(block)
            frames.append(frame.assign(panel=panel, part=title))
    if not any(set(lines) <= set(LINES) for *_, lines in groups):
        for trivial, panel in PANELS.items():
            theirs = printed[printed["trivial"] == trivial]
            title = f"printed values only: {panel} perturbations"
            block, frame = _panel(title, own.iloc[:0], theirs, LINES)
            blocks.append(block)
            frames.append(frame.assign(panel=panel, part="printed"))
    notes = (
        "rank: 1 is first, .5 chance. R20: share of targets among the first 20. r: Pearson "
        "correlation between the profiles of the first candidate and of the target. mean: over "
        "the lines, each counts once.",
        "-cl: trained on other cell lines only. What needs no training has one row.",
        "gears-covered: genes that GEARS does not know are left out, as candidates and as targets. "
        "The paper scores it so. gears: they come last.",
        "The last column of the printed table (Jurkat, r) is lost but for one value.",
    )
    if own.empty:
        notes = (*notes, f"No results on cells yet: {MAKE}.")
    return Table("table2", "Table 2", tuple(blocks), pd.concat(frames, ignore_index=True), notes)


def _panel(
    title: str, own: pd.DataFrame, printed: pd.DataFrame, lines: Sequence[str]
) -> tuple[Block, pd.DataFrame]:
    """The block, and its numbers in the long form."""
    mine = cells.with_means(own, ["name", "label", "method", "variant", "trivial"])
    theirs = cells.printed_frame(printed)
    ours, other = cells.lookup(mine), cells.lookup(theirs)
    places = [*lines, MEAN]
    columns = [(line, metric) for line in places for metric in METRICS]
    methods = dict(zip(mine["name"], mine["method"], strict=True))
    partial = mine[mine["finished"] < mine["total"]]
    partial = set(zip(partial["name"], partial["cell_line"], strict=True))
    published_methods = list(dict.fromkeys(printed["method"]))
    order = cells.row_order(own, published_methods)
    best = _best(ours, [name for name, _ in order if name], columns)
    rows: list[Row] = []
    long: list[dict[str, object]] = []
    for name, published_name in order:
        got = np.array([ours.get((name, *c), np.nan) for c in columns])
        told = np.array([other.get((published_name or "", *c), np.nan) for c in columns])
        kinds = []
        if name:
            texts = [
                Cell(number(v, 2), bool(best[name][i]), "†" if (name, c[0]) in partial else "")
                for i, (v, c) in enumerate(zip(got, columns, strict=True))
            ]
            rows.append(Row((Cell(name), Cell(OURS), *texts), kind(methods[name])))
            kinds.append((OURS, name, got))
        if published_name:
            texts = [Cell("" if np.isnan(v) else number(v, 2)) for v in told]
            rows.append(Row((Cell(published_name), Cell(PRINTED), *texts), "published"))
            kinds.append((PRINTED, published_name, told))
        if name and published_name:
            gap = got - told
            texts = [Cell("" if np.isnan(v) else cells.signed(v)) for v in gap]
            rows.append(Row((Cell(name), Cell(DIFFERENCE), *texts), "published"))
            kinds.append((DIFFERENCE, name, gap))
        long += [
            {"name": n, "source": source, "cell_line": c[0], "metric": c[1], "value": v}
            for source, n, values in kinds
            for c, v in zip(columns, values, strict=True)
            if not np.isnan(v)
        ]
    heads = (
        Column("method", align="left"),
        Column("source", align="left"),
        *(Column(METRICS[metric], group=line) for line, metric in columns),
    )
    notes = _notes(own, lines, bool(partial))
    notes = (*notes, *cells.networks_beside(own, published_methods))
    if not set(lines) <= set(LINES):
        notes = (*notes, *_difficulty(mine, theirs))
    return Block(title, heads, tuple(rows), notes), pd.DataFrame(long)


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


def _best(
    ours: dict[tuple[str, str, str], float], names: list[str], columns: Sequence[tuple[str, str]]
) -> dict[str, np.ndarray]:
    values = np.array([[ours.get((n, *c), np.nan) for c in columns] for n in names]).reshape(
        len(names), len(columns)
    )
    flags = [place_best(values[:, i], digits=2) for i in range(len(columns))]
    return {name: np.array([flag[i] for flag in flags]) for i, name in enumerate(names)}


def _notes(own: pd.DataFrame, lines: Sequence[str], partial: bool) -> tuple[str, ...]:
    notes = []
    if len(own):
        sizes = own.groupby("cell_line")["total"].max()
        notes.append("Tasks: " + ", ".join(f"{line} {sizes[line]}" for line in lines) + ".")
    if not set(lines) <= set(LINES):
        notes.append(
            "These are not the paper's lines, whose mean stands beside ours: a difference says how "
            "far apart two kinds of data are, not whether a method agrees with the paper."
        )
    if partial:
        notes.append("† rests on fewer tasks than were run.")
    return tuple(notes)
