"""What the paper's Tables 1, 5 and 6 share: lines of the stores beside the printed ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from cdnbench.reports import published
from cdnbench.reports.cells import DIFFERENCE, OURS, PRINTED
from cdnbench.reports.frame import Results
from cdnbench.reports.table import Block, Cell, Column, Row, Table

TYPES = {"perturbseq": "genetic", "sciplex": "chemical"}
"""Suite -> the type that the paper gives to its screens."""
_TEXTS = ("type", "cell_line", "source", "accession")


def beside(
    results: Results,
    name: str,
    file: str,
    headings: Mapping[str, str],
    ours: Callable[[pd.DataFrame], pd.DataFrame],
    notes: tuple[str, ...],
) -> Table:
    """The printed lines, each with ours of the same name below it, then our other lines.

    file: the printed table. headings: its columns -> their titles. ours: lines of the stores ->
    the printed table's columns. The frame has one row per (line, source).
    """
    printed = published.load(file)
    lines = results.lines
    lines = lines[lines["suite"].isin(list(TYPES))]
    own = ours(lines).assign(
        cell_line=lines["cell_line"].to_numpy(),
        type=lines["suite"].map(TYPES).to_numpy(),
        simulated=lines["simulated"].astype(bool).to_numpy(),
    )
    columns = list(headings)
    numeric = [c for c in columns if c not in _TEXTS]
    printed = printed.assign(table_source=PRINTED, simulated=False)
    own = own.assign(table_source=OURS).reindex(columns=printed.columns)
    frames = [printed]
    for line in own["cell_line"]:
        mine = own[own["cell_line"] == line]
        told = printed[printed["cell_line"] == line]
        frames.append(mine)
        if len(told):
            gap = mine[numeric].to_numpy(float) - told[numeric].to_numpy(float)
            frames.append(
                mine.assign(
                    table_source=DIFFERENCE,
                    **{c: gap[:, i] for i, c in enumerate(numeric)},
                )
            )
    frame = pd.concat([f for f in frames if len(f)], ignore_index=True)
    order = list(dict.fromkeys(frame["cell_line"]))
    frame = frame.sort_values("cell_line", key=lambda c: c.map(order.index), kind="stable")
    rows = [_row(row, columns) for _, row in frame.iterrows()]
    heads = (
        *(Column(headings[c], align="left") for c in columns if c in _TEXTS),
        Column("values", align="left"),
        *(Column(headings[c]) for c in numeric),
    )
    kinds = "ours and printed" if len(own) else "printed values only"
    if own["simulated"].any():
        kinds += " [SIMULATED DATA among ours]"
    if len(own) and own[numeric].isna().to_numpy().any():
        notes = (*notes, "A dash: the paper prints none, or the store does not tell.")
    title = name.replace("table", "Table ")
    return Table(name, title, (Block(kinds, heads, tuple(rows), ()),), frame, notes)


def _row(row: pd.Series, columns: list[str]) -> Row:
    source = row["table_source"]
    told = f"{source} (simulated)" if row["simulated"] and source == OURS else source
    texts = [str(row[c]) if isinstance(row[c], str) else "" for c in columns if c in _TEXTS]
    counts = [count(row[c], signed=source == DIFFERENCE) for c in columns if c not in _TEXTS]
    kind = "published" if source != OURS else "method"
    return Row(tuple(map(Cell, [*texts, told, *counts])), kind)


def count(value: float, signed: bool = False) -> str:
    """`492,096`, `+12`; a dash where there is none."""
    if pd.isna(value):
        return "–"
    text = f"{value:+,.1f}" if signed else f"{value:,.1f}"
    return text.removesuffix(".0")


def columns_of(lines: pd.DataFrame, **sources: str) -> pd.DataFrame:
    """Printed name = our name of each column."""
    return pd.DataFrame(
        {name: lines[own].to_numpy(float) for name, own in sources.items()}, dtype=float
    )
