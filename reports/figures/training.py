"""Training curves: losses and validation against minutes, a panel per run.

A run of `bench train` keeps `log.jsonl`. Where stores were made, logs lie under `train/<run>/`;
beside committed stores they are copies, `training/<run>.jsonl`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cdnbench.errors import BenchError
from cdnbench.reports.drawing import beside
from cdnbench.reports.drawing.axes import letter, panels
from cdnbench.reports.drawing.look import Look
from cdnbench.reports.frame import Results

SUMMARY = "training curves: losses and validation of every run of `bench train`"
NEEDS = (
    "it takes logs of `bench train`: train/<run>/log.jsonl or training/<run>.jsonl beside the "
    "stores."
)

_CLOCK = ("step", "minutes", "left_out")
_HUES = ("#0072b2", "#d55e00", "#117733", "#aa4499", "#d99a1c", "#4d5a66")
_METRICS = ("dev mAP", "dev edge AP", "mAP")
_MOST = 12
"""So many runs have room in one figure."""


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure; more where there are more runs than fit."""
    logs = _logs(results)
    names = list(logs)
    pages = [names[i : i + _MOST] for i in range(0, len(names), _MOST)]
    for number, page in enumerate(pages, 1):
        shown = {name: logs[name] for name in page}
        yield str(number) if len(pages) > 1 else "", _figure(shown, look)


def read_log(path: Path) -> pd.DataFrame:
    """One row per report: `step`, `minutes`, losses and metrics. Raises BenchError."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        frame = pd.DataFrame([json.loads(line) for line in lines])
    except (OSError, ValueError) as error:
        raise BenchError(f"Cannot read the training log {path}: {error}.") from error
    if not {"step", "minutes"} <= set(frame):
        raise BenchError(f"{path} is no training log: it has no step and minutes.")
    return frame


def _logs(results: Results) -> dict[str, pd.DataFrame]:
    """Name of the run -> its log."""
    found: dict[str, Path] = {}
    if runs := beside.found(results, "train"):
        found |= {path.parent.name: path for path in sorted(runs.glob("*/log.jsonl"))}
    if copies := beside.found(results, "training"):
        found |= {path.stem: path for path in sorted(copies.glob("*.jsonl"))}
    return {name: read_log(path) for name, path in found.items()}


def _figure(logs: dict[str, pd.DataFrame], look: Look) -> Figure:
    columns = min(3 if look.is_wide else 1, len(logs))
    figure = look.figure(0.2 + 1.75 * math.ceil(len(logs) / columns))
    figure.title("Training: loss on new batches, and validation")
    curves = {name: _curves(log) for name, log in logs.items()}
    every = list(dict.fromkeys(name for found in curves.values() for name in found))
    hues = {name: _HUES[i % len(_HUES)] for i, name in enumerate(every)}
    is_loss = {name: loss for found in curves.values() for name, loss in found.items()}
    for axes, (name, log) in zip(panels(figure, len(logs), columns), logs.items(), strict=True):
        _panel(axes, log, curves[name], hues)
        letter(axes, name)
    figure.legend_above([_handle(name, is_loss[name], hues[name]) for name in every])
    figure.note("Lines: parts of the loss, means since the last report. Points: validation.")
    return figure


def _curves(log: pd.DataFrame) -> dict[str, bool]:
    """The names of what is drawn, and whether it is a loss: losses are on every row, metrics on
    some."""
    names = [str(n) for n in log if n not in _CLOCK and log[n].notna().any()]
    losses = [n for n in names if log[n].notna().mean() > 0.6 and " " not in n]
    metrics = [n for n in names if n not in losses and n in _METRICS]
    return {**dict.fromkeys(losses, True), **dict.fromkeys(metrics, False)}


def _panel(axes: Axes, log: pd.DataFrame, curves: dict[str, bool], hues: dict[str, str]) -> None:
    for name, is_loss in curves.items():
        rows = log.dropna(subset=[name])
        line = _handle(name, is_loss, hues[name])
        line.set_data(rows["minutes"], rows[name])
        axes.add_line(line)
    axes.autoscale_view()
    axes.set_ylim(0, None)
    axes.set_xlim(0, None)
    axes.set_xlabel("minutes")
    axes.set_ylabel("loss, or metric")
    axes.grid()


def _handle(name: str, is_loss: bool, hue: str) -> Line2D:
    style, marker = ("-", "none") if is_loss else ("none", "D")
    return Line2D([], [], linestyle=style, marker=marker, color=hue, markersize=4, label=name)
