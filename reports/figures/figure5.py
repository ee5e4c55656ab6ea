"""Figure 5: log2 fold changes of the perturbations of each line, in the order of their clusters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
        "Rows are perturbations of training and test. White lines separate the k-means clusters "
        "of the split; similar clusters are neighbours. Columns are the genes that vary most in "
        "the line, similar ones side by side."
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
    clusters = profile["cluster"].to_numpy()
    for edge in np.flatnonzero(clusters[1:] != clusters[:-1]):
        axes.axhline(edge + 0.5, color="white", linewidth=0.5)
    axes.set_xticks([])
    axes.set_yticks([0, len(profile) - 1], ["1", str(len(profile))])
    axes.tick_params(colors=INK)
    for side in axes.spines.values():
        side.set_visible(False)
    return image
