"""Small tables and logs that lie beside stores: facts that figures need and that no store holds.

They are looked for in the folder of a store and in the two folders above it, nearest first, so that
`docs/results/scaling.csv` belongs to `docs/results/store/synthetic-clean`. What makes each of them
is said by the figure that reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cdnbench.errors import BenchError
from cdnbench.reports.frame import Results

_ABOVE = 2


def found(results: Results, name: str) -> Path | None:
    """The nearest file or folder of that name, None if there is none."""
    for height in range(_ABOVE + 1):
        for folder in dict.fromkeys(results.folders):
            ancestors = [folder.resolve(), *folder.resolve().parents]
            path = ancestors[min(height, len(ancestors) - 1)] / name
            if path.exists():
                return path
    return None


def table(results: Results, name: str, columns: Sequence[str]) -> pd.DataFrame | None:
    """The table of that name, None if there is none.

    Raises
    ------
    BenchError: the file cannot be read, or lacks one of the columns.
    """
    path = found(results, name)
    return None if path is None else read_table(path, columns)


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV file that has at least these columns. Raises BenchError."""
    try:
        frame = pd.read_csv(path, comment="#")
    except (OSError, ValueError) as error:
        raise BenchError(f"Cannot read {path}: {error}.") from error
    missing = [name for name in columns if name not in frame]
    if missing:
        raise BenchError(
            f"{path} has no column {', '.join(missing)}, which a figure needs. Make it again with "
            "the command in docs/results/README.md, or give it another name."
        )
    return frame
