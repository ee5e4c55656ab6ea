"""A table to be shown, apart from how: blocks of rows of cells, and the frame behind them.

`cdnbench.reports.show` writes it for terminals, in LaTeX and in HTML.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

Kind = Literal["method", "trivial", "reference", "published"]
"""reference: the ceiling, which is never ranked. trivial: a baseline that sets the floor.
published: printed values."""


@dataclass(frozen=True)
class Column:
    """group: a heading over neighbours of the same group.
    optional: narrow terminals drop the columns with the highest number first, and 0 never."""

    title: str
    group: str = ""
    align: Literal["left", "right"] = "right"
    optional: int = 0


@dataclass(frozen=True)
class Cell:
    """best: the best of its column. mark: a footnote sign after the text."""

    text: str = ""
    best: bool = False
    mark: str = ""

    @property
    def shown(self) -> str:
        return self.text + self.mark


@dataclass(frozen=True)
class Row:
    cells: tuple[Cell, ...]
    kind: Kind = "method"


@dataclass(frozen=True)
class Block:
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def groups(self) -> list[tuple[str, int, int]]:
        """(heading, first column, last column) of every run of columns of one group; empty if no
        column has a group."""
        spans: list[tuple[str, int, int]] = []
        for i, column in enumerate(self.columns):
            if spans and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1], i)
            else:
                spans.append((column.group, i, i))
        return spans if any(column.group for column in self.columns) else []


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Shows itself as text, and as HTML in a notebook.

    name: what `bench report --table` calls it. frame: the numbers behind it.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]
    frame: pd.DataFrame = field(repr=False)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        from cdnbench.reports.show.terminal import text

        return text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from cdnbench.reports.show.html import fragment

        return fragment(self)


def slug(text: str) -> str:
    """`synthetic, protocol clean` -> `synthetic-protocol-clean`, for labels and names of files."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def number(value: float, digits: int = 3) -> str:
    """`0.734`; a dash where there is none."""
    return "–" if value is None or np.isnan(value) else f"{value:.{digits}f}"


def plus_minus(mean: float, sd: float, digits: int = 3) -> str:
    """`0.734 ± 0.041`; the mean alone where there is no standard deviation."""
    if mean is None or np.isnan(mean):
        return "–"
    return (
        number(mean, digits)
        if sd is None or np.isnan(sd)
        else f"{mean:.{digits}f} ± {sd:.{digits}f}"
    )


def interval(low: float, high: float, digits: int = 3) -> str:
    """`0.693 to 0.775`; a dash where there is none."""
    return "–" if np.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"


def seconds(value: float) -> str:
    """`0.0004`, `0.004`, `1.2`, `95`: about two digits, and never a time of nothing."""
    if value is None or np.isnan(value):
        return "–"
    if value < 0.00001:
        return "<0.00001"
    if value < 0.00095:
        return f"{value:.{-math.floor(math.log10(value))}f}"
    return (
        f"{value:.3f}"
        if value < 0.1
        else f"{value:.2f}"
        if value < 1
        else f"{value:.1f}"
        if value < 10
        else f"{value:,.0f}"
    )


def place_best(values: np.ndarray, digits: int = 3) -> np.ndarray:
    """Which of `values` (n,) are shown as the largest. All are False where there is no choice.

    For a metric where lower is better, give `Metric.merit` of the values.
    """
    rounded = np.round(np.asarray(values, float), digits)
    if np.isnan(rounded).all() or len(rounded) < 2:
        return np.zeros(len(rounded), bool)
    return rounded == np.nanmax(rounded)
