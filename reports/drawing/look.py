"""How figures look: their width in print, fonts, and the method that is highlighted."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.figure import Figure

from cdnbench.errors import InvalidParameter

INCHES = {"one": 3.5, "two": 7.2}
"""Columns -> width in inches: one and two columns of a journal's page."""
FORMATS = ("pdf", "svg", "png")
TEXT, SMALL = 8.0, 7.0
"""Points: titles and axes, and ticks, legends and notes."""
INK, RULE, FAINT = "#222222", "#c9ccc8", "#eceeec"
_WIDE_LETTER = 0.56
"""The mean width of a letter, in units of the size of the font."""

_STYLE = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so that figures are alike everywhere
    "font.size": SMALL,
    "axes.titlesize": TEXT,
    "axes.titlelocation": "left",
    "axes.labelsize": TEXT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "xtick.minor.size": 1.0,
    "ytick.minor.size": 1.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.2,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Look:
    """How to draw.

    columns: "one" or "two", the width in columns of a page. highlight: the method, or the label of
    the reading, that stands out; "" for none.

    Raises
    ------
    InvalidParameter: there is no such width.
    """

    columns: str = "two"
    highlight: str = ""

    def __post_init__(self) -> None:
        if self.columns not in INCHES:
            raise InvalidParameter(f"A figure is one or two columns wide; got {self.columns!r}.")

    @property
    def inches(self) -> float:
        return INCHES[self.columns]

    @property
    def is_wide(self) -> bool:
        return self.columns == "two"

    def figure(self, height: float) -> Figure:
        """An empty figure of this width. height: inches."""
        return Figure(figsize=(self.inches, height), layout="constrained")

    def wrapped(self, text: str, size: float = SMALL, share: float = 1.0) -> str:
        """The text in lines that fit the width, or a share of it, in letters of `size` points."""
        letters = int(share * self.inches * 72 / (size * _WIDE_LETTER))
        return "\n".join(textwrap.wrap(text, max(letters, 8), break_on_hyphens=False))

    def title(self, figure: Figure, text: str) -> None:
        """A title over the whole figure, at the left. Room for it is taken from the panels."""
        wrapped = self.wrapped(text, TEXT * 1.08)  # bold letters are wider
        height = _height(wrapped, TEXT) / figure.get_figheight()
        left, bottom, width, upper = _rect(figure)
        top = bottom + upper
        figure.text(0.01, top - 0.02 / figure.get_figheight(), wrapped, **_TITLE)
        _set_rect(figure, (left, bottom, width, upper - height))

    def note(self, figure: Figure, *sentences: str) -> None:
        """What a reader must know, in small letters below the figure."""
        text = self.wrapped(" ".join(sentence for sentence in sentences if sentence))
        if not text:
            return
        height = _height(text, SMALL) / figure.get_figheight()
        left, bottom, width, upper = _rect(figure)
        figure.text(0.01, bottom + 0.02 / figure.get_figheight(), text, **_NOTE)
        _set_rect(figure, (left, bottom + height, width, upper - height))


_TITLE = {"ha": "left", "va": "top", "fontsize": TEXT, "fontweight": "bold"}
_NOTE = {"ha": "left", "va": "bottom", "fontsize": SMALL, "color": "#555555"}


def top_of_panels(figure: Figure) -> float:
    """Where the title ends, as a share of the height from below."""
    _, bottom, _, upper = _rect(figure)
    return bottom + upper


def _height(text: str, size: float) -> float:
    """Inches that a text takes, with some air."""
    return (text.count("\n") + 1) * size * 1.25 / 72 + 0.06


def _rect(figure: Figure) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of the part of a figure that panels may use."""
    return figure.get_layout_engine().get()["rect"]  # type: ignore[union-attr]


def _set_rect(figure: Figure, rect: tuple[float, float, float, float]) -> None:
    figure.get_layout_engine().set(rect=rect)  # type: ignore[union-attr]


@contextmanager
def styled(name: str = "") -> Iterator[None]:
    """Within it, figures have the style of this package. name: seeds the identifiers in SVG."""
    with rc_context({**_STYLE, "svg.hashsalt": name or "figure"}):  # type: ignore[arg-type]
        yield
