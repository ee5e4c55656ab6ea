"""One module per figure.

A module has its `SUMMARY`, one line that `bench list figures` shows, and `draw(results, look)`,
which takes `cdnbench.reports.frame.Results` and `cdnbench.reports.drawing.look.Look` and yields
(end of the file name, `matplotlib` figure) pairs. It may have `NEEDS`, a sentence on what it takes
where it has nothing to show. Nothing else has to know of it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cdnbench.errors import BenchError
from cdnbench.files import write_atomically
from cdnbench.reports.modules import Modules

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cdnbench.reports.drawing.look import Look
    from cdnbench.reports.frame import Results

FIGURES = Modules(__name__, "figure", first="dots")
FORMATS = ("pdf", "svg", "png")
_DOTS_PER_INCH = 200
_PLAIN_METADATA = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


class NothingToShow(BenchError):
    """A figure has nothing to show of these results. The message says what it takes."""


def write(
    results: Results,
    name: str,
    folder: Path,
    look: Look | None = None,
    formats: Sequence[str] = FORMATS,
) -> list[Path]:
    """Write a figure to `<folder>/<name>[-<block>].<format>`, and return the files.

    The same results give the same bytes with the same version of matplotlib.

    Raises
    ------
    UnknownName: there is no figure of that name, or nothing that is to be highlighted.
    NothingToShow: as it says.
    BenchError: a table that the figure reads is broken, or the folder cannot be written.
    """
    from cdnbench.reports.drawing.look import Look, styled

    module = FIGURES.load(name)
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with styled(name):
            for ending, figure in module.draw(results, look or Look()):
                figure.draw_without_rendering()
                # Placed once, for all formats. With "none" each would be drawn twice.
                figure.set_layout_engine(None)
                for form in formats:
                    path = folder / f"{'-'.join(filter(None, (name, ending)))}.{form}"
                    write_atomically(path, _drawn(figure, form))
                    written.append(path)
    except OSError as error:
        raise BenchError(f"Cannot write figures to {folder}: {error}.") from error
    if not written:
        needs = getattr(module, "NEEDS", "no method has finished.")
        raise NothingToShow(f"The figure {name!r} has nothing to show: {needs}")
    return written


def _drawn(figure: Figure, form: str) -> bytes:
    """The content of its file. Where a disk is full, matplotlib itself would fail with an error of
    its own making."""
    content = io.BytesIO()
    figure.savefig(content, format=form, dpi=_DOTS_PER_INCH, metadata=_PLAIN_METADATA[form])
    return content.getvalue()
