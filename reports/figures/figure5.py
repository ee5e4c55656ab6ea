"""Figure 5: log2 fold changes of the perturbations of each line, in the order of their clusters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cdnbench.reports.drawing import beside
from cdnbench.reports.drawing.axes import letter
from cdnbench.reports.drawing.lines import PERTURBATIONS, perturbations, title
from cdnbench.reports.drawing.look import INK, Look
from cdnbench.reports.frame import Results

SUMMARY = "Figure 5: heat map of the perturbations' log fold changes in the order of their clusters"
NEEDS = (
    "it takes screens/perturbations.csv and screens/profiles-<line>.csv.gz beside the stores, "
    "which `bench data describe` writes."
)
PREFIX, SUFFIX = "profiles-", ".csv.gz"
_OWN = ("perturbation", "cluster")
_STRIP, _STRIP_GAP = 0.045, 0.02
"""Widths of the strip of clusters and of the gap beside it, in widths of the map."""
_STRIP_POINTS = 9.0
"""How far the numbers of rows stand from the map, so that the strip has room."""
STRIP_COLOURS = (INK, "#b4b8b4")


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure with a panel per line."""
    rows = perturbations(results)
    table = beside.found(results, PERTURBATIONS)
    if rows is None or table is None:
        return
    profiles = {
        path.name.removeprefix(PREFIX).removesuffix(SUFFIX): beside.read_table(path, _OWN)
        for path in sorted(Path(table).parent.glob(f"{PREFIX}*{SUFFIX}"))
    }
    if not profiles:
        return
    columns = min(len(profiles), 5 if look.is_wide else 3)
    lines = math.ceil(len(profiles) / columns)
    figure = look.figure(0.35 + 2.7 * lines)
    figure.title(title(rows, "Figure 5: log fold changes by cluster"))
    everything = np.concatenate([_values(p).ravel() for p in profiles.values()])
    limit = float(np.quantile(np.abs(everything), 0.98))
    grid = figure.subplots(lines, columns, squeeze=False)
    every = list(grid.ravel())
    images = []
    for axes, (line, profile) in zip(every, profiles.items(), strict=False):
        images.append(_heat_map(axes, profile, limit))
        letter(axes, line)
        axes.set_xlabel(f"{profile.shape[1] - len(_OWN)} genes")
    for axes in every[len(profiles) :]:
        axes.remove()
    for i in range(0, len(profiles), columns):
        every[i].set_ylabel("perturbations, by cluster")
    drawn = every[: len(profiles)]
    bar = figure.colorbar(images[0], ax=drawn, fraction=0.03, pad=0.01, extend="both")
    bar.set_label("log2 fold change", fontsize=8)
    bar.outline.set_visible(False)
    figure.note(
        "Rows are perturbations of training and test. The strip at the left shows the k-means "
        "clusters of the split, in turn dark and light; many have one row. Similar clusters are "
        "neighbours. Columns are the genes that vary most in the line, similar ones side by side."
    )
    yield "", figure


def _values(profile: pd.DataFrame) -> np.ndarray:
    return profile.drop(columns=list(_OWN)).to_numpy(float)


def _heat_map(axes: Axes, profile: pd.DataFrame, limit: float):
    """Rows stand in the order of the table, which is that of the clusters."""
    image = axes.imshow(
        _values(profile),
        aspect="auto",
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
    )
    _strip(axes, profile["cluster"].to_numpy())
    axes.set_xticks([])
    axes.set_yticks([0, len(profile) - 1], ["1", str(len(profile))])
    axes.tick_params(axis="y", colors=INK, length=0, pad=_STRIP_POINTS)
    for side in axes.spines.values():
        side.set_visible(False)
    return image


def _strip(axes: Axes, clusters: np.ndarray) -> None:
    """Where clusters begin and end, at the left of the map: lines across it would cover what they
    separate, since many clusters are a single row.

    clusters: (perturbations,) the cluster of each row.
    """
    edges = np.flatnonzero(clusters[1:] != clusters[:-1]) + 0.5
    bounds = [-0.5, *edges, len(clusters) - 0.5]
    for i, (low, high) in enumerate(pairwise(bounds)):
        place = Rectangle(
            (-_STRIP - _STRIP_GAP, low),
            _STRIP,
            high - low,
            transform=axes.get_yaxis_transform(),
            color=STRIP_COLOURS[i % 2],
            linewidth=0,
            clip_on=False,
        )
        axes.add_patch(place)
