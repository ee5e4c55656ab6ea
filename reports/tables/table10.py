"""The paper's Table 10: how much the values on cells vary over rounds of subsampling cells."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cdnbench.reports import cells, published
from cdnbench.reports.cells import LINES, MEAN, METRICS, OURS, PRINTED
from cdnbench.reports.factors import SUBSAMPLE
from cdnbench.reports.frame import Results
from cdnbench.reports.standings import kind
from cdnbench.reports.table import Block, Cell, Column, Row, Table, plus_minus

SUMMARY = (
    "the paper's Table 10 (standard deviation over rounds of subsampling cells), ours beside the "
    "printed values"
)
MAKE = "bench reproduce table10"
_KEYS = ["name", "label", "method", "variant"]


def build(results: Results) -> Table:
    """Mean ± standard deviation over rounds, for the whole test set.

    The frame has one row per (part, name, source, line, metric); `n` is the number of rounds.
    """
    own = over_rounds(cells.values(results, by=(SUBSAMPLE,)))
    printed = published.load("table10_uncertainty").rename(columns={"mean": "value"})
    blocks: list[Block] = []
    frames: list[pd.DataFrame] = []
    groups = list(cells.parts(results, own))
    for title, rows, lines in groups:
        known = set(lines) <= set(LINES)
        theirs = printed[printed["cell_line"].isin(lines)] if known else printed
        theirs = cells.printed_beside(results, rows, theirs)
        block, frame = _block(results, f"{title}: rounds of subsampling", rows, theirs, lines)
        blocks.append(block)
        frames.append(frame.assign(part=title))
    if not any(set(lines) <= set(LINES) for *_, lines in groups):
        theirs = cells.printed_beside(results, own, printed)
        if len(theirs):
            title = "printed values only"
            block, frame = _block(results, title, own, theirs, LINES, shown=False)
            blocks.append(block)
            frames.append(frame.assign(part="printed"))
    notes: tuple[str, ...] = (
        "Mean ± standard deviation over rounds; in each, every perturbation keeps 80 % of its "
        "cells, at least 50. The mean over lines stands with the mean of their deviations.",
        "The paper does not say which perturbations Table 10 rests on; it comes nearest to all of "
        "the test set, which is what ours rest on.",
    )
    if own.empty:
        notes = (*notes, f"No results of rounds of subsampling yet: {MAKE}.")
    columns = ["name", "source", "cell_line", "metric", "value", "sd", "part"]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    return Table("table10", "Table 10", tuple(blocks), frame, notes)


def over_rounds(values: pd.DataFrame) -> pd.DataFrame:
    """Mean (`value`), `sd` (ddof 1) and number (`n`) over rounds, one row per line and metric."""
    keys = [c for c in values.columns if c not in (SUBSAMPLE, "value", "finished", "total")]
    columns = {"value": "mean", "sd": "std", "n": "count"}
    if values.empty:
        return pd.DataFrame(columns=[*keys, *columns, "finished", "total"])
    groups = values.groupby(keys, sort=False)
    found = groups["value"].agg(list(columns.values()))
    found = found.rename(columns={statistic: name for name, statistic in columns.items()})
    counts = groups[["finished", "total"]].sum()
    return found.join(counts).reset_index()


def _block(
    results: Results,
    title: str,
    own: pd.DataFrame,
    printed: pd.DataFrame,
    lines: Sequence[str],
    *,
    shown: bool = True,
) -> tuple[Block, pd.DataFrame]:
    own = own if shown else own.iloc[:0]
    mine = _with_mean_deviation(own, _KEYS)
    theirs = _with_mean_deviation(printed.rename(columns={"method": "name"}), ["name"])
    columns = [(line, metric) for line in (*lines, MEAN) for metric in METRICS]
    methods = dict(zip(mine["name"], mine["method"], strict=True)) if len(mine) else {}
    rows: list[Row] = []
    published_methods = list(dict.fromkeys(printed["method"]))
    for name, published_name in cells.row_order(own, published_methods):
        for source, label, frame in ((OURS, name, mine), (PRINTED, published_name, theirs)):
            if not label:
                continue
            means, sds = cells.lookup(frame), cells.lookup(frame, "sd")
            texts = [
                Cell(plus_minus(means[(label, *c)], sds[(label, *c)], 2))
                if (label, *c) in means
                else Cell()
                for c in columns
            ]
            of = kind(methods[label]) if source == OURS else "published"
            rows.append(Row((Cell(label), Cell(source), *texts), of))
    heads = (
        Column("method", align="left"),
        Column("source", align="left"),
        *(Column(METRICS[metric], group=line) for line, metric in columns),
    )
    kept = ["name", "source", "cell_line", "metric", "value", "sd"]
    told = [f.assign(source=s)[kept] for s, f in ((OURS, mine), (PRINTED, theirs)) if len(f)]
    long = pd.concat(told, ignore_index=True)
    notes = []
    if len(own):
        rounds = own.loc[own["metric"] == "rank", "n"]
        least, most = int(rounds.min()), int(rounds.max())
        notes.append(f"Rounds: {most}." if least == most else f"Rounds: {least} to {most}.")
    notes += cells.networks_beside(results, own, published_methods)
    if not set(lines) <= set(LINES):
        notes.append("These are not the paper's lines, whose mean stands beside ours.")
    return Block(title, heads, tuple(rows), tuple(notes)), long


def _with_mean_deviation(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The rows and their means over lines, of the values and of the deviations."""
    groups = frame.groupby([*keys, "metric"], sort=False)[["value", "sd"]].mean().reset_index()
    return pd.concat([frame, groups.assign(cell_line=MEAN)], ignore_index=True)
