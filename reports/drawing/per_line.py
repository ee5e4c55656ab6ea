"""Figures 6 and 7: the distribution of a count over the perturbations of each line."""

from __future__ import annotations

from matplotlib.figure import Figure

from cdnbench.reports.drawing.axes import log_axis
from cdnbench.reports.drawing.lines import (
    distribution,
    line_colours,
    name_lines,
    perturbations,
    printed_lines,
    title,
)
from cdnbench.reports.drawing.look import INK, Look
from cdnbench.reports.frame import Results

_PRINTED = {
    "cells": "mean of the paper's screens (Table 1 without the controls of Table 5)",
    "differential": "median of the paper's screens (Table 6)",
}
_INCHES_PER_LINE = 0.3


def with_printed(results: Results, look: Look, count: str, label: str, text: str) -> Figure | None:
    """The distribution of a column of the perturbations, and below it what the paper prints of its
    own screens; None where there is no table.

    count: "cells" or "differential".
    """
    rows = perturbations(results)
    if rows is None or rows.empty:
        return None
    colours = line_colours(rows["line"])
    printed = printed_lines().dropna(subset=[count])
    names = [*colours, *printed["cell_line"]]
    figure = look.figure(0.5 + _INCHES_PER_LINE * len(colours) + 0.17 * len(printed))
    figure.title(title(rows, text))
    axes = figure.add_subplot()
    values = [*rows[count], *printed[count]]
    axes.set_xlim(min(values) / 1.15, max(values) * 1.15)
    for place, (line, colour) in enumerate(colours.items()):
        distribution(axes, place, rows.loc[rows["line"] == line, count].to_list(), colour)
    places = [len(colours) + i * 0.55 for i in range(len(printed))]
    axes.plot(printed[count], places, "D", color=INK, markerfacecolor="white", markersize=4)
    name_lines(axes, names)
    axes.set_yticks([*range(len(colours)), *places], names)
    axes.set_ylim(max([*places, len(colours) - 1]) + 0.45, -0.55)
    log_axis(axes, "x")
    axes.set_xlabel(label)
    figure.note(
        "Points: perturbations that became tasks, of training and test. Bars: quartiles and "
        f"median. Diamonds: the printed {_PRINTED[count]}."
    )
    return figure
