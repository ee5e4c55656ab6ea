"""A report over stores: the one object that the command line and Python talk to."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.console import Console

from cdnbench.archive import find_stores
from cdnbench.errors import BenchError
from cdnbench.files import output
from cdnbench.reports import figures, paper, tables
from cdnbench.reports.frame import Readable, Results, read, tidy
from cdnbench.reports.read import EVERY
from cdnbench.reports.select import labels_of, of_columns, of_methods
from cdnbench.reports.show import html, latex, terminal
from cdnbench.reports.table import Table
from cdnbench.reports.tables import LEADERBOARD

if TYPE_CHECKING:
    from cdnbench.reports.drawing.look import Look

_ROWS = 200_000
"""So many rows of a CSV are written at once."""
_FEW_REGIMES = 60
"""So many regimes are shown one by one on the page."""


def report(
    source: Path | str | Readable | Iterable[Readable] = "results",
    *,
    subset: str = EVERY,
    methods: Sequence[str] = (),
    against: Sequence[str] = (),
) -> Report:
    """The report of a folder of results, of one store, or of several.

    >>> from cdnbench import report
    >>> report("results/synthetic").table("leaderboard")  # doctest: +SKIP

    subset: "all", or the name of a yes/no column of the tasks such as "trivial". "nontrivial" keeps
        the tasks where the answer is no.
    methods: only these, as if the others had never been run.
    against: what the table `comparisons` compares with, in place of the best method and
        `target-shift`.

    Raises
    ------
    UnknownName: the results have no method of that name.
    BenchError: there is nothing to report, or an archive that cannot be read.
    """
    if isinstance(source, str | Path):
        stores: list[Readable] = list(find_stores(Path(source)))
    else:
        stores = list(source) if isinstance(source, Iterable) else [source]
    results = read(stores, subset)
    asked = [str(source)] if isinstance(source, str | Path) and str(source) != "results" else []
    asked += ["--subset", subset] if subset != EVERY else []
    asked += ["--methods", ",".join(methods)] if methods else []
    asked += ["--against", ",".join(against)] if against else []
    results = of_methods(results, methods) if methods else results
    return Report(results, labels_of(results, against), asked)


class Report:
    """Tables and figures of what stores hold. Each is made once, when it is first asked for.

    against: the labels that `comparisons` holds all others against; none for the best.
    asked: what `bench report` was given for it, for the comment in LaTeX that names the command.
    """

    def __init__(
        self, results: Results, against: Sequence[str] = (), asked: Sequence[str] = ()
    ) -> None:
        self.results = results
        self._against = tuple(against)
        self._asked = tuple(asked)
        self._tables: dict[str, Table] = {}

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per (method, variant, task, regime, seed, metric)."""
        return tidy(self.results)

    @property
    def jobs(self) -> pd.DataFrame:
        """One row per job or fit."""
        return self.results.jobs

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out of the report, naming the files."""
        return self.results.notes

    def table(self, name: str = LEADERBOARD) -> Table:
        """A table by name; `cdnbench.reports.tables.TABLES` has them. Raises UnknownName."""
        if name not in self._tables:
            self._tables[name] = tables.build(self.results, name, self._against)
        return self._tables[name]

    def numbers(self, name: str = LEADERBOARD) -> pd.DataFrame:
        """The frame behind the CSV of a table. The leaderboard's is the tidy frame."""
        return self.frame if name == LEADERBOARD else self.table(name).frame

    def figure(
        self,
        name: str,
        folder: Path | str,
        look: Look | None = None,
        formats: Sequence[str] = figures.FORMATS,
    ) -> list[Path]:
        """Write a figure as PDF, SVG and PNG into a folder, and return the files.

        `cdnbench.reports.figures.FIGURES` has the names. look: width and highlighted method.

        Raises
        ------
        UnknownName, BenchError: as `cdnbench.reports.figures.write`.
        """
        return figures.write(self.results, name, Path(folder), look, formats)

    def figures(
        self,
        folder: Path | str,
        look: Look | None = None,
        formats: Sequence[str] = figures.FORMATS,
        names: Sequence[str] = figures.FIGURES.names,
    ) -> tuple[list[Path], list[str]]:
        """Write every figure of `names` that has something to show. Returns the files, and what the
        others lack.

        Raises
        ------
        NothingToShow: no figure has anything to show.
        UnknownName, BenchError: as `cdnbench.reports.figures.write`.
        """
        from cdnbench.reports.drawing import cast, parallel

        def made(name: str) -> list[Path] | str:
            try:
                return self.figure(name, folder, look, formats)
            except figures.NothingToShow as error:
                return str(error)

        for _ in cast.blocks(self.results):  # what most figures start from, once for all
            pass
        found = list(parallel.each(made, names))
        written = [path for part in found if not isinstance(part, str) for path in part]
        missing = [part for part in found if isinstance(part, str)]
        if not written:
            raise figures.NothingToShow("\n".join(missing))
        return written, missing

    def show(self, console: Console, name: str = LEADERBOARD, columns: Sequence[str] = ()) -> None:
        """Print a table or some of its columns, and what had to be left out."""
        table = self._with_columns(name, columns)
        notes = tuple(dict.fromkeys((*table.notes, *self.notes)))
        terminal.show(replace(table, notes=notes), console)

    def leaderboard(self, console: Console) -> None:
        """Print the leaderboard."""
        self.show(console, LEADERBOARD)

    def to_csv(self, path: Path, name: str = LEADERBOARD) -> None:
        """Write `numbers(name)` to a file."""
        write_csv(self.numbers(name), Path(path))

    def to_latex(self, name: str = LEADERBOARD, columns: Sequence[str] = ()) -> str:
        """The table, or some of its columns, as LaTeX with booktabs.

        columns: titles of columns or of groups of them; all where none is named.

        Raises
        ------
        BenchError: the table has no such column.
        """
        chosen = ["--columns", ",".join(columns)] if columns else []
        command = ["bench", "report", *self._asked, "--table", name, *chosen, "--latex"]
        return latex.latex(self._with_columns(name, columns), shlex.join(command))

    def _with_columns(self, name: str, columns: Sequence[str]) -> Table:
        table = self.table(name)
        return of_columns(table, columns) if columns else table

    def to_html(self) -> str:
        """The whole report as one page without external files."""
        further = [self.table(name) for name in self._further()]
        return html.page(self.results, self.table(), further, self.table("jobs"))

    def _further(self) -> list[str]:
        """The tables of the page that have something to say about these results."""
        results = self.results
        names = ["comparisons"] if results.readings["label"].nunique() > 2 else []
        if set(results.regimes["suite"].astype(str)) & set(paper.SUITES):
            names += ["table11", "table4"]
        if self.table("real").blocks:
            names.append("real")
        regimes = results.regimes.drop_duplicates([*results.factors.names, "task", "regime"])
        return names + (["regimes"] if 0 < len(regimes) <= _FEW_REGIMES else [])

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as CSV, missing values blank. Arrow writes a million rows in seconds, and gets
    them part by part, so that the texts of all rows are never held at once.

    Raises
    ------
    BenchError: the folder does not exist or cannot be written.
    """
    import pyarrow as pa
    from pyarrow import csv

    whole = {str(name): _csv_column(column) for name, column in frame.items()}
    schema = pa.schema([(name, column(0, 0).type) for name, column in whole.items()])
    options = csv.WriteOptions(quoting_style="needed")
    try:
        with output(path) as file, csv.CSVWriter(file, schema, write_options=options) as writer:
            for first in range(0, len(frame), _ROWS):
                part = [column(first, first + _ROWS) for column in whole.values()]
                writer.write_table(pa.table(part, schema=schema))
    except OSError as error:
        raise BenchError(f"Cannot write {path}: {error}.") from error


def _csv_column(column: pd.Series) -> Callable[[int, int], Any]:
    """What gives the rows of a column from a first one to a last one as an Arrow array."""
    import pyarrow as pa

    if isinstance(column.dtype, pd.CategoricalDtype):
        text = np.array([*map(str, column.cat.categories), None], dtype=object)
        codes = column.cat.codes.to_numpy()  # code -1 is the last: missing
        return lambda first, last: pa.array(text[codes[first:last]], pa.string())
    values = pa.Array.from_pandas(column)
    return lambda first, last: values.slice(first, last - first)
