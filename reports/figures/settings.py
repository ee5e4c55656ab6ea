"""Mean average precision in each setting: points with t-intervals over datasets, and the ceiling.

One axis is the factor of the settings that leaves the fewest panels; the others make the panels.
Nothing is averaged over a factor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdnbench.metrics import METRICS
from cdnbench.reports import statistics
from cdnbench.reports.drawing.axes import (
    handle,
    interval,
    letter,
    outer_labels,
    panels,
    point,
    unit_interval,
)
from cdnbench.reports.drawing.cast import Actor, Block, Cast, blocks, left_out
from cdnbench.reports.drawing.look import Look
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.standings import RANKING
from cdnbench.reports.table import slug

SUMMARY = "mean average precision in each setting with its interval, and the ceiling"
NEEDS = "it takes results in two settings of one suite."

_SHOWN = 7
_LEVELS = 8
"""So many values of a factor have room on one axis."""
_PANELS = 12
_ENOUGH = 3
"""Fewer datasets than this have no interval: it would fill the panel."""
_NEXT_FACTOR = re.compile(r", (?=[^,=]+=)")
"""Between two factors of a setting. A comma that no further `name=` follows belongs to a value."""
_AXES = {"n_nodes": "number of variables N", "n_edges": "number of edges E"}
_WORDS = {"n_nodes": "N = {}", "n_edges": "E = {}", "rows": "{} rows", "n_hidden": "{} hidden"}


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure per block with several settings; more where there are more panels than fit."""
    cast = Cast(results, look)
    means = statistics.dataset_means(results.regimes, [RANKING], [*results.factors.names, "label"])
    for block in blocks(results):
        own = results.factors.rows(means, block.key).astype({"setting": str, "label": str})
        if own["setting"].nunique() < 2:
            continue
        found = statistics.over_datasets(own, [RANKING], ["label", "setting"])
        factors = _factors(sorted(set(own["setting"])))
        along, rest = _arranged(factors)
        places = list(factors.groupby(rest, sort=False)) if rest else [((), factors)]
        pages = [places[i : i + _PANELS] for i in range(0, len(places), _PANELS)]
        for number, page in enumerate(pages, 1):
            ending = slug(block.title) + (f"-{number}" if len(pages) > 1 else "")
            yield ending, _page(block, found, along, rest, page, cast, look)


def _page(
    block: Block,
    found: pd.DataFrame,
    along: str,
    rest: list[str],
    page: Sequence[tuple],
    cast: Cast,
    look: Look,
) -> Figure:
    columns = min(4 if look.is_wide else 2, len(page))
    actors = cast.chosen(block.rows, _SHOWN)
    figure = look.figure(0.4 + 1.3 * math.ceil(len(page) / columns))
    figure.title(block.title)
    levels = _ordered({value for _, rows in page for value in rows[along]})
    every = panels(figure, len(page), columns, sharex=True, sharey=True)
    for axes, (values, rows) in zip(every, page, strict=True):
        _panel(axes, found, rows, along, levels, actors, cast)
        if rest:
            letter(axes, _told(rest, values, look))
    along_axis = _AXES.get(along, along.replace("_", " "))
    outer_labels(every, columns, along_axis, METRICS[RANKING].title)
    shown = [*(cast[CEILING] for _ in [0] if CEILING in set(block.rows["method"])), *actors]
    figure.legend_above([handle(a) for a in shown], [a.stands_out for a in shown])
    figure.note(
        f"Lines: 95 % t-intervals over the datasets of a setting, from {_ENOUGH} datasets on.",
        left_out(actors, block),
        cast.notes(a.label for a in actors),
    )
    return figure


def _panel(
    axes: Axes,
    found: pd.DataFrame,
    rows: pd.DataFrame,
    along: str,
    levels: list[str],
    actors: Sequence[Actor],
    cast: Cast,
) -> None:
    values = found.set_index(["label", "setting"])
    for place, level in enumerate(levels):
        for setting in rows.loc[rows[along] == level].index:
            if (CEILING, setting) in values.index:
                mean = values.loc[(CEILING, setting), "mean"]
                axes.plot(
                    [place - 0.42, place + 0.42],
                    [mean, mean],
                    color=cast[CEILING].mark.colour,
                    linestyle=(0, (4, 2)),
                    linewidth=1,
                )
            for actor, shift in zip(actors, np.linspace(-0.34, 0.34, len(actors)), strict=True):
                if (actor.label, setting) not in values.index:
                    continue
                one = values.loc[(actor.label, setting)]
                x, low, high = place + shift, max(one["low"], 0), min(one["high"], 1)
                if np.isnan(one["low"]) or one["n"] < _ENOUGH or one["sd"] == 0:
                    low = high = np.nan
                interval(axes, actor, (x, x), (low, high))
                point(axes, actor, x, one["mean"], size=3)
    unit_interval(axes)
    axes.set_xlim(-0.55, len(levels) - 0.45)
    turned = max(map(len, levels)) * len(levels) > 26
    axes.set_xticks(range(len(levels)), levels, rotation=35 if turned else 0)
    if turned:
        for text in axes.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)


def _factors(names: Sequence[str]) -> pd.DataFrame:
    """One row per setting, one column per factor that tells settings apart, values as text, which
    may hold commas.

    A factor that another one determines is left out.
    """
    rows = [dict(part.split("=", 1) for part in _NEXT_FACTOR.split(name)) for name in names]
    frame = pd.DataFrame(rows, index=list(names)).fillna("").astype(str)
    frame = frame.loc[:, frame.nunique() > 1]
    for name in list(frame)[::-1]:
        others = [other for other in frame if other != name]
        if any(frame.groupby(other)[name].nunique().max() == 1 for other in others):
            frame = frame.drop(columns=name)
    order = frame.apply(lambda column: column.map({v: i for i, v in enumerate(_ordered(column))}))
    return frame.loc[order.sort_values(list(order)).index]


def _arranged(factors: pd.DataFrame) -> tuple[str, list[str]]:
    """The factor along the axis, and those of the panels."""
    fitting = [name for name in factors if factors[name].nunique() <= _LEVELS] or list(factors)

    def n_panels(name: str) -> tuple[int, int]:
        rest = [other for other in factors if other != name]
        return len(factors[rest].drop_duplicates()) if rest else 1, -factors[name].nunique()

    along = min(map(str, fitting), key=n_panels)
    return along, [str(name) for name in factors if name != along]


def _told(names: Sequence[str], values: Sequence[str], look: Look) -> str:
    """`N = 10, E = 20, hard-uniform`, in lines that fit a panel."""
    words = [_WORDS.get(name, "{}").format(v) for name, v in zip(names, values, strict=True)]
    share = 0.23 if look.is_wide else 0.42
    return look.wrapped(", ".join(words), 8, share)


def _ordered(values) -> list[str]:
    """Numbers by size, then words by the alphabet."""

    def key(value: str) -> tuple[int, float, str]:
        try:
            return 0, float(value), ""
        except ValueError:
            return 1, 0.0, value

    return sorted(set(values), key=key)
