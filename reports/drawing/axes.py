"""The parts of figures that recur: points with intervals, legends, grids of panels, and scales."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from cdnbench.reports.drawing.cast import Actor
from cdnbench.reports.drawing.look import INK, TEXT
from cdnbench.reports.frame import CEILING

CEILING_DASHES = (0, (4, 2))


def point(axes: Axes, actor: Actor, x: float, y: float, size: float = 4.0) -> None:
    """One point with the mark of a reading."""
    axes.plot(
        x,
        y,
        actor.mark.shape,
        color=actor.mark.colour,
        markerfacecolor=actor.mark.face,
        markersize=size * (1.35 if actor.stands_out else 1),
        markeredgewidth=0.9,
        linestyle="none",
        zorder=actor.order + 0.5,
    )


def interval(axes: Axes, actor: Actor, x: Sequence[float], y: Sequence[float]) -> None:
    """A line from one end of an interval to the other; nothing where an end is missing."""
    if not np.isnan([*x, *y]).any():
        axes.plot(x, y, color=actor.mark.colour, linewidth=actor.width * 0.8, zorder=actor.order)


def curve(axes: Axes, actor: Actor, x: np.ndarray, y: np.ndarray, every: int = 0) -> None:
    """A line. every: a marker at each so-manieth point; 0 for about five along the line."""
    axes.plot(
        x,
        y,
        color=actor.mark.colour,
        linewidth=actor.width,
        linestyle=CEILING_DASHES if actor.method == CEILING else "-",
        marker=None if actor.method == CEILING else actor.mark.shape,
        markevery=every or max(len(x) // 5, 1),
        markersize=3.5,
        markerfacecolor=actor.mark.face,
        markeredgewidth=0.8,
        zorder=actor.order,
    )


def handle(actor: Actor, line: bool = False) -> Line2D:
    """What stands for a reading in a legend."""
    is_ceiling = actor.method == CEILING
    return Line2D(
        [],
        [],
        color=actor.mark.colour,
        marker="none" if is_ceiling else actor.mark.shape,
        markerfacecolor=actor.mark.face,
        markersize=4,
        markeredgewidth=0.9,
        linewidth=1.2,
        linestyle=CEILING_DASHES if is_ceiling else "-" if line else "none",
        label=actor.name,
    )


def panels(figure: Figure, n: int, columns: int, **shared) -> list[Axes]:
    """n axes, at most so many side by side, the last line not full."""
    columns = min(columns, n)
    grid = figure.subplots(math.ceil(n / columns), columns, squeeze=False, **shared)
    found = list(grid.ravel())
    for axes in found[n:]:
        axes.remove()
    if n % columns:  # a panel above a gap has the ticks that the gap would have had
        for axes in found[n - columns : n]:
            axes.tick_params(labelbottom=True)
    return found[:n]


def outer_labels(found: Sequence[Axes], columns: int, x: str, y: str) -> None:
    """A label at the left of the first panel of each line, and below the last panel of each
    column."""
    columns = min(columns, len(found))
    for i, axes in enumerate(found):
        if i % columns == 0 and y:
            axes.set_ylabel(y)
        if i + columns >= len(found) and x:
            axes.set_xlabel(x)


def unit_interval(axes: Axes, which: str = "y", label: str = "") -> None:
    """An axis from 0 to 1 with grid and quarters."""
    low, high = -0.03, 1.03
    ticks, texts = [0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"]
    if which == "y":
        axes.set_ylim(low, high)
        axes.set_yticks(ticks, texts)
        if label:
            axes.set_ylabel(label)
    else:
        axes.set_xlim(low, high)
        axes.set_xticks(ticks, texts)
        if label:
            axes.set_xlabel(label)
    axes.grid(axis=which)  # type: ignore[arg-type]


def log_axis(axes: Axes, which: str, texts=None) -> None:
    """A logarithmic axis with plain numbers at powers of ten, and between them if these are few.
    Limits have to be set before.

    texts: a function from a value to its text; `plain_number` by default.
    """
    texts = texts or plain_number
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    few = low > 0 and high / low < 300
    axis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if few else (1,), numticks=9))
    axis.set_major_formatter(FuncFormatter(lambda value, _: texts(value)))
    axis.set_minor_formatter(NullFormatter())
    axes.grid(axis=which)  # type: ignore[arg-type]


def log_sizes(axes: Axes, sizes: Sequence[float], which: str = "x") -> None:
    """A logarithmic axis with a tick at each of a few sizes."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(list(sizes)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))


def plain_number(value: float) -> str:
    """`0.01`, `1`, `1,000`, `10⁶`."""
    if value <= 0:
        return "0"
    if value >= 1e5 or value < 1e-3:
        return f"$10^{{{round(math.log10(value))}}}$"
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def duration(value: float) -> str:
    """Seconds: `1 ms`, `0.1 s`, `100 s`."""
    if value < 0.00095:
        return f"{value * 1e6:g} µs"
    if value < 0.0095:
        return f"{value * 1000:g} ms"
    return f"{value:g} s" if value < 1e4 else f"$10^{{{round(math.log10(value))}}}$ s"


def letter(axes: Axes, text: str) -> None:
    """A title of a panel."""
    axes.set_title(text, fontsize=TEXT, color=INK, pad=3)
