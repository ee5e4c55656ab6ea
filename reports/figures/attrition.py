"""What each step of preparing a screen left: cells and perturbations, by line.

Stores hold tasks alone, so this reads `screens/attrition.csv` beside them, which `bench data
describe` makes of prepared lines.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdnbench.reports.drawing import beside
from cdnbench.reports.drawing.axes import letter
from cdnbench.reports.drawing.lines import SIMULATED, line_colours, line_handles
from cdnbench.reports.drawing.look import Look, wrapped
from cdnbench.reports.frame import Results

SUMMARY = "attrition of a screen: cells and perturbations that each step of its preparation left"
NEEDS = "it takes screens/attrition.csv beside the stores, which `bench data describe` writes."

TABLE = "screens/attrition.csv"
COLUMNS = ("line", "step", "cells", "perturbations", "genes", "simulated")
_COUNTS = {"cells": "cells (thousands)", "perturbations": "perturbations"}


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure with a panel for cells and one for perturbations."""
    rows = beside.table(results, TABLE, COLUMNS)
    if rows is None or rows.empty:
        return
    steps = list(dict.fromkeys(rows["step"]))
    figure = look.figure(0.7 + 0.27 * len(steps))
    simulated = bool(rows["simulated"].all())
    figure.title(f"Attrition of screens{SIMULATED if simulated else ''}")
    colours = line_colours(rows["line"])
    every = figure.subplots(1, 2, sharey=True)
    for axes, (count, label) in zip(every, _COUNTS.items(), strict=True):
        _panel(axes, rows, steps, count, colours)
        axes.set_xlabel(f"{label} left")
        letter(axes, count)
    share = 0.42 if look.is_wide else 0.36
    every[0].set_yticks(range(len(steps)), [wrapped(s, share * look.inches, 7.5) for s in steps])
    every[0].set_ylim(len(steps) - 0.5, -0.5)
    figure.legend_above(line_handles(colours))
    figure.note(
        "Every line of points is a cell line; steps run from top to bottom. Simulated screens "
        "hold no broken cells, so that only the tests take perturbations."
        if simulated
        else "Every line of points is a cell line; steps run from top to bottom."
    )
    yield "", figure


def _panel(
    axes: Axes, rows: pd.DataFrame, steps: list[str], count: str, colours: dict[str, str]
) -> None:
    for line, own in rows.groupby("line", sort=False):
        values = own[count] / (1000 if count == "cells" else 1)
        axes.plot(
            values,
            own["step"].map(steps.index),
            "o-",
            color=colours[str(line)],
            markersize=3.2,
            linewidth=1,
        )
    axes.set_xlim(0, None)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
