"""Mean average precision of each method with its interval, and the ceiling as a line."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from cdnbench.metrics import METRICS
from cdnbench.reports.drawing.axes import interval, point, unit_interval
from cdnbench.reports.drawing.cast import Cast, blocks
from cdnbench.reports.drawing.look import SMALL, Look
from cdnbench.reports.frame import Results
from cdnbench.reports.standings import RANKING, interval_unit
from cdnbench.reports.table import number, slug

SUMMARY = "mean average precision with its 95 % interval per method, and the ceiling"

_INCHES_PER_LINE = 0.155


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure per block of the leaderboard."""
    cast = Cast(results, look)
    for block in blocks(results):
        if len(block.drawn):
            yield slug(block.title), dot_plot(block.drawn, block.title, cast, look)


def dot_plot(rows: pd.DataFrame, title: str, cast: Cast, look: Look) -> Figure:
    """rows: those of `standings` for one block, the first on top."""
    figure = look.figure(0.5 + _INCHES_PER_LINE * len(rows))
    figure.title(title)
    axes = figure.add_subplot()
    names = []
    for place, row in enumerate(rows.to_dict("records")):
        actor, mean = cast[row["label"]], row[RANKING]
        names.append(actor.full if look.is_wide else actor.name)
        interval(axes, actor, (max(row["low"], 0), min(row["high"], 1)), (place, place))
        point(axes, actor, mean, place)
        axes.annotate(
            number(mean),
            (1.03, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center_baseline",
            fontsize=SMALL,
            fontweight=actor.weight,
            annotation_clip=False,
        )
        if row["kind"] == "reference":
            axes.axvline(mean, color=actor.mark.colour, linestyle=(0, (4, 3)), linewidth=0.8)
    over = interval_unit(rows)
    unit_interval(axes, "x", f"{METRICS[RANKING].title}, 95 % interval over {over}")
    axes.set_yticks(range(len(rows)), names)
    for text, label in zip(axes.get_yticklabels(), rows["label"], strict=True):
        text.set_fontweight(cast[label].weight)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if not look.is_wide:
        figure.note(cast.notes(rows["label"]))
    return figure
