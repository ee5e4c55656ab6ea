"""How figures look: their width in print, fonts, and the method that is highlighted."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from cdnbench.errors import InvalidParameter

INCHES = {"one": 3.5, "two": 7.2}
"""Columns -> width in inches: one and two columns of a journal's page."""
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
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,  # what `set_layout_engine(None)` asks for
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

    def figure(self, height: float) -> Sheet:
        """An empty figure of this width. height: inches of the panels; titles, legends and notes
        add theirs."""
        return Sheet(self.inches, height)

    def wrapped(self, text: str, size: float = SMALL, share: float = 1.0) -> str:
        """The text in lines that fit a share of the width, in letters of `size` points."""
        return wrapped(text, share * self.inches, size)


class Sheet(Figure):
    """A figure with a title and a legend above its panels and a note below, which grows by them.

    `constrained_layout` knows no three of these together, so they are placed here and the panels
    get what is left.
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")
        self._panels = height  # inches
        self._above: list[tuple[Artist, float]] = []  # with inches from the top
        self._top = self._bottom = 0.0  # inches

    def title(self, text: str) -> None:
        """A title over everything, at the left."""
        lines = wrapped(text, self.get_figwidth(), TEXT * 1.1)  # bold letters are wider
        made = self.text(
            0.01, 1, lines, ha="left", va="top", fontsize=TEXT, fontweight="bold", in_layout=False
        )
        self._add(made, _height(lines, TEXT))

    def legend_above(self, handles: Sequence[Line2D], bold: Sequence[bool] = ()) -> None:
        """A legend of as few lines as the width allows. bold: which texts are."""
        letters = max(len(str(handle.get_label())) for handle in handles) + 6
        columns = int(self.get_figwidth() * 72 / (letters * SMALL * _WIDE_LETTER))
        columns = max(1, min(len(handles), columns))
        lines = math.ceil(len(handles) / columns)
        legend = self.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(0, 1),
            ncols=math.ceil(len(handles) / lines),  # lines of equal length
            handletextpad=0.4,
            columnspacing=1.2,
            labelspacing=0.25,
            borderpad=0.1,
            borderaxespad=0,
        )
        legend.set_in_layout(False)
        for text, heavy in zip(legend.get_texts(), bold, strict=False):
            text.set_fontweight("bold" if heavy else "normal")
        self._add(legend, lines * SMALL * 1.45 / 72 + 0.08)

    def note(self, *sentences: str) -> None:
        """What a reader must know, in small letters below the panels."""
        text = " ".join(sentence for sentence in sentences if sentence)
        lines = wrapped(text, self.get_figwidth(), SMALL)
        if lines:
            style = {"fontsize": SMALL, "color": "#555555", "in_layout": False}
            self.text(0.01, 0, lines, ha="left", va="bottom", **style)
            self._bottom += _height(lines, SMALL)
            self._arrange()

    def _add(self, artist: Artist, inches: float) -> None:
        self._above.append((artist, self._top))
        self._top += inches
        self._arrange()

    def _arrange(self) -> None:
        height = self._panels + self._top + self._bottom
        self.set_figheight(height)
        for artist, down in self._above:
            y = 1 - (down + _EDGE) / height
            if isinstance(artist, Legend):
                artist.set_bbox_to_anchor((0.012, y), transform=self.transSubfigure)
            else:
                artist.set(y=y)
        rect = (0, self._bottom / height, 1, self._panels / height)
        self.get_layout_engine().set(rect=rect)  # type: ignore[union-attr]


_EDGE = 0.02
"""Inches between texts and the edge of a figure."""


def wrapped(text: str, inches: float, size: float) -> str:
    """The text in lines that fit, in letters of `size` points."""
    letters = int(inches * 72 / (size * _WIDE_LETTER))
    return "\n".join(textwrap.wrap(text, max(letters, 8), break_on_hyphens=False))


def _height(text: str, size: float) -> float:
    """Inches that a text takes, with some air."""
    return (text.count("\n") + 1) * size * 1.25 / 72 + 0.05


@contextmanager
def styled(name: str = "") -> Iterator[None]:
    """Within it, figures have the style of this package. name: seeds the identifiers in SVG."""
    with rc_context({**_STYLE, "svg.hashsalt": name or "figure"}):  # type: ignore[arg-type]
        yield
