"""Figure 9: the running time of each method on the cell suites."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cdnbench.reports import times
from cdnbench.reports.drawing.axes import duration, log_axis
from cdnbench.reports.drawing.cast import Cast
from cdnbench.reports.drawing.look import INK, Look
from cdnbench.reports.frame import Results
from cdnbench.reports.standings import simulated
from cdnbench.reports.table import slug
from cdnbench.reports.tables.table9 import trainings

SUMMARY = "Figure 9: running time of each method on the cell suites"
NEEDS = "it takes results of `bench run --suite perturbseq` or another suite with cell lines."

_INCHES_PER_LINE = 0.155
_SHORTEST = 1e-6
"""Seconds. A logarithmic axis has no place for a time that a clock gives as 0."""


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure per cell suite, all splits and maskings together; a median with the range of
    tasks."""
    readings = results.readings
    if "cell_line" not in readings:
        return
    cast = Cast(results, look)
    readings = readings[readings["cell_line"].notna() & (readings["job"] >= 0)]
    for suite, own in readings.groupby("suite", observed=True):
        done = own[(own["status"] == "ok") & own["is_default"].eq(True)]
        taken = times.comparable(results.jobs, done.drop_duplicates("job"), each=True)
        if taken.machine:
            yield slug(str(suite)), _figure(results, str(suite), done, taken, cast, look)


def _figure(
    results: Results, suite: str, done: pd.DataFrame, taken: times.Times, cast: Cast, look: Look
) -> Figure:
    seconds = taken.seconds.dropna().clip(lower=_SHORTEST)
    groups = seconds.groupby(done["label"].reindex(seconds.index).astype(str))
    found = {str(label): own.to_numpy(float) for label, own in groups}
    order = sorted(found, key=lambda label: float(np.median(found[label])))
    fits = _fits(results, suite, taken.host)
    figure = look.figure(0.5 + _INCHES_PER_LINE * len(order))
    said = " [SIMULATED DATA]" if simulated(done) else ""
    figure.title(f"Figure 9: running time, {suite}{said}")
    axes = figure.add_subplot()
    every = [*np.concatenate(list(found.values())), *fits.values()]
    axes.set_xlim(min(every) / 1.6, max(every) * 1.6)
    for place, label in enumerate(order):
        actor, own = cast[label], found[label]
        low, first, middle, third, high = np.quantile(own, [0, 0.25, 0.5, 0.75, 1])
        axes.plot([low, high], [place, place], color=actor.mark.colour, linewidth=0.8)
        axes.plot(
            [first, third],
            [place, place],
            color=actor.mark.colour,
            linewidth=4.5,
            solid_capstyle="butt",
            alpha=0.55,
        )
        axes.plot(
            middle,
            place,
            actor.mark.shape,
            color=actor.mark.colour,
            markerfacecolor=actor.mark.face,
            markersize=4.5,
        )
        if actor.method in fits:
            axes.plot(fits[actor.method], place, "*", color=INK, markersize=6)
    axes.set_yticks(range(len(order)), [cast[label].name for label in order])
    for text, label in zip(axes.get_yticklabels(), order, strict=True):
        text.set_fontweight(cast[label].weight)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    log_axis(axes, "x", duration)
    axes.set_xlabel(f"time of a task\n({taken.conditions})")
    figure.note(
        "Median, quartiles and range over tasks; splits, maskings and sizes together.",
        "Stars: one training." if fits else "Training is not in the records, and not in the times.",
        *taken.caveats,
        taken.note("Times"),
        cast.notes(order),
    )
    return figure


def _fits(results: Results, suite: str, host: str) -> dict[str, float]:
    """Method -> median seconds of a training on the same host, on lines of the usual size."""
    found = trainings(results)
    own = found[(found["suite"] == suite) & (found["host"] == host) & (found["size"] == "")]
    return {str(m): float(v) for m, v in own.groupby("method")["seconds"].median().items()}
