"""A figure of one finding, for notebooks and files."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cdnbench.errors import BenchError
from cdnbench.prediction.drawing import LABELLED
from cdnbench.prediction.result import Finding


class Shown(Figure):
    """A figure that a notebook shows once, whatever its backend."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=100, bbox_inches="tight")
        return content.getvalue()


def figure(finding: Finding) -> Shown:
    """Log fold change against probability, or score, with the first variables named; beside it the
    first variable's values in controls and perturbed rows.

    Raises
    ------
    BenchError: the method gave no scores.
    """
    if finding.failed:
        raise BenchError(f"There is nothing to draw for {finding.name!r}: {finding.note}.")
    drawn = Shown(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(drawn)
    left, right = drawn.subplots(1, 2, width_ratios=(3, 2))
    known = finding.probability is not None
    height = finding.probability if finding.probability is not None else finding.scores
    left.scatter(finding.log_fold_change, height, s=14, color="0.65", linewidths=0)
    first = slice(0, LABELLED)
    left.scatter(finding.log_fold_change[first], height[first], s=22, color="#2f8f6d")
    for name, x, y in zip(
        finding.variables[first], finding.log_fold_change[first], height[first], strict=True
    ):
        if np.isfinite(y):
            left.annotate(str(name), (x, y), xytext=(5, 3), textcoords="offset points", size=9)
    left.axvline(0, color="0.7", linestyle=":", zorder=0)
    left.set(
        xlabel="log fold change",
        ylabel=f"probability by {finding.method}" if known else f"score of {finding.method}",
        title=finding.name,
    )
    if finding.values is None:
        right.set_axis_off()
        return drawn
    for place, (values, colour) in enumerate(zip(finding.values, ("0.65", "#2f8f6d"), strict=True)):
        jitter = 0.25 * (np.arange(len(values)) * 0.618034 % 1 * 2 - 1)
        right.scatter(place + jitter, values, s=10, color=colour, linewidths=0, alpha=0.7)
        right.hlines(np.median(values), place - 0.35, place + 0.35, color="0.1")
    right.set_xticks([0, 1], ["control", "perturbed"])
    right.set(title=str(finding.variables[0]), ylabel="value as the method got it")
    return drawn
