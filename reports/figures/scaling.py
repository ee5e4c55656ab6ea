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
from cdnbench.reports import times
from cdnbench.reports.drawing import beside
from cdnbench.reports.drawing.axes import duration, handle, letter, log_axis, log_sizes
from cdnbench.reports.drawing.cast import Actor, Cast, plain_actor
from cdnbench.reports.drawing.look import RULE, Look
from cdnbench.reports.frame import Results

SUMMARY = "time and memory against the number of variables"
NEEDS = "it takes results with tasks of two sizes, or a table scaling.csv beside the stores."

TABLE = "scaling.csv"
_COLUMNS = {
    "method": ("method", "label"),
    "n": ("n", "n_variables", "n_nodes", "variables"),
    "seconds": ("seconds", "cpu_s", "wall_s", "time_s"),
    "megabytes": ("megabytes", "added_mb", "memory_mb", "peak_rss_mb", "mb"),
}
"""Our names -> the names that a column of the table may have. The first that is there counts."""

_MEMORY = {
    "added_mb": "Memory: peak during the call over what the process held before it.",
    "memory_mb": "Memory: growth of the process's peak during the call; what imports had used and "
    "given back hides some of it.",
}
"""Column of the table -> what it holds."""
_ASIDE = 1.1
"""The factor between the sizes at which two crosses of one size are drawn."""
_LEAST_MEMORY = 1.0
"""MB. The growth of a small process is 0 or a few pages; a logarithmic axis shows it here."""


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """The measurements beside the stores, then the records."""
    path = beside.found(results, TABLE)
    if path is not None:
        table = beside.read_table(path, ())
        rows = measured(table, str(path))
        note = _note_of(table)
        clock = f"{'CPU time' if _is_cpu(table) else 'time'} of a call, one core"
        text = "Time and memory against the number of variables"
        yield "", _figure(rows, text, note, clock, look)
    rows, taken = recorded(results)
    if rows["n"].nunique() > 1:
        note = (
            "Medians over the tasks of the synthetic suites that have this size. They differ in "
            "rows and regimes too, so compare methods at one size. Memory: peak of the process. "
            f"Times: {taken.conditions}. {' '.join([*taken.caveats, taken.note('Times')])}"
        ).strip()
        cast = Cast(results, look)
        clock = f"time of a task\n({taken.timed})"
        text = "Time and memory of a task by its variables"
        figure = _figure(rows, text, note, clock, look, cast)
        yield "records", figure


def measured(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """The table with the columns `method`, `n`, `seconds`, `megabytes`, `limit` (seconds) and
    `gave_up`: whether the method took too long or failed at this size, or already at fewer
    variables. There are no seconds
    where a method gave up, nor where its limits leave such data out. Of several versions of a
    method the newest counts.

    Raises
    ------
    BenchError: a column is missing, or nothing was finished.
    """
    if "version" in table:
        version = table["version"].astype(str).map(_version)
        table = table[version == version.groupby(table["method"]).transform("max")]
    found = {}
    for name, spellings in _COLUMNS.items():
        known = [spelling for spelling in spellings if spelling in table]
        if not known and name != "megabytes":
            raise BenchError(f"{where} has no column {' or '.join(spellings)}. Make it again.")
        found[name] = table[known[0]] if known else np.nan
    rows = pd.DataFrame(found)
    rows["limit"] = table.get("limit_s", np.nan)
    for name in ("n", "seconds", "megabytes", "limit"):
        rows[name] = pd.to_numeric(rows[name], errors="coerce")
    status = table.get("status", pd.Series("ok", index=table.index)).astype(str)
    rows.loc[status != "ok", ["seconds", "megabytes"]] = np.nan
    rows["gave_up"] = (status != "ok") & ~status.str.match(r"(not tried: )?skipped")
    rows["method"] = rows["method"].astype(str)
    if rows["seconds"].isna().all():
        raise BenchError(f"{where} has no measurement that finished. Make it again.")
    return rows.groupby(["method", "n"], sort=False, as_index=False).median()


def _version(text: str) -> tuple[int, str]:
    """Orders "2" before "10"."""
    return (int(text), "") if text.isdigit() else (0, text)


def _note_of(table: pd.DataFrame) -> str:
    """What the figure cannot show about the measurements."""
    limits = table["limit_s"].unique() if "limit_s" in table else []
    return " ".join(
        [
            "CPU time of one call on one core." if _is_cpu(table) else "",
            next((text for name, text in _MEMORY.items() if name in table), ""),
            f"The limit was {limits[0]:g} s." if len(limits) == 1 else "",
        ]
    ).strip()


def _is_cpu(table: pd.DataFrame) -> bool:
    return "seconds" not in table and "cpu_s" in table


def recorded(results: Results) -> tuple[pd.DataFrame, times.Times]:
    """The same columns from records of the synthetic suites; `method` is a label. All are of one
    machine, see `times.comparable`."""
    readings = results.readings
    readings = readings[
        readings["suite"].astype(str).str.startswith("synthetic")
        & (readings["status"] == "ok")
        & readings["is_default"].eq(True)
        & (readings["job"] >= 0)
    ].astype({"label": str})
    taken = times.comparable(results.jobs, readings)
    readings = readings[taken.seconds.notna()]
    memory = results.jobs["peak_rss_mb"].reindex(readings["job"]).to_numpy()
    rows = readings[["label", "n_variables"]].set_axis(["method", "n"], axis=1)
    rows = rows.assign(seconds=taken.seconds, megabytes=memory, limit=np.nan, gave_up=False)
    return rows.groupby(["method", "n"], sort=False, as_index=False).median(), taken


def _figure(
    rows: pd.DataFrame, title: str, note: str, clock: str, look: Look, cast: Cast | None = None
) -> Figure:
    """clock: the label of the axis of times."""
    methods = [str(m) for m in dict.fromkeys(rows["method"])]
    several = [m for m in methods if rows.loc[rows["method"] == m, "n"].nunique() > 1]
    actors = [cast[m] if cast else plain_actor(m, look) for m in several]
    actors.sort(key=lambda a: -rows.loc[rows["method"] == a.label, "seconds"].fillna(0).max())
    has_memory = rows["megabytes"].notna().any()
    kinds = ["seconds", "megabytes"] if has_memory else ["seconds"]
    side_by_side = look.is_wide or len(kinds) == 1
    figure = look.figure(2.7 if side_by_side else 4.6)
    figure.title(title)
    shape = (1, len(kinds)) if side_by_side else (len(kinds), 1)
    for axes, kind in zip(figure.subplots(*shape, squeeze=False).ravel(), kinds, strict=True):
        _panel(axes, rows, actors, kind)
        axes.set_ylabel(clock if kind == "seconds" else "memory, MB")
    figure.legend_above([handle(a, line=True) for a in actors], [a.stands_out for a in actors])
    small = rows["megabytes"].lt(_LEAST_MEMORY).any()
    skipped = (rows["seconds"].isna() & (rows["gave_up"] == 0)).any()
    figure.note(
        note,
        "Crosses: did not finish within the limit (dashed, where it is known), or failed."
        if rows["gave_up"].any()
        else "",
        "Lines that end without a cross: larger data are beyond the method's limits."
        if skipped
        else "",
        f"Less than {_LEAST_MEMORY:g} MB is drawn as {_LEAST_MEMORY:g} MB." if small else "",
        cast.notes(a.label for a in actors) if cast else "",
    )
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, actors: Sequence[Actor], kind: str) -> None:
    sizes = sorted(set(rows["n"]))
    values = rows[kind].dropna()
    if kind == "megabytes":
        values = values.clip(lower=_LEAST_MEMORY)
    top = values.max()
    limits = rows["limit"].dropna().unique()
    limit = float(limits[0]) if kind == "seconds" and len(limits) == 1 else None
    crosses = _crosses(rows, actors, limit, top) if kind == "seconds" else {}
    if limit is not None and crosses:
        axes.axhline(limit, color=RULE, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    for actor in actors:
        own = rows[rows["method"] == actor.label].sort_values("n")
        n = own["n"].to_numpy()
        y = values.reindex(own.index).to_numpy()
        style = {"color": actor.mark.colour, "linewidth": actor.width, "zorder": actor.order}
        done = np.isfinite(y)
        axes.plot(
            n[done],
            y[done],
            marker=actor.mark.shape,
            markerfacecolor=actor.mark.face,
            markersize=3.8,
            **style,
        )
        if actor.label in crosses:
            first, x, height = crosses[actor.label]
            top = max(top, height)
            if first:
                axes.plot([n[first - 1], x], [y[first - 1], height], linestyle=":", **style)
            axes.plot(x, height, "x", color=actor.mark.colour, markersize=5)
    axes.set_ylim(values.min() / 1.6, top * (1.4 if crosses else 2.5))
    axes.set_xlim(min(sizes) / 1.25, max(sizes) * 1.25)
    log_sizes(axes, sizes)
    log_axis(axes, "y", duration if kind == "seconds" else None)
    axes.set_xlabel("number of variables N")
    letter(axes, "time" if kind == "seconds" else "memory")


def _crosses(
    rows: pd.DataFrame, actors: Sequence[Actor], limit: float | None, top: float
) -> dict[str, tuple[int, float, float]]:
    """Label -> (which of its sizes, x, y) of the cross where a method first gave up.

    They stand at the limit, those at one size side by side; where no limit is known, above all
    times, those at one size above each other.
    """
    lost: dict[float, list[tuple[str, int]]] = {}
    for actor in actors:
        own = rows[rows["method"] == actor.label].sort_values("n")
        places = np.flatnonzero(own["gave_up"] > 0)
        if len(places):
            first = int(places[0])
            lost.setdefault(float(own["n"].iloc[first]), []).append((actor.label, first))
    return {
        label: (first, n, top * 1.7 ** (k + 1))
        if limit is None
        else (first, n * _ASIDE ** (k - (len(those) - 1) / 2), limit)
        for n, those in lost.items()
        for k, (label, first) in enumerate(those)
    }
