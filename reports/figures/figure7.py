"""Figure 7: the distribution of differential genes per perturbation, by line."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from cdnbench.reports.drawing.lines import NEEDS as _NEEDS
from cdnbench.reports.drawing.look import Look
from cdnbench.reports.drawing.per_line import with_printed
from cdnbench.reports.frame import Results

SUMMARY = "Figure 7: differential genes per perturbation, by line"
NEEDS = _NEEDS


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """A point per perturbation; printed medians of the paper's screens beside simulated lines."""
    figure = with_printed(
        results,
        look,
        "differential",
        "differential genes of a perturbation",
        "Figure 7: differential genes per perturbation",
    )
    if figure:
        yield "", figure
