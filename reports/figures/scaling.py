"""Time and memory against the number of variables.

`scaling.csv` beside the stores has measurements made for this alone. Without it, the records of the
suites say what a task took at each size; their tasks differ in rows and regimes too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdnbench.errors import BenchError
from cdnbench.reports.drawing import beside
from cdnbench.reports.drawing.axes import duration, handle, letter, log_axis, log_sizes
from cdnbench.reports.drawing.cast import Actor, Cast, plain_actor
from cdnbench.reports.drawing.look import Look
from cdnbench.reports.frame import Results

SUMMARY = "time and memory against the number of variables"
NEEDS = "it takes results with tasks of two sizes, or a table scaling.csv beside the stores."

TABLE = "scaling.csv"
_COLUMNS = {
    "method": ("method", "label"),
    "n": ("n", "n_variables", "n_nodes", "variables"),
    "seconds": ("seconds", "wall_s", "time_s"),
    "megabytes": ("megabytes", "memory_mb", "peak_rss_mb", "mb"),
}
"""Our names -> the names that a column of the table may have."""


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """The measurements beside the stores, then the records."""
    path = beside.found(results, TABLE)
    if path is not None:
        rows = measured(beside.read_table(path, ()), str(path))
        yield "", _figure(rows, "Time and memory against the number of variables", "", look)
    rows = recorded(results)
    if rows["n"].nunique() > 1:
        note = (
            "Medians over the tasks of the synthetic suites that have this size. They differ in "
            "rows and regimes too, so compare methods at one size."
        )
        cast = Cast(results, look)
        figure = _figure(rows, "Time and memory of a task by its variables", note, look, cast)
        yield "records", figure


def measured(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """The table with the columns `method`, `n`, `seconds`, `megabytes`; those that did not finish
    have no seconds.

    Raises
    ------
    BenchError: a column is missing.
    """
    found = {}
    for name, spellings in _COLUMNS.items():
        known = [spelling for spelling in spellings if spelling in table]
        if not known and name != "megabytes":
            raise BenchError(f"{where} has no column {' or '.join(spellings)}. Make it again.")
        found[name] = table[known[0]] if known else np.nan
    rows = pd.DataFrame(found)
    for name in ("n", "seconds", "megabytes"):
        rows[name] = pd.to_numeric(rows[name], errors="coerce")
    if "status" in table:
        rows.loc[table["status"].astype(str) != "ok", ["seconds", "megabytes"]] = np.nan
    rows["method"] = rows["method"].astype(str)
    return rows.groupby(["method", "n"], sort=False, as_index=False).median()


def recorded(results: Results) -> pd.DataFrame:
    """The same columns from records of the synthetic suites; `method` is a label."""
    readings = results.readings
    readings = readings[
        readings["suite"].astype(str).str.startswith("synthetic")
        & (readings["status"] == "ok")
        & readings["is_default"].eq(True)
        & (readings["job"] >= 0)
    ].astype({"label": str})
    memory = results.jobs["peak_rss_mb"].reindex(readings["job"]).to_numpy()
    columns = {"label": "method", "n_variables": "n", "wall_s": "seconds"}
    rows = readings[list(columns)].rename(columns=columns).assign(megabytes=memory)
    return rows.groupby(["method", "n"], sort=False, as_index=False).median()


def _figure(
    rows: pd.DataFrame, title: str, note: str, look: Look, cast: Cast | None = None
) -> Figure:
    methods = [str(m) for m in dict.fromkeys(rows["method"])]
    several = [m for m in methods if rows.loc[rows["method"] == m, "n"].nunique() > 1]
    actors = [cast[m] if cast else plain_actor(m, look) for m in several]
    actors.sort(key=lambda a: -rows.loc[rows["method"] == a.label, "seconds"].max())
    has_memory = rows["megabytes"].notna().any()
    kinds = ["seconds", "megabytes"] if has_memory else ["seconds"]
    side_by_side = look.is_wide or len(kinds) == 1
    figure = look.figure(2.7 if side_by_side else 4.6)
    figure.title(title)
    shape = (1, len(kinds)) if side_by_side else (len(kinds), 1)
    for axes, kind in zip(figure.subplots(*shape, squeeze=False).ravel(), kinds, strict=True):
        _panel(axes, rows, actors, kind)
    figure.legend_above([handle(a, line=True) for a in actors], [a.stands_out for a in actors])
    missing = rows[rows["seconds"].isna()]
    figure.note(
        note,
        "Crosses: did not finish within the limit." if len(missing) else "",
        cast.notes(a.label for a in actors) if cast else "",
    )
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, actors: Sequence[Actor], kind: str) -> None:
    sizes = sorted(set(rows["n"]))
    values = rows[kind].dropna()
    axes.set_ylim(values.min() / 1.6, values.max() * 2.5)
    for actor in actors:
        own = rows[rows["method"] == actor.label].sort_values("n")
        done = own.dropna(subset=[kind])
        axes.plot(
            done["n"],
            done[kind],
            marker=actor.mark.shape,
            color=actor.mark.colour,
            markerfacecolor=actor.mark.face,
            markersize=3.8,
            linewidth=actor.width,
            zorder=actor.order,
        )
        lost = own[own["seconds"].isna()]
        if kind == "seconds" and len(lost):
            top = [axes.get_ylim()[1] / 1.25] * len(lost)
            axes.plot(lost["n"], top, "x", color=actor.mark.colour, markersize=5, clip_on=False)
    axes.set_xlim(min(sizes) / 1.25, max(sizes) * 1.25)
    log_sizes(axes, sizes)
    log_axis(axes, "y", duration if kind == "seconds" else None)
    axes.set_xlabel("number of variables N")
    axes.set_ylabel("time of a task" if kind == "seconds" else "peak memory, MB")
    letter(axes, "time" if kind == "seconds" else "memory")
