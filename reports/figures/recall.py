"""Precision and recall of the first k candidates, for regimes of one, two, three ... targets.

Scores of different regimes have no common scale, so k is what moves along a curve: the mean over
regimes of the precision and of the recall of the first k, ties in expectation. Datasets count
alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdnbench.reports.drawing.axes import curve, handle, letter, outer_labels, panels, unit_interval
from cdnbench.reports.drawing.cast import Actor, Block, Cast, blocks, left_out
from cdnbench.reports.drawing.look import Look
from cdnbench.reports.drawing.targets import in_top, target_places
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.table import slug

SUMMARY = "precision and recall of the first k candidates, by the number of targets"

_SHOWN = 7
_PANELS = 8
_LONGEST = 200
"""Places that a curve is computed at, at most."""


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure per block; a panel per number of variables and of targets."""
    cast = Cast(results, look)
    for block in blocks(results):
        actors = cast.chosen(block.rows, _SHOWN)
        places = _places(results, block, actors)
        if len(places):
            yield slug(block.title), _figure(block, places, actors, cast, look)


def _places(results: Results, block: Block, actors: Sequence[Actor]) -> pd.DataFrame:
    """The places of all targets, with the label, the size and the dataset of each."""
    readings = results.factors.rows(results.readings, block.key)
    wanted = {CEILING, *(actor.label for actor in actors)}
    readings = readings[readings["label"].isin(wanted) & (readings["status"] == "ok")]
    found = target_places(results, readings.index.to_list())
    about = readings[["label", "n_variables", "setting", "dataset"]].astype(
        {"label": str, "setting": str, "dataset": str}
    )
    return found.join(about, on="reading")


def _figure(
    block: Block, places: pd.DataFrame, actors: Sequence[Actor], cast: Cast, look: Look
) -> Figure:
    sizes = places.groupby("n_targets").size()
    by_size = places["n_variables"].nunique() <= 2
    names = ["n_variables", "n_targets"] if by_size else ["n_targets"]
    groups = list(places.groupby(names, sort=True))
    groups = sorted(groups, key=lambda g: -len(g[1]))[:_PANELS]
    groups.sort(key=lambda g: g[0])
    per_line = len(sizes) if by_size and len(sizes) <= 4 else 4
    columns = min(len(groups), per_line if look.is_wide else 2)
    lines = math.ceil(len(groups) / columns)
    figure = look.figure(0.3 + (1.45 if columns > 1 else 2.2) * lines)
    figure.title(f"{block.title}: precision and recall of the first k")
    shown = [*([cast[CEILING]] if CEILING in set(places["label"]) else []), *actors]
    every = panels(figure, len(groups), columns, sharex=True, sharey=True)
    for axes, (values, rows) in zip(every, groups, strict=True):
        _panel(axes, rows, shown)
        n_targets = int(values[-1])
        size = f"N = {int(values[0])}, " if by_size and places["n_variables"].nunique() > 1 else ""
        letter(axes, f"{size}{n_targets} target{'s' if n_targets > 1 else ''}")
    outer_labels(every, columns, "recall", "precision")
    figure.legend_above([handle(a, line=True) for a in shown], [a.stands_out for a in shown])
    figure.note(
        "Means over regimes, then datasets; a curve begins at k = 1.",
        left_out(actors, block),
        cast.notes(a.label for a in actors),
    )
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, shown: Sequence[Actor]) -> None:
    longest = int(rows["n_candidates"].max())
    k = np.unique(np.geomspace(1, longest, min(longest, _LONGEST)).round())
    for actor in reversed(shown):
        own = rows[rows["label"] == actor.label]
        if len(own):
            curve(axes, actor, *precision_recall(own, k))
    unit_interval(axes, "x")
    unit_interval(axes)


def precision_recall(places: pd.DataFrame, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision (len(k),) of the first k: means over regimes, then over datasets."""
    found = in_top(places, k)
    units = places.groupby(["setting", "dataset"], sort=False).ngroup().to_numpy()
    recall = _dataset_mean(found, units)
    hits = _dataset_mean(found * places["n_targets"].to_numpy()[:, None], units)
    return recall, hits / k


def _dataset_mean(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Rows are targets of one number per regime, so their mean is that over regimes."""
    sums = np.zeros((units.max() + 1, values.shape[1]))
    np.add.at(sums, units, values)
    return (sums / np.bincount(units)[:, None]).mean(axis=0)
