"""The paper's Table 7, its ablations: on non-trivial perturbations of cells beside the printed
values, and on the synthetic settings, for which the paper prints none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

import pandas as pd

from cdnbench.reports import cells, published
from cdnbench.reports.beside import METRICS_NOTE, PARTIAL, partial_of, side_by_side, sizes
from cdnbench.reports.cells import LINES
from cdnbench.reports.frame import Results
from cdnbench.reports.paper import ablation
from cdnbench.reports.table import Block, Kind, Table

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
        f"the training perturbations. {METRICS_NOTE}",
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
    styles: dict[str, Kind] = dict.fromkeys(mine["name"], "method")
    groups = [(names, variant) for variant, names in _order(own, printed).items()]
    found = side_by_side("variant", groups, lines, mine, printed, styles)
    notes = () if own.empty else (sizes(own, lines), *_notes(lines, bool(partial_of(mine))))
    numbers = found.numbers.rename(columns={"name": "label", "value": "mean"})
    where = pd.DataFrame({"suite": cells.SUITE, "split": _SPLIT, "part": title}, numbers.index)
    return Block(title, found.heads, found.rows, notes), where.join(numbers)


def _order(own: pd.DataFrame, printed: pd.DataFrame) -> dict[str, list[str]]:
    """Variant -> names of our rows: the printed variants first."""
    order: dict[str, list[str]] = {variant: [] for variant in printed["method"].unique()}
    for variant, name in own[["variant", "name"]].drop_duplicates().to_numpy():
        order.setdefault(variant, []).append(name)
    return order


def _notes(lines: Sequence[str], partial: bool) -> list[str]:
    known = set(lines) <= set(LINES)
    return [
        *([] if known else ["These are not the paper's lines, whose mean stands beside ours."]),
        *([PARTIAL] if partial else []),
    ]
