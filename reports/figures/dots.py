"""Mean average precision of each method with its interval, and the ceiling as a line."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from cdnbench.metrics import METRICS
from cdnbench.reports.frame import Results
from cdnbench.reports.standings import RANKING, block_title, standings
from cdnbench.reports.table import number, slug

SUMMARY = "mean average precision with its 95 % interval per method, and the ceiling"

COLOURS = {"method": "#2f8f6d", "trivial": "#8b949c", "reference": "#b06a12"}
_INCHES_PER_LINE = 0.24


def draw(results: Results) -> Iterator[tuple[str, Figure]]:
    """One figure per block of the leaderboard."""
    for key, rows in results.factors.blocks(standings(results)):
        drawn = rows.dropna(subset=[RANKING])
        if len(drawn):
            title = block_title(results, key)
            yield slug(title), dot_plot(drawn, title)


def dot_plot(rows: pd.DataFrame, title: str) -> Figure:
    """rows: those of `standings` for one block, the first on top."""
    figure = Figure(figsize=(6.5, 0.9 + _INCHES_PER_LINE * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(rows.itertuples()):
        colour, mean = COLOURS[str(row.kind)], float(getattr(row, RANKING))
        if row.low == row.low:  # not NaN
            axes.plot([max(row.low, 0), min(row.high, 1)], [place] * 2, color=colour, linewidth=1.8)
        filled = colour if row.kind != "trivial" else "white"
        axes.plot(mean, place, "o", color=colour, markerfacecolor=filled, markersize=5.5)
        axes.annotate(
            number(mean),
            (1.0, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            annotation_clip=False,
        )
        if row.kind == "reference":
            axes.axvline(mean, color=colour, linestyle=(0, (4, 4)), linewidth=1, alpha=0.7)
    axes.set_yticks(range(len(rows)), [str(label) for label in rows["label"]], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"], fontsize=8)
    axes.set_xlabel(f"{METRICS[RANKING].title}, 95 % interval over datasets", fontsize=8)
    axes.set_title(title, loc="left", fontsize=9)
    axes.grid(axis="x", color="#e2e4e0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    return figure
