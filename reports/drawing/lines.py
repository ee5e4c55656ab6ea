"""Cell lines in figures: their colours, and what is known of their perturbations.

Stores hold tasks alone. `bench data describe` writes a folder `screens` beside them:

    perturbations.csv    one row per perturbation of a prepared line
    attrition.csv        what each step of the preparation left
    profiles-<line>.csv.gz    log2 fold changes, perturbations x the genes that vary most
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cdnbench.digest import generator
from cdnbench.reports import published
from cdnbench.reports.drawing import beside
from cdnbench.reports.drawing.look import INK
from cdnbench.reports.frame import Results

SIMULATED = " [SIMULATED DATA]"
PERTURBATIONS = "screens/perturbations.csv"
COLUMNS = (
    "line",
    "perturbation",
    "split",
    "cells",
    "differential",
    "not_covered",
    "cluster",
    "simulated",
)
NEEDS = "it takes screens/perturbations.csv beside the stores, which `bench data describe` writes."
_HUES = ("#0072b2", "#d55e00", "#117733", "#aa4499", "#d99a1c", "#56b4e9", "#4d5a66", "#882255")


def line_colours(lines: Iterable[object]) -> dict[str, str]:
    """Line -> its colour, by the order of the names."""
    names = sorted(set(map(str, lines)))
    return {name: _HUES[i % len(_HUES)] for i, name in enumerate(names)}


def line_handles(colours: Mapping[str, str]) -> list[Line2D]:
    """What stands for lines in a legend."""
    return [
        Line2D([], [], marker="o", linestyle="none", color=colour, markersize=4, label=name)
        for name, colour in colours.items()
    ]


def perturbations(results: Results) -> pd.DataFrame | None:
    """One row per perturbation of the prepared lines, None where the table is not there. Raises
    BenchError for a table that lacks columns."""
    return beside.table(results, PERTURBATIONS, COLUMNS)


def title(rows: pd.DataFrame, text: str) -> str:
    """The text, and that the data are simulated where they all are."""
    return text + (SIMULATED if bool(rows["simulated"].all()) else "")


def printed_lines() -> pd.DataFrame:
    """The paper's screens: `cell_line`, `cells` a perturbation (mean of Table 1, whose cells have
    the controls among them, without the controls of Table 5) and `differential` (median, Table
    6)."""
    first, fifth, sixth = (
        published.load(name)
        for name in ("table1_datasets", "table5_raw_datasets", "table6_processed_datasets")
    )
    genetic = first[first["type"] == "genetic"].merge(fifth[["cell_line", "n_ntcs"]])
    genetic["cells"] = (genetic["n_cells"] - genetic["n_ntcs"]) / genetic["n_perturbations"]
    return genetic[["cell_line", "cells"]].merge(
        sixth[["cell_line", "median_de_genes"]].rename(columns={"median_de_genes": "differential"}),
        on="cell_line",
    )


def distribution(axes: Axes, place: int, values: Sequence[float], colour: str) -> None:
    """All values as points in a band around `place`, with quartiles and median."""
    numbers = np.asarray(values, float)
    spread = generator("reports", "jitter", len(numbers)).uniform(-0.3, 0.3, len(numbers))
    axes.plot(
        numbers,
        place + spread,
        "o",
        color=colour,
        alpha=0.35,
        markersize=2.4,
        markeredgewidth=0,
        rasterized=len(numbers) > 2000,
    )
    low, middle, high = np.quantile(numbers, [0.25, 0.5, 0.75])
    axes.plot([low, high], [place, place], color=INK, linewidth=2.2, solid_capstyle="butt")
    axes.plot([middle], [place], "|", color=INK, markersize=11, markeredgewidth=1.6)


def name_lines(axes: Axes, names: Sequence[str]) -> None:
    """The names of lines at the left, the first on top."""
    axes.set_yticks(range(len(names)), list(names))
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
