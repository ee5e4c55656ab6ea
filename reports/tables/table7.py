"""The paper's Table 7, its ablations: on non-trivial perturbations of cells beside the printed
values, and on the synthetic settings, for which the paper prints none.
"""

from __future__ import annotations

import json
from collections import Counter
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

    The frame has the columns of Table 8 and, on cells, `cell_line` and `part`, the title of the
    block.
    """
    nothing = published.table8().iloc[:0]
    synthetic = ablation(results, nothing, NAME, "Table 7")
    blocks, frames = [], []
    own = _values(results)
    printed = published.load("table7_ablations").rename(columns={"variant": "method"})
    for title, rows, lines in cells.parts(results, own):
        block, frame = _panel(title, rows, printed, lines)
        blocks.append(block)
        frames.append(frame)
    if not blocks:
        block, frame = _panel("printed values only", own, printed, LINES)
        blocks.append(block)
        frames.append(frame)
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
    """The rows of `cells.values` of the variants that were fine-tuned, whose names are the
    variants', with the parameters other than weights, and the label where that is not enough."""
    own = cells.values(results, by=("trivial", "split"))
    own = own[own["method"].isin(cells.PAPERS_OWN) & (own["split"] == _SPLIT)]
    own = own[~own["trivial"].astype(bool)]
    readings = results.readings[["label", "parameters"]].astype(str)
    readings = readings[readings["label"].isin(own["label"])].drop_duplicates("label")
    variants, names = {}, {}
    for label, text in readings.itertuples(index=False):
        parameters = json.loads(text)
        weights = PurePath(parameters.pop("weights", None) or "")
        if weights.parent.name == NAME:
            details = ", ".join(f"{name}={value}" for name, value in parameters.items())
            variants[label] = weights.stem
            names[label] = f"{weights.stem} [{details}]" if details else weights.stem
    counts = Counter(names.values())
    names = {
        label: name if counts[name] == 1 else f"{name} ({label})" for label, name in names.items()
    }
    return own.assign(name=own["label"].map(names), variant=own["label"].map(variants)).dropna(
        subset=["name"]
    )


def _panel(
    title: str, own: pd.DataFrame, printed: pd.DataFrame, lines: Sequence[str]
) -> tuple[Block, pd.DataFrame]:
    """The block, and its numbers in the long form."""
    if set(lines) <= set(LINES):
        printed = printed[printed["cell_line"].isin(lines)]
    mine = cells.with_means(own, ["name"])
    ours, theirs = cells.lookup(mine), cells.lookup(cells.printed_frame(printed))
    partial = mine[mine["finished"] < mine["total"]]
    partial = set(zip(partial["name"], partial["cell_line"], strict=True))
    columns = [(line, metric) for line in (*lines, MEAN) for metric in METRICS]
    rows: list[Row] = []
    long: list[dict[str, object]] = []
    for variant, names in _order(own, printed).items():
        told = np.array([theirs.get((variant, *c), np.nan) for c in columns])
        got = {name: np.array([ours.get((name, *c), np.nan) for c in columns]) for name in names}
        kinds = [(OURS, name, values) for name, values in got.items()]
        if not np.isnan(told).all():
            kinds += [(PRINTED, variant, told)]
            kinds += [(DIFFERENCE, name, values - told) for name, values in got.items()]
        for source, name, values in kinds:
            text = cells.signed if source == DIFFERENCE else lambda v: number(v, 2)
            texts = [
                Cell(
                    "" if np.isnan(v) else text(v),
                    mark="†" if source == OURS and (name, c[0]) in partial else "",
                )
                for v, c in zip(values, columns, strict=True)
            ]
            style = "method" if source == OURS else "published"
            rows.append(Row((Cell(name), Cell(source), *texts), style))
            long += [
                {
                    "suite": cells.SUITE,
                    "split": _SPLIT,
                    "part": title,
                    "label": name,
                    "source": source,
                    "cell_line": c[0],
                    "metric": c[1],
                    "mean": v,
                }
                for c, v in zip(columns, values, strict=True)
                if not np.isnan(v)
            ]
    heads = (
        Column("variant", align="left"),
        Column("source", align="left"),
        *(Column(METRICS[metric], group=line) for line, metric in columns),
    )
    return Block(title, heads, tuple(rows), _notes(own, lines, bool(partial))), pd.DataFrame(long)


def _order(own: pd.DataFrame, printed: pd.DataFrame) -> dict[str, list[str]]:
    """Variant -> names of our rows: the printed variants first."""
    order: dict[str, list[str]] = {variant: [] for variant in printed["method"].unique()}
    for variant, name in own[["variant", "name"]].drop_duplicates().to_numpy():
        order.setdefault(variant, []).append(name)
    return order


def _notes(own: pd.DataFrame, lines: Sequence[str], partial: bool) -> tuple[str, ...]:
    if own.empty:
        return ()
    sizes = own.groupby("cell_line")["total"].max()
    return (
        "Tasks: " + ", ".join(f"{line} {sizes[line]}" for line in lines) + ".",
        *(
            ["These are not the paper's lines, whose mean stands beside ours."]
            if not set(lines) <= set(LINES)
            else []
        ),
        *(["† rests on fewer tasks than were run."] if partial else []),
    )
