"""Quality against the share of wrong statements in what a method was told of the genes.

Simulated lines tell methods that need knowledge about their own network, and `--knowledge-error`
says which share of these statements is wrong. A method that gains from knowledge falls as the share
grows; where all of it is wrong, what is left is what the cells themselves tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from cdnbench.metrics import METRICS
from cdnbench.reports.drawing.axes import curve, handle, interval, unit_interval
from cdnbench.reports.drawing.cast import Block, Cast, blocks
from cdnbench.reports.drawing.look import Look
from cdnbench.reports.frame import Results
from cdnbench.reports.labels import digests
from cdnbench.reports.standings import RANKING, interval_unit
from cdnbench.reports.table import slug

SUMMARY = "quality against the share of wrong statements in the knowledge of genes"
NEEDS = "it takes results of one method with two values of --knowledge-error, on simulated lines."

USUAL = 0.5
"""The share where `--knowledge-error` was not given."""
_NAME = "error "
_READING = ["method", "variant", "parameters"]


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure per block in which a method was told things of different quality."""
    cast = Cast(results, look)
    told = _told(results)
    for block in blocks(results):
        rows = block.drawn.drop(columns="method").merge(told, on="label").dropna(subset=["share"])
        kept = rows.groupby(_READING, observed=True)["share"].transform("nunique") > 1
        if kept.any():
            yield slug(block.title), _figure(block, rows[kept], cast, look)


def _told(results: Results) -> pd.DataFrame:
    """One row per label: its reading, and the share of what its method was told that is wrong; NaN
    where that is not known."""
    columns = ["label", *_READING, "knowledge"]
    found = results.readings[columns].drop_duplicates("label").astype(str)
    return found.assign(share=[_share(json.loads(text)) for text in found["knowledge"]])


def _share(knowledge: dict[str, str]) -> float:
    name = knowledge.get("name", "")
    if not digests(knowledge) or (name and not name.startswith(_NAME)):
        return float("nan")
    return float(name.removeprefix(_NAME)) if name else USUAL


def _figure(block: Block, rows: pd.DataFrame, cast: Cast, look: Look) -> Figure:
    figure = look.figure(2.8)
    figure.title(f"{block.title}: what wrong knowledge costs")
    axes = figure.add_subplot()
    axes.set_xlim(-0.04, 1.04)
    over = interval_unit(block.rows)
    unit_interval(axes, "y", f"{METRICS[RANKING].title}, 95 % interval over {over}")
    axes.set_xlabel("share of wrong statements")
    random = block.drawn.loc[block.drawn["method"] == "random", RANKING]
    for value in random:
        axes.axhline(value, color="black", linestyle=(0, (1, 2)), linewidth=0.9, zorder=1)
    shown = []
    for _, own in rows.groupby(_READING, observed=True, sort=False):
        own = own.sort_values("share")
        usual = own.loc[(own["share"] - USUAL).abs().idxmin(), "label"]
        shown.append(cast[usual])
        curve(axes, shown[-1], own["share"].to_numpy(), own[RANKING].to_numpy(), every=1)
        for row in own.to_dict("records"):
            ends = max(row["low"], 0), min(row["high"], 1)
            interval(axes, shown[-1], (row["share"], row["share"]), ends)
    figure.legend_above([handle(a, line=True) for a in shown], [a.stands_out for a in shown])
    figure.note("Dotted: random." if len(random) else "", cast.notes(rows["label"]))
    return figure
