"""A report over stores: the one object that the command line talks to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from cdnbench.archive import find_stores
from cdnbench.errors import BenchError
from cdnbench.reports import html, latex, tables, terminal
from cdnbench.reports.frame import Readable, Results, read, tidy
from cdnbench.reports.names import LEADERBOARD
from cdnbench.reports.table import Table


class Report:
    """Tables of what stores hold. Made by `build`; each table is made once, when first asked
    for."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self._tables: dict[str, Table] = {}

    @cached_property
    def tidy(self) -> pd.DataFrame:
        """One row per (method, variant, task, regime, seed, metric)."""
        return tidy(self.results)

    @property
    def jobs(self) -> pd.DataFrame:
        """One row per job."""
        return self.results.jobs

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out of the report, naming the files."""
        return self.results.notes

    def table(self, name: str = LEADERBOARD) -> Table:
        """A table by name (`cdnbench.reports.names.TABLES`). Raises UnknownName."""
        if name not in self._tables:
            self._tables[name] = tables.build(self.results, name)
        return self._tables[name]

    def show(self, console: Console, name: str = LEADERBOARD) -> None:
        """Print a table, and what had to be left out; plain text where the console is no
        terminal."""
        table = self.table(name)
        terminal.show(
            replace(table, notes=tuple(dict.fromkeys((*table.notes, *self.notes)))), console
        )

    def leaderboard(self, console: Console) -> None:
        self.show(console, LEADERBOARD)

    def frame(self, name: str = LEADERBOARD) -> pd.DataFrame:
        """The frame behind a table's CSV; the leaderboard's is the tidy frame."""
        return self.tidy if name == LEADERBOARD else self.table(name).frame

    def to_csv(self, path: Path, name: str = LEADERBOARD) -> None:
        """Write `frame(name)` to a file."""
        write_csv(self.frame(name), Path(path))

    def to_latex(self, name: str = LEADERBOARD) -> str:
        """The table as LaTeX with booktabs."""
        return latex.latex(self.table(name))

    def to_html(self) -> str:
        """The whole report as one page without external files."""
        return html.page(self)


def build(source: Path | str | Readable | Iterable[Readable]) -> Report:
    """The report of a results folder, of one store, or of several.

    Raises
    ------
    BenchError: nothing to report, or a record that cannot be read; the message names the file.
    """
    if isinstance(source, str | Path):
        stores: list[Readable] = list(find_stores(Path(source)))
    else:
        stores = [source] if hasattr(source, "records") else list(source)  # type: ignore[arg-type, list-item]
    return Report(read(stores))


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as CSV, missing values blank. Arrow writes a million rows in seconds.

    Raises
    ------
    BenchError: the folder does not exist or cannot be written.
    """
    import pyarrow as pa
    from pyarrow import csv

    columns = {}
    for name, column in frame.items():
        values = column
        if isinstance(values.dtype, pd.CategoricalDtype):
            text = np.array([*map(str, values.cat.categories), None], dtype=object)
            values = pd.Series(text[values.cat.codes.to_numpy()])  # code -1 is the last: missing
        columns[str(name)] = pa.Array.from_pandas(values)
    try:
        csv.write_csv(pa.table(columns), path, csv.WriteOptions(quoting_style="needed"))
    except OSError as error:
        raise BenchError(f"Cannot write {path}: {error}.") from error
