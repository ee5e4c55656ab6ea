"""One module per figure.

A module has its `SUMMARY`, one line that `bench list figures` shows, and `draw(results)`, which
takes `cdnbench.reports.frame.Results` and yields (end of the file name, `matplotlib` figure) pairs.
Nothing else has to know of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cdnbench.errors import BenchError
from cdnbench.reports.modules import Modules

if TYPE_CHECKING:
    from cdnbench.reports.frame import Results

FIGURES = Modules(__name__, "figure")
FORMATS = ("pdf", "svg", "png")


def write(results: Results, name: str, folder: Path) -> list[Path]:
    """Write a figure to `<folder>/<name>[-<block>].pdf`, `.svg` and `.png`, and return the files.

    The same results give the same bytes with the same version of matplotlib.

    Raises
    ------
    UnknownName: there is no figure of that name.
    BenchError: there is nothing to draw, or the folder cannot be written.
    """
    import matplotlib

    style = {"svg.hashsalt": name, "svg.fonttype": "none", "pdf.fonttype": 42}
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(style):  # type: ignore[arg-type]
            for ending, figure in FIGURES.load(name).draw(results):
                for form in FORMATS:
                    path = folder / f"{'-'.join(filter(None, (name, ending)))}.{form}"
                    figure.savefig(path, dpi=200, bbox_inches="tight", metadata=dates[form])
                    written.append(path)
    except OSError as error:
        raise BenchError(f"Cannot write figures to {folder}: {error}.") from error
    if not written:
        raise BenchError(f"The figure {name!r} has nothing to show: no method has finished.")
    return written
