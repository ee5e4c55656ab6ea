"""Real data sets: the share of targets found first, by method, and the mean over data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdnbench.reports import statistics
from cdnbench.reports.drawing.axes import interval, letter, point, unit_interval
from cdnbench.reports.drawing.cast import Actor, Cast
from cdnbench.reports.drawing.look import Look
from cdnbench.reports.frame import Results
from cdnbench.reports.standings import block_title
from cdnbench.reports.table import slug
from cdnbench.reports.tables.real import SOURCE, by_source

SUMMARY = "real data sets: share of targets found first by each method, and the mean over data sets"
NEEDS = "it takes results on real data: `bench run --suite real --datasets petshop,sachs`."

_FOUND = "recall_at_1"
_INCHES_PER_LINE = 0.15
_NARROW = 4
"""So many data sets have room in one column."""


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure per block that has real data sets; several in one column."""
    cast = Cast(results, look)
    for key, rows in results.factors.blocks(by_source(results)):
        rows = rows.dropna(subset=[_FOUND])
        if rows.empty:
            continue
        sources = sorted(map(str, set(rows[SOURCE])))
        title, step = block_title(results, key), len(sources) if look.is_wide else _NARROW
        pages = [sources[i : i + step] for i in range(0, len(sources), step)]
        for number, page in enumerate(pages, 1):
            ending = slug(title) + (f"-{number}" if len(pages) > 1 else "")
            yield ending, _figure(rows, page, number == len(pages), title, cast, look)


def _figure(
    rows: pd.DataFrame, page: Sequence[str], with_mean: bool, title: str, cast: Cast, look: Look
) -> Figure:
    values = rows.pivot_table(index="label", columns=SOURCE, values=_FOUND)
    complete = values.notna().all(axis=1)
    mean = values.mean(axis=1)
    order = np.lexsort((-mean.to_numpy(), ~complete.to_numpy()))
    labels = [str(values.index[i]) for i in order]
    actors = [cast[label] for label in labels]
    several = with_mean and values.shape[1] > 1
    figure = look.figure(0.75 + _INCHES_PER_LINE * len(labels))
    figure.title(f"{title}: share of targets found first")
    every = figure.subplots(1, len(page) + several, sharey=True, squeeze=False)[0]
    for axes, source in zip(every, page, strict=False):
        own = rows[rows[SOURCE] == source].set_index("label")
        n = int(own["regimes"].max())
        _column(axes, actors, own[_FOUND].reindex(labels).to_numpy(float), n)
        letter(axes, f"{source}\nn = {n}")
    if several:
        half = statistics.t_halfwidth(
            values.std(axis=1).to_numpy(), values.notna().sum(axis=1).to_numpy()
        )[order]
        for place, (actor, middle, wide) in enumerate(
            zip(actors, mean.iloc[order], half, strict=True)
        ):
            ends = max(middle - wide, 0), min(middle + wide, 1)
            interval(every[-1], actor, ends, (place, place))
            point(every[-1], actor, middle, place)
        _finish(every[-1])
        every[-1].set_facecolor("#f6f7f6")
        letter(every[-1], f"mean of\n{values.shape[1]} sets")
    every[0].set_yticks(range(len(labels)), [actor.name for actor in actors])
    for text, actor in zip(every[0].get_yticklabels(), actors, strict=True):
        text.set_fontweight(actor.weight)
    every[0].set_ylim(len(labels) - 0.4, -0.6)
    figure.note(
        "Lines: 95 % Wilson intervals over the perturbed regimes; of the mean, t-intervals over "
        "data sets.",
        "" if complete.all() else "Methods that did not finish every data set stand last.",
        cast.notes(labels),
    )
    return figure


def _column(axes: Axes, actors: Sequence[Actor], shares: np.ndarray, n: int) -> None:
    for place, (actor, share) in enumerate(zip(actors, shares, strict=True)):
        if not np.isnan(share):
            interval(axes, actor, statistics.proportion_interval(share * n, n), (place, place))
            point(axes, actor, share, place)
    _finish(axes)


def _finish(axes: Axes) -> None:
    unit_interval(axes, "x")
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.set_xlabel("R@1")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
