"""Quality against time: mean average precision over the median seconds of a task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from cdnbench.metrics import METRICS
from cdnbench.reports import times
from cdnbench.reports.drawing.axes import duration, interval, log_axis, point, unit_interval
from cdnbench.reports.drawing.cast import Block, Cast, blocks
from cdnbench.reports.drawing.look import RULE, SMALL, Look
from cdnbench.reports.frame import Results
from cdnbench.reports.standings import RANKING, interval_unit
from cdnbench.reports.table import slug

SUMMARY = "quality against time: mean average precision over the median seconds of a task"

_AROUND = [(angle, distance) for distance in (5, 11, 18, 26, 36) for angle in np.arange(0, 360, 30)]
"""Where the name of a point may stand: directions (degrees) at growing distances (points)."""


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure per block: the best reading of each method that has a time."""
    cast = Cast(results, look)
    for block in blocks(results):
        rows = block.drawn.dropna(subset=["seconds"])
        rows = rows[(rows["kind"] != "reference") & (rows["seconds"] > 0)]
        ordered = rows.sort_values(["finished", RANKING], ascending=False, kind="stable")
        rows = ordered.drop_duplicates("method")
        if len(rows):
            yield slug(block.title), _figure(results, block, rows, cast, look)


def _figure(results: Results, block: Block, rows: pd.DataFrame, cast: Cast, look: Look) -> Figure:
    figure = look.figure(3.4 if look.is_wide else 3.0)
    figure.title(f"{block.title}: quality against time")
    axes = figure.add_subplot()
    low, high = rows["seconds"].min(), rows["seconds"].max()
    axes.set_xlim(low / 2, high * 4)
    log_axis(axes, "x", duration)
    over = interval_unit(block.rows)
    unit_interval(axes, "y", f"{METRICS[RANKING].title}, 95 % interval over {over}")
    taken = times.comparable(results.jobs, results.factors.rows(results.readings, block.key))
    axes.set_xlabel(f"median time of a task\n({taken.conditions})")
    ceiling = block.drawn.loc[block.drawn["kind"] == "reference", RANKING]
    for value in ceiling:
        axes.axhline(value, color="black", linestyle=(0, (4, 2)), linewidth=0.9, zorder=1)
    _frontier(axes, rows)
    for row in rows.to_dict("records"):
        actor, x = cast[row["label"]], row["seconds"]
        interval(axes, actor, (x, x), (max(row["low"], 0), min(row["high"], 1)))
        point(axes, actor, x, row[RANKING], size=5)
    figure.note(
        "Grey line: nothing that finished every dataset is both faster and better. "
        f"{'Dashed: the ceiling.' if len(ceiling) else 'No ceiling.'}",
        "Time of scoring a task; training is not in it.",
        *taken.caveats,
        taken.note("Times"),
        _partial(rows, cast),
        cast.notes(rows["label"]),
    )
    figure.draw_without_rendering()  # places of points in print are known from here on
    _name_points(axes, rows, cast)
    return figure


def _partial(rows: pd.DataFrame, cast: Cast) -> str:
    """Who finished fewer datasets than were run."""
    some = rows[rows["finished"] < rows["total"]]
    told = (
        f"{cast[row['label']].name} {row['finished']} of {row['total']}"
        for row in some.to_dict("records")
    )
    return f"Datasets, where not all: {', '.join(told)}." if len(some) else ""


def _frontier(axes: Axes, rows: pd.DataFrame) -> None:
    """A staircase through the methods that nothing beats in both respects. Those that finished a
    part of the datasets alone are on no line: their means are of other tasks."""
    ordered = rows[rows["covers"].astype(bool)].sort_values(
        ["seconds", RANKING], ascending=[True, False]
    )
    best = ordered[RANKING].cummax()
    kept = ordered[(ordered[RANKING] == best) & ~best.duplicated()]
    axes.step(kept["seconds"], kept[RANKING], where="post", color=RULE, linewidth=2, zorder=1)


def _name_points(axes: Axes, rows: pd.DataFrame, cast: Cast) -> None:
    """A name beside each point, where it covers neither points nor other names; a thin line leads
    to a name that had to move away."""
    figure = axes.figure
    canvas = axes.get_window_extent()
    xy = axes.transData.transform(rows[["seconds", RANKING]].to_numpy(float))
    scale = figure.dpi / 72
    around = 4.0 * scale
    taken = [Bbox.from_extents(x - around, y - around, x + around, y + around) for x, y in xy]
    order = sorted(range(len(rows)), key=lambda i: not cast[rows["label"].iloc[i]].stands_out)
    for i in order:
        actor = cast[rows["label"].iloc[i]]
        text = axes.annotate(
            actor.name,
            xy[i],
            xycoords="figure pixels",
            textcoords="figure pixels",
            fontsize=SMALL,
            fontweight=actor.weight,
            color="#222222" if actor.stands_out or not _any_highlight(rows, cast) else "#777777",
            annotation_clip=False,
        )
        text.set_in_layout(False)
        box = text.get_window_extent()
        place, distance = _free_place(xy[i], (box.width, box.height), taken, canvas, scale)
        axes_place = axes.transData.inverted().transform([xy[i], (place.x0, place.y0)])
        text.remove()
        moved = axes.annotate(
            actor.name,
            axes_place[0],
            xytext=axes_place[1],
            fontsize=SMALL,
            fontweight=actor.weight,
            color=text.get_color(),
            va="bottom",
            ha="left",
            annotation_clip=False,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.3},
            arrowprops={
                "arrowstyle": "-",
                "color": "#999999",
                "linewidth": 0.5,
                "shrinkB": 3,
                "shrinkA": 0,
            }
            if distance > 11
            else None,
            zorder=6,
        )
        moved.set_in_layout(False)
        taken.append(place)


def _any_highlight(rows: pd.DataFrame, cast: Cast) -> bool:
    return any(cast[label].stands_out for label in rows["label"])


def _free_place(
    xy: np.ndarray, size: tuple[float, float], taken: Sequence[Bbox], canvas: Bbox, scale: float
) -> tuple[Bbox, float]:
    """The first box around a point that covers nothing, and its distance in points; if all cover
    something, the one that covers least."""
    best: tuple[float, Bbox, float] | None = None
    for angle, distance in _AROUND:
        dx, dy = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        x, y = xy + distance * scale * np.array([dx, dy])
        x -= size[0] * (1 - dx) / 2
        y -= size[1] * (1 - dy) / 2
        box = Bbox.from_bounds(x, y, *size)
        outside = size[0] * size[1] - _shared(box, canvas)
        covered = outside + sum(_shared(box, other) for other in taken)
        if covered < 1e-6:
            return box, distance
        if best is None or covered < best[0]:
            best = covered, box, distance
    assert best is not None
    return best[1], best[2]


def _shared(a: Bbox, b: Bbox) -> float:
    """The area that two boxes have in common."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(width, 0) * max(height, 0)
