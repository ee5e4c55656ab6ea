"""Reliability of probabilities: how often variables of each predicted probability were targets.

Reads `reliability.txt` beside the stores, which `benchmarks/reliability.py` prints.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cdnbench.errors import BenchError
from cdnbench.reports.drawing import beside
from cdnbench.reports.drawing.axes import letter, outer_labels, panels, unit_interval
from cdnbench.reports.drawing.colours import mark
from cdnbench.reports.drawing.look import RULE, SMALL, Look
from cdnbench.reports.frame import Results

SUMMARY = "reliability of probabilities: predicted against observed shares of targets"
NEEDS = "it takes reliability.txt beside the stores, which benchmarks/reliability.py prints."

FILE = "reliability.txt"
_WEIGHTS = re.compile(r"^weights (\w+): ")
_HEAD = re.compile(r"^(.+), (as the network says|calibrated): ([\d,]+) variables, .* ECE ([\d.]+)$")
_BIN = re.compile(r"^[\d.]+ to [\d.]+ +([\d,]+) +([\d.]+) +([\d.]+) +([\d.]+) to ([\d.]+)$")
_RAW, _CALIBRATED = "as the network says", "calibrated"


@dataclass(frozen=True)
class Curve:
    """Of one source and one map: its error, and (predicted, observed, low, high) of each bin."""

    source: str
    map: str
    error: float
    bins: list[tuple[float, float, float, float]] = field(default_factory=list)


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure with a panel per source of data."""
    path = beside.found(results, FILE)
    if path is None:
        return
    weights, curves = read(path)
    sources = list(dict.fromkeys(curve.source for curve in curves))
    columns = min(len(sources), 3 if look.is_wide else 2)
    figure = look.figure(0.2 + 2.2 * math.ceil(len(sources) / columns))
    figure.title("Reliability of the probabilities of cdn")
    every = panels(figure, len(sources), columns, sharex=True, sharey=True)
    for axes, source in zip(every, sources, strict=True):
        _panel(axes, [curve for curve in curves if curve.source == source])
        letter(axes, source)
    outer_labels(every, columns, "predicted probability", "observed share of targets")
    figure.legend_above([_line(_CALIBRATED), _line(_RAW)])
    figure.note(
        f"Weights {weights[:8]}, on data of laws and seeds that were not trained on. Lines: 95 % "
        "intervals. ECE: expected calibration error over variables given 1 % or more."
    )
    yield "", figure


def read(path: Path) -> tuple[str, list[Curve]]:
    """The digest of the weights, and the curves.

    Raises
    ------
    BenchError: the file is not what the benchmark prints.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise BenchError(f"Cannot read {path}: {error}.") from error
    weights, curves = "", []
    for line in lines:
        if found := _WEIGHTS.match(line):
            weights = found[1]
        elif found := _HEAD.match(line):
            curves.append(Curve(found[1], found[2], float(found[4])))
        elif (found := _BIN.match(line)) and curves:
            predicted, observed, low, high = map(float, found.groups()[1:])
            curves[-1].bins.append((predicted, observed, low, high))
    if not weights or not any(curve.bins for curve in curves):
        raise BenchError(
            f"{path} is not what benchmarks/reliability.py prints: it has no weights or no bins."
        )
    return weights, curves


def _style(name: str) -> dict:
    own = mark("cdn")
    if name == _CALIBRATED:
        return {"color": own.colour, "marker": "o", "markerfacecolor": own.colour}
    return {"color": own.faded().colour, "marker": "s", "markerfacecolor": "white"}


def _line(name: str) -> Line2D:
    return Line2D([], [], **_style(name), markersize=4, linewidth=1.2, label=name)


def _panel(axes: Axes, curves: list[Curve]) -> None:
    axes.plot([0, 1], [0, 1], color=RULE, linewidth=1, zorder=1)
    texts = []
    for curve in sorted(curves, key=lambda c: c.map == _CALIBRATED):
        style = _style(curve.map)
        shift = 0.006 if curve.map == _CALIBRATED else -0.006
        for predicted, _, low, high in curve.bins:
            axes.plot([predicted + shift] * 2, [low, high], color=style["color"], linewidth=0.9)
        axes.plot(
            [p + shift for p, *_ in curve.bins],
            [o for _, o, *_ in curve.bins],
            **style,
            markersize=3.4,
            linewidth=1.1,
        )
        texts.append(f"{curve.error:.3f} {'calibrated' if curve.map == _CALIBRATED else 'raw'}")
    axes.text(
        0.98, 0.03, "ECE\n" + "\n".join(texts), transform=axes.transAxes, ha="right", fontsize=SMALL
    )
    unit_interval(axes, "x")
    unit_interval(axes)
    axes.set_aspect("equal")
