"""The paper's Table 7, its ablations: on non-trivial perturbations of cells beside the printed
values, and on the synthetic settings, for which the paper prints none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
import pandas as pd

from cdnbench.reports import cells, published
from cdnbench.reports.cells import DIFFERENCE, LINES, MEAN, METRICS, OURS, PRINTED
from cdnbench.reports.frame import Results
from cdnbench.reports.paper import ablation
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number

SUMMARY = (
    "the paper's Table 7 (ablations of cdn-axial), ours beside the printed values; `bench train "
    "ablations table7` makes them"
)
NAME = "table7"
_SPLIT = "seen"
"""The split of the printed values."""


def build(results: Results) -> Table:
    """From weights that `bench train ablations table7` made.

    The frame has the columns of Table 8 and `cell_line`, which is empty on the synthetic settings.
    """
    nothing = published.table8().iloc[:0]
    synthetic = ablation(results, nothing, NAME, "Table 7")
    blocks, frames = [], []
    own = _values(results)
    printed = published.load("table7_ablations").rename(columns={"variant": "method"})
    for title, rows, lines in cells.parts(results, own):
        block, frame = _panel(title, rows, printed, lines)
        blocks.append(block)
        frames.append(frame.assign(part=title))
    if not blocks:
        block, frame = _panel("printed values only", own, printed, LINES)
        blocks.append(block)
        frames.append(frame.assign(part="printed"))
    notes = (
        "On cells: non-trivial test perturbations of the split seen; each variant is fine-tuned on "
        "the training perturbations. rank: 1 is first, .5 chance. R20: share of targets among the "
        "first 20. r: Pearson correlation between the profiles of the first candidate and of the "
        "target. mean: over the lines, each counts once.",
        *(["No results on cells yet: bench reproduce table7."] if own.empty else []),
    )
    frame = pd.concat([synthetic.frame, *frames], ignore_index=True)
    return Table(
        NAME, synthetic.title, (*blocks, *synthetic.blocks), frame, (*notes, *synthetic.notes)
    )


def _values(results: Results) -> pd.DataFrame:
    """The rows of `cells.values` of the variants, whose names are the variants'."""
    own = cells.values(results, by=("trivial", "split"))
    readings = results.readings[["label", "parameters"]].drop_duplicates().astype(str)
    weights = [PurePath(json.loads(p).get("weights") or "") for p in readings["parameters"]]
    variants = [path.stem if path.parent.name == NAME else None for path in weights]
    names = dict(zip(readings["label"], variants, strict=True))
    own = own.assign(name=own["label"].map(names))
    kept = own["name"].notna() & (own["trivial"] == False) & (own["split"] == _SPLIT)  # noqa: E712
    return own[kept]


def _panel(
    title: str, own: pd.DataFrame, printed: pd.DataFrame, lines: Sequence[str]
) -> tuple[Block, pd.DataFrame]:
    """The block, and its numbers in the long form."""
    ours = cells.lookup(cells.with_means(own, ["name"]))
    theirs = cells.lookup(cells.printed_frame(printed))
    columns = [(line, metric) for line in (*lines, MEAN) for metric in METRICS]
    there = set(own["name"])
    others = sorted(there - set(printed["method"]))
    rows: list[Row] = []
    long: list[dict[str, object]] = []
    for name in (*dict.fromkeys(printed["method"]), *others):
        mine = np.array([ours.get((name, *c), np.nan) for c in columns])
        told = np.array([theirs.get((name, *c), np.nan) for c in columns])
        kinds = [(OURS, mine)] if name in there else []
        kinds += [(PRINTED, told)] if name not in others else []
        kinds += [(DIFFERENCE, mine - told)] if len(kinds) == 2 else []
        for source, values in kinds:
            text = cells.signed if source == DIFFERENCE else lambda v: number(v, 2)
            texts = [Cell("" if np.isnan(v) else text(v)) for v in values]
            style = "method" if source == OURS else "published"
            rows.append(Row((Cell(name), Cell(source), *texts), style))
            long += [
                {"label": name, "source": source, "cell_line": c[0], "metric": c[1], "mean": v}
                for c, v in zip(columns, values, strict=True)
                if not np.isnan(v)
            ]
    heads = (
        Column("variant", align="left"),
        Column("source", align="left"),
        *(Column(METRICS[metric], group=line) for line, metric in columns),
    )
    notes = []
    if len(own):
        sizes = own.groupby("cell_line")["total"].max()
        notes.append("Tasks: " + ", ".join(f"{line} {sizes[line]}" for line in lines) + ".")
        if not set(lines) <= set(LINES):
            notes.append("These are not the paper's lines, whose mean stands beside ours.")
    return Block(title, heads, tuple(rows), tuple(notes)), pd.DataFrame(long)
