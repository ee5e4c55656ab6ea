"""Figure 8: the share of a perturbation's differential genes that GEARS knows nothing of."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from cdnbench.reports.drawing.axes import unit_interval
from cdnbench.reports.drawing.lines import NEEDS as _NEEDS
from cdnbench.reports.drawing.lines import (
    distribution,
    line_colours,
    name_lines,
    perturbations,
    title,
)
from cdnbench.reports.drawing.look import Look
from cdnbench.reports.frame import Results

SUMMARY = "Figure 8: share of a perturbation's differential genes that GEARS' knowledge lacks"
NEEDS = _NEEDS


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """A point per perturbation, where annotations were given."""
    rows = perturbations(results)
    rows = None if rows is None else rows.dropna(subset=["not_covered"])
    if rows is None or rows.empty:
        return
    shares = rows.assign(share=rows["not_covered"] / rows["differential"])
    colours = line_colours(rows["line"])
    figure = look.figure(0.5 + 0.3 * len(colours))
    figure.title(title(rows, "Figure 8: differential genes without annotations"))
    axes = figure.add_subplot()
    for place, (line, colour) in enumerate(colours.items()):
        distribution(axes, place, shares.loc[shares["line"] == line, "share"].to_list(), colour)
    name_lines(axes, list(colours))
    largest = shares["share"].max()
    if largest > 0.3:
        unit_interval(axes, "x")
    else:  # the whole axis would hide what there is
        axes.set_xlim(-0.01 * max(largest, 0.1), max(largest, 0.1) * 1.08)
        axes.grid(axis="x")
    axes.set_xlabel("share of the differential genes of a perturbation")
    figure.note(
        "Points: perturbations that became tasks. Bars: quartiles and median. GEARS scores only "
        "genes that have a term in the annotations it is given.",
        "Simulated genes have the simulator's annotations, half of which are wrong; few have none."
        if bool(rows["simulated"].all())
        else "",
    )
    yield "", figure
