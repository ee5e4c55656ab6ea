"""Geometry of the pictures of a page: what stands where, in units of the drawing.

The templates turn it into SVG. Clouds of points are one path each, so that a page with hundreds of
pictures stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdnbench.prediction.result import Finding

WIDTH = 360.0
MOST_POINTS = 300
"""Variables that a scatter draws: the first ones, and a sample of the others."""
LABELLED = 5
"""Variables that a scatter names."""
MOST_ROWS, MOST_COLUMNS = 40, 20
"""Of a map."""
_CHANCES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 0.997, 0.999)
_CHARACTER = 7.6  # width of a letter of 12 units, on average and at most in names of genes


@dataclass(frozen=True)
class Tick:
    """at: its place. text: its label."""

    at: float
    text: str


@dataclass(frozen=True)
class Label:
    """A named point: its place, the place of its text, and on which side the text is anchored."""

    x: float
    y: float
    text_x: float
    text_y: float
    anchor: str
    text: str
    title: str


@dataclass(frozen=True)
class Scatter:
    """Change against score. cloud: path of the points without a name. zero: x of no change."""

    height: float
    left: float
    right: float
    top: float
    bottom: float
    zero: float
    cloud: str
    labels: tuple[Label, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    y_title: str
    n_drawn: int


@dataclass(frozen=True)
class Side:
    """The values of one side: name, y of its middle, path of its points, quartiles."""

    name: str
    y: float
    cloud: str
    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Strip:
    """The values of a variable in controls and perturbed rows."""

    variable: str
    height: float
    left: float
    right: float
    bottom: float
    sides: tuple[Side, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Cell:
    """One field of a map. kind: "up" or "down". opacity: from 0 to 1. mark: "named" by the verdict,
    "first" of its ranking, or "". title: what it says."""

    x: float
    y: float
    kind: str
    opacity: float
    mark: str
    title: str


@dataclass(frozen=True)
class Map:
    """Log fold changes of candidates (columns) under perturbations (rows)."""

    width: float
    height: float
    size: float
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    left: float
    top: float
    cells: tuple[Cell, ...]
    limit: str
    n_left_out: int


def scatter(finding: Finding) -> Scatter | None:
    """None where nothing was scored."""
    scored = np.flatnonzero(np.isfinite(finding.scores) & np.isfinite(finding.log_fold_change))
    if not len(scored):
        return None
    if len(scored) > MOST_POINTS:
        n = MOST_POINTS // 2
        rest = np.linspace(n, len(scored) - 1, MOST_POINTS - n).astype(int)
        scored = scored[np.concatenate([np.arange(n), rest])]
    change, score = finding.log_fold_change[scored], finding.scores[scored]
    chances = finding.probability is not None
    if finding.probability is not None:
        p = np.clip(finding.probability[scored], 1e-4, 1 - 1e-4)
        score = np.log(p / (1 - p))
    height, left, right, top, bottom = 270.0, 48.0, WIDTH - 10, 12.0, 270.0 - 40
    x_span = _span(np.append(change, 0.0))
    y_span = _span(score)
    x = left + (right - left) * (change - x_span[0]) / (x_span[1] - x_span[0])
    y = bottom - (bottom - top) * (score - y_span[0]) / (y_span[1] - y_span[0])
    place_x = lambda v: left + (right - left) * (v - x_span[0]) / (x_span[1] - x_span[0])  # noqa: E731
    place_y = lambda v: bottom - (bottom - top) * (v - y_span[0]) / (y_span[1] - y_span[0])  # noqa: E731
    if chances:
        of_chance = [(float(np.log(c / (1 - c))), f"{100 * c:g} %") for c in _CHANCES]
        seen = [(v, t) for v, t in of_chance if y_span[0] <= v <= y_span[1]]
        seen = seen[:: max(1, round(len(seen) / 5))]
        y_ticks = [Tick(_r(place_y(v)), t) for v, t in seen]
    else:
        y_ticks = [Tick(_r(place_y(v)), f"{v:g}") for v in ticks(*y_span)]
    named = min(LABELLED, len(scored))
    return Scatter(
        height=height,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        zero=_r(place_x(0.0)),
        cloud=cloud(x[named:], y[named:]),
        labels=_labels(finding, scored[:named], x, y, (left, right, top, bottom)),
        x_ticks=tuple(Tick(_r(place_x(v)), f"{v:g}") for v in ticks(*x_span)),
        y_ticks=tuple(y_ticks),
        y_title="probability" if chances else "score",
        n_drawn=len(scored),
    )


def _labels(
    finding: Finding,
    which: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    frame: tuple[float, float, float, float],
) -> tuple[Label, ...]:
    """Labels beside their points, moved down where they would lie on another label or point."""
    left, right, top, bottom = frame
    taken = [(float(y[k]) + 4, float(x[k]) - 5, float(x[k]) + 5) for k in range(len(which))]
    found = []
    for k, i in enumerate(which):
        text = short(str(finding.variables[i]), 18)
        width = _CHARACTER * len(text)
        on_left = x[k] + 8 + width > right
        start = max(left, x[k] - 8 - width) if on_left else x[k] + 8
        height = max(float(y[k]) + 4, top + 8)
        while any(abs(height - h) < 12 and start < b and a < start + width for h, a, b in taken):
            height += 3
        if height > bottom - 2:
            continue
        taken.append((height, start, start + width))
        chance = (
            "" if finding.probability is None else f", probability {finding.probability[i]:.2g}"
        )
        found.append(
            Label(
                _r(x[k]),
                _r(y[k]),
                _r(start + width if on_left else start),
                _r(height),
                "end" if on_left else "start",
                text,
                f"{finding.variables[i]}: score {finding.scores[i]:.3g}{chance}, log fold change "
                f"{finding.log_fold_change[i]:+.3g}",
            )
        )
    return tuple(found)


def strip(finding: Finding) -> Strip | None:
    """The values of the first variable; None where there are none."""
    if finding.values is None or finding.failed:
        return None
    left, right, height = 70.0, WIDTH - 10, 150.0
    span = _span(np.concatenate(finding.values))
    sides = []
    for name, values, y in zip(("control", "perturbed"), finding.values, (32.0, 88.0), strict=True):
        x = left + (right - left) * (values - span[0]) / (span[1] - span[0])
        jitter = 17 * (np.arange(len(values)) * 0.618034 % 1 * 2 - 1)
        low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
        sides.append(Side(name, y, cloud(x, y + jitter), _r(low), _r(middle), _r(high)))
    place = [
        Tick(_r(left + (right - left) * (v - span[0]) / (span[1] - span[0])), f"{v:g}")
        for v in ticks(*span)
    ]
    first = str(finding.variables[0])
    return Strip(first, height, left, right, 116.0, tuple(sides), tuple(place))


def heat_map(findings: Sequence[Finding]) -> Map | None:
    """A map of the perturbations with the smallest p-values and their first candidates.

    findings: one for each perturbation. None where fewer than two of them have scores.
    """
    drawn = [f for f in findings if not f.failed]
    if len(drawn) < 2:
        return None
    order = sorted(range(len(drawn)), key=lambda i: _p(drawn[i]))[:MOST_ROWS]
    rows = [drawn[i] for i in order]
    names = list(dict.fromkeys(str(f.variables[0]) for f in rows))
    more = [str(f.variables[k]) for k in (1, 2) for f in rows if k < f.n_candidates]
    columns = list(dict.fromkeys([*names, *more]))[:MOST_COLUMNS]
    of_row = []
    for f in rows:
        place = {str(v): i for i, v in enumerate(f.variables)}
        of_row.append([f.log_fold_change[place[c]] if c in place else np.nan for c in columns])
    change = np.array(of_row, dtype=np.float64)
    limit = float(np.nanquantile(np.abs(change), 0.97)) or 1.0
    size = 15.0
    left = 12 + 8.2 * max(len(short(f.name, 16)) for f in rows)
    top = 14 + 0.8 * _CHARACTER * max(len(short(c, 14)) for c in columns)
    cells = []
    for i, f in enumerate(rows):
        for j, name in enumerate(columns):
            value = change[i, j]
            if not np.isfinite(value):
                continue
            first = not f.failed and str(f.variables[0]) == name
            cells.append(
                Cell(
                    _r(left + size * j),
                    _r(top + size * i),
                    "up" if value > 0 else "down",
                    round(float(min(1.0, abs(value) / limit)), 2),
                    "named" if name in f.named else "first" if first else "",
                    f"{f.name}, {name}: log fold change {value:+.2f}",
                )
            )
    # Column labels lean to the right, so that the last one needs room.
    return Map(
        width=left + size * len(columns) + 0.75 * (top - 14) + 6,
        height=top + size * len(rows) + 6,
        size=size,
        rows=tuple(Tick(_r(top + size * i + 11.5), short(f.name, 16)) for i, f in enumerate(rows)),
        columns=tuple(Tick(_r(left + size * j + 9), short(c, 14)) for j, c in enumerate(columns)),
        left=_r(left),
        top=_r(top),
        cells=tuple(cells),
        limit=f"{limit:.2g}",
        n_left_out=len(drawn) - len(rows),
    )


def cloud(x: np.ndarray, y: np.ndarray) -> str:
    """A path with a dot at each place."""
    return "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True))


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers between two values."""
    raw = (high - low) / about
    power = 10.0 ** np.floor(np.log10(raw))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if raw <= m * power * (1 + 1e-9))
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return [round(float(k * step), 12) + 0.0 for k in np.arange(first, last + 1)]


def short(text: str, most: int) -> str:
    """The text, cut to so many letters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _span(values: np.ndarray) -> tuple[float, float]:
    """The range of the values with some room on both sides."""
    low, high = float(np.min(values)), float(np.max(values))
    room = 0.06 * (high - low) or max(1.0, abs(high)) * 0.5
    return low - room, high + room


def _p(finding: Finding) -> float:
    return 1.0 if finding.p is None or finding.p != finding.p else finding.p


def _r(value: float) -> float:
    return round(float(value), 1)
