"""Where the targets stand: the share of them within the first k candidates, k on a log axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdnbench.reports.drawing.axes import curve, handle, log_axis, unit_interval
from cdnbench.reports.drawing.cast import Actor, Cast, blocks, left_out
from cdnbench.reports.drawing.look import RULE, SMALL, Look
from cdnbench.reports.drawing.targets import in_top, target_places
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.table import slug

SUMMARY = "places of the targets: the share of them within the first k candidates"

_SHOWN = 9
_POINTS = 120


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure per block."""
    cast = Cast(results, look)
    for block in blocks(results):
        actors = cast.chosen(block.rows, _SHOWN)
        readings = results.factors.rows(results.readings, block.key)
        has_ceiling = CEILING in set(readings["label"])
        shown = [*([cast[CEILING]] if has_ceiling else []), *actors]
        readings = readings[readings["label"].isin([a.label for a in shown])]
        readings = readings[readings["status"] == "ok"]
        places = target_places(results, readings.index.to_list())
        if places.empty:
            continue
        places = places.join(readings["label"].astype(str), on="reading")
        figure = look.figure(2.4)
        figure.title(f"{block.title}: places of the targets")
        axes = figure.add_subplot()
        _curves(axes, places, shown)
        figure.legend_above([handle(a, line=True) for a in shown], [a.stands_out for a in shown])
        figure.note(
            "Over all targets of all regimes, in the mean over the orders of tied variables.",
            left_out(actors, block),
            cast.notes(a.label for a in actors),
        )
        yield slug(block.title), figure


def _curves(axes: Axes, places, shown: Sequence[Actor]) -> None:
    longest = int(places["n_candidates"].max())
    k = np.unique(np.geomspace(1, longest, min(longest, _POINTS)).round())
    first = places[places["label"] == shown[-1].label]
    chance = np.minimum(k[None, :] / first["n_candidates"].to_numpy()[:, None], 1).mean(axis=0)
    axes.plot(k, chance, color=RULE, linewidth=3, solid_capstyle="round", zorder=1)
    middle = len(k) // 2
    axes.annotate(
        "chance",
        (k[middle], chance[middle]),
        xytext=(5, -3),
        textcoords="offset points",
        va="top",
        fontsize=SMALL,
        color="#777777",
    )
    for actor in reversed(shown):
        own = places[places["label"] == actor.label]
        if len(own):
            curve(axes, actor, k, in_top(own, k).mean(axis=0))
    unit_interval(axes, "y", "share of the targets")
    axes.set_xlim(0.93, longest * 1.07)
    log_axis(axes, "x")
    axes.set_xlabel("among the first k candidates")
