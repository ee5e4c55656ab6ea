"""Our mean average precision against the printed one, a point per setting of Table 11."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cdnbench.reports import published
from cdnbench.reports.drawing.axes import letter, outer_labels, panels, unit_interval
from cdnbench.reports.drawing.cast import Cast
from cdnbench.reports.drawing.colours import Mark
from cdnbench.reports.drawing.look import RULE, SMALL, Look
from cdnbench.reports.frame import Results
from cdnbench.reports.paper import SETTING, ours
from cdnbench.reports.standings import block_title
from cdnbench.reports.table import slug

SUMMARY = "mean average precision of ours against the printed one, setting by setting (Table 11)"
NEEDS = "it takes results of `bench run --suite synthetic --protocol dcdi`, the law of the paper."

_SHAPES = {"linear": "o", "polynomial": "^", "sigmoid": "s"}
_PROTOCOL = "dcdi"


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure per block under the protocol of the paper, a panel per published method."""
    cast = Cast(results, look)
    own = ours(results, by_targets=False)
    own = own[(own["metric"] == "map") & (own["protocol"] == _PROTOCOL)]
    printed = published.table11()
    printed = printed[printed["metric"] == "map"]
    for key, rows in results.factors.blocks(own):
        pairs = [
            (cast[label], found)
            for name in dict.fromkeys(printed["method"])
            for label, found in _pairs(rows, printed, name)
        ]
        if pairs:
            title = f"{block_title(results, key)}: ours against the printed mAP"
            yield slug(block_title(results, key)), _figure(pairs, title, look)


def _pairs(
    own: pd.DataFrame, printed: pd.DataFrame, name: str
) -> Iterator[tuple[str, pd.DataFrame]]:
    """(label, settings) of our readings of a published method, those with parameters of the user's
    own left out. The reading of the same name comes first."""
    rows = printed[printed["method"] == name]
    if "corrected" in set(rows["source"]):
        rows = rows[rows["source"] == "corrected"]
    own = own[own["parameters"] == "{}"]
    groups = sorted(own.groupby("label", observed=True, sort=False), key=lambda g: g[0] != name)
    for label, found in groups:
        method, variant = str(found["method"].iloc[0]), str(found["variant"].iloc[0])
        of_name = published.READINGS.get(name)
        if label == of_name if of_name else published.is_reading_of(name, method, variant):
            yield str(label), found.merge(rows, on=list(SETTING), suffixes=("", "_printed"))


def _figure(pairs, title: str, look: Look) -> Figure:
    columns = (5 if len(pairs) > 8 else 4) if look.is_wide else 2
    figure = look.figure(0.3 + (1.45 if columns == 5 else 1.72) * math.ceil(len(pairs) / columns))
    figure.title(title)
    every = panels(figure, len(pairs), columns, sharex=True, sharey=True)
    for axes, (actor, found) in zip(every, pairs, strict=True):
        _panel(axes, found, actor.mark)
        letter(axes, actor.name)
    outer_labels(every, columns, "printed mAP", "our mAP")
    kinds = [
        Line2D([], [], marker=shape, linestyle="none", color="#555555", markersize=4, label=name)
        for name, shape in _SHAPES.items()
    ]
    kinds += [
        Line2D(
            [],
            [],
            marker="o",
            linestyle="none",
            color="#555555",
            markerfacecolor=face,
            markersize=4,
            label=f"{name} interventions",
        )
        for name, face in (("hard", "#555555"), ("soft", "white"))
    ]
    figure.legend_above(kinds)
    figure.note(
        "Lines: one standard deviation over datasets. Soft interventions follow our own law, so "
        "that soft values are context. Printed rows of CDN are corrected for the observational "
        "regime (inferred). Δ: mean difference over hard settings.",
    )
    return figure


def _panel(axes: Axes, found: pd.DataFrame, mark: Mark) -> None:
    axes.plot([0, 1], [0, 1], color=RULE, linewidth=1, zorder=1)
    for row in found.to_dict("records"):
        x, y = row["mean_printed"], row["mean"]
        for xs, ys in (
            ((x - row["sd_printed"], x + row["sd_printed"]), (y, y)),
            ((x, x), (y - row["sd"], y + row["sd"])),
        ):
            if not np.isnan([*xs, *ys]).any():
                axes.plot(xs, ys, color=mark.faded().colour, linewidth=0.8, zorder=2)
        axes.plot(
            x,
            y,
            _SHAPES[row["mechanism"]],
            color=mark.colour,
            markerfacecolor=mark.colour if row["intervention"] == "hard" else "white",
            markersize=3.6,
            markeredgewidth=0.9,
            zorder=3,
        )
    unit_interval(axes, "x")
    unit_interval(axes)
    axes.set_aspect("equal")
    hard = found[found["intervention"] == "hard"]
    difference = (hard["mean"] - hard["mean_printed"]).mean()
    if not np.isnan(difference):
        axes.text(
            0.97, 0.05, f"Δ {difference:+.2f}", transform=axes.transAxes, ha="right", fontsize=SMALL
        )
