"""Rows on cells, ours above the printed ones and the differences: what Tables 2 and 7 share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cdnbench.reports import cells
from cdnbench.reports.cells import DIFFERENCE, MEAN, METRICS, OURS, PRINTED
from cdnbench.reports.table import Cell, Column, Kind, Row, number, place_best

METRICS_NOTE = (
    "rank: 1 is first, .5 chance. R20: share of targets among the first 20. r: Pearson correlation "
    "between the profile of the target and that of the first candidate that has a profile. mean: "
    "over the lines, each counts once."
)
"""What the columns of `METRICS` and the column `MEAN` hold."""
PARTIAL = "† rests on fewer tasks than were run."


@dataclass(frozen=True, eq=False)
class Beside:
    """heads, rows: of a block. numbers: name, source, cell_line, metric, value, one row each."""

    heads: tuple[Column, ...]
    rows: tuple[Row, ...]
    numbers: pd.DataFrame


def side_by_side(
    heading: str,
    groups: Sequence[tuple[Sequence[str], str | None]],
    lines: Sequence[str],
    mine: pd.DataFrame,
    printed: pd.DataFrame,
    styles: Mapping[str, Kind],
    mark_best: bool = False,
) -> Beside:
    """One group of rows after the other: ours, the printed one, and ours less the printed one.

    heading: of the first column. groups: names of ours, and of the printed row beside them if there
    is one. mine: rows of `cells.with_means`. printed: rows of a printed table. styles: name of ours
    -> style of its rows. mark_best: whether the best of ours stands out in each column.
    """
    columns = [(line, metric) for line in (*lines, MEAN) for metric in METRICS]
    ours, theirs = cells.lookup(mine), cells.lookup(cells.printed_frame(printed))
    partial = partial_of(mine)

    def row_of(found: Mapping[tuple[str, str, str], float], name: str) -> np.ndarray:
        return np.array([found.get((name, *c), np.nan) for c in columns])

    got = {name: row_of(ours, name) for names, _ in groups for name in names}
    stacked = np.array(list(got.values())).reshape(len(got), len(columns))
    best = np.array([place_best(column, digits=2) for column in stacked.T]).T if mark_best else None
    order = {name: i for i, name in enumerate(got)}
    rows: list[Row] = []
    numbers: list[dict[str, object]] = []
    for names, beside in groups:
        kinds = [(OURS, name, got[name]) for name in names]
        told = row_of(theirs, beside or "")
        if beside and not np.isnan(told).all():
            kinds += [(PRINTED, beside, told)]
            kinds += [(DIFFERENCE, name, got[name] - told) for name in names]
        for source, name, values in kinds:
            texts = []
            for i, (value, (line, _)) in enumerate(zip(values, columns, strict=True)):
                if source == OURS:
                    mark = "†" if (name, line) in partial else ""
                    bold = best is not None and bool(best[order[name], i])
                    texts.append(Cell(number(value, 2), bold, mark))
                else:
                    text = cells.signed(value) if source == DIFFERENCE else number(value, 2)
                    texts.append(Cell("" if np.isnan(value) else text))
            style: Kind = styles[name] if source == OURS else "published"
            rows.append(Row((Cell(name), Cell(source), *texts), style))
            numbers += [
                {"name": name, "source": source, "cell_line": line, "metric": metric, "value": v}
                for (line, metric), v in zip(columns, values, strict=True)
                if not np.isnan(v)
            ]
    heads = (
        Column(heading, align="left"),
        Column("source", align="left"),
        *(Column(METRICS[metric], group=line) for line, metric in columns),
    )
    return Beside(heads, tuple(rows), pd.DataFrame(numbers))


def partial_of(mine: pd.DataFrame) -> set[tuple[str, str]]:
    """(name, line) of our values that rest on fewer tasks than were run."""
    rows = mine[mine["finished"] < mine["total"]]
    return set(zip(rows["name"], rows["cell_line"], strict=True))


def sizes(own: pd.DataFrame, lines: Sequence[str]) -> str:
    """A note on how many tasks each line has. A line may have none of the kind that is shown."""
    found = own.groupby("cell_line")["total"].max()
    return "Tasks: " + ", ".join(f"{line} {found.get(line, 0)}" for line in lines) + "."
