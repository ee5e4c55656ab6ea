"""Tables of a user's own: numbers with names, and columns that label rows told from variables."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.errors import InvalidTask, did_you_mean
from cdnbench.table_layout import COMMA, INDEX_NAMES, POINT, is_nameless, layout_of, some
from cdnbench.task import repeated_names

_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\d{1,2}-[A-Za-z]{3}(-\d+)?")
_COMPLEX = re.compile(r"\(?[+-]?[\d.]+(e[+-]?\d+)?([+-][\d.]+(e[+-]?\d+)?)?[ij]\)?", re.IGNORECASE)
_MISSING = {"", "na", "nan", "n/a", "null", "none", "<na>", "#n/a"}


@dataclass(frozen=True)
class Table:
    """The numbers of a file, the names of their columns, and how the file was read.

    Parameters
    ----------
    values: (rows, columns) float64, or the file's own type of number.
    columns: names of the columns, usually the variables.
    rows: labels of the rows, or None where the file has none.
    notes: sentences on what was read as something other than a variable.
    """

    values: np.ndarray
    columns: list[str]
    rows: list[str] | None = None
    notes: tuple[str, ...] = ()


def read_text_table(path: Path, *, first_column_is_labels: bool = False) -> Table:
    """The table of a .csv, .tsv or .txt file.

    first_column_is_labels: whether the first column holds names whatever it looks like.

    Raises
    ------
    InvalidTask: a layout or a cell that can be read in more than one way, or in none; the message
    names the file, the line or cell, and the way out.
    """
    frame, names = text_frame(path)
    return table_of_frame(frame, names, path, first_column_is_labels=first_column_is_labels)


def without_columns(table: Table, names: Collection[str], source: object) -> Table:
    """The table without some of its columns.

    Raises
    ------
    UnknownName: it has no such column. InvalidTask: no column is left.
    """
    for name in names:
        if name not in table.columns:
            raise did_you_mean(f"column of {source}", name, table.columns[:50])
    kept = [i for i, name in enumerate(table.columns) if name not in names]
    if not kept:
        raise InvalidTask(f"{source}: no variable is left without {some(list(names))}.")
    if len(kept) == len(table.columns):
        return table
    return replace(table, values=table.values[:, kept], columns=[table.columns[i] for i in kept])


def text_frame(path: Path, as_text: Collection[str] = ()) -> tuple[Any, list[str]]:
    """The data frame of a .csv, .tsv or .txt file, with numbers for columns, and their names.

    as_text: names of columns that are read as they are written. The first column always is.

    Raises
    ------
    InvalidTask: as `read_text_table`.
    """
    import pandas as pd

    layout = layout_of(path)
    names = [*([""] if layout.labels_without_name else []), *layout.header]
    written = {0, *(i for i, name in enumerate(names) if name in as_text)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)
        try:
            frame = pd.read_csv(
                path,
                sep=r"\s+" if layout.delimiter == " " else layout.delimiter,
                decimal=layout.decimal,
                encoding=layout.encoding,
                header=None,
                names=list(range(len(names) + 1)),  # the last catches fields without a name
                index_col=False,
                skiprows=layout.skipped_lines,
                skipinitialspace=True,
                low_memory=False,
                float_precision="round_trip",
                converters=dict.fromkeys(written, str.strip),
            )
        except pd.errors.EmptyDataError:
            raise InvalidTask(
                f"{path} holds no samples: there is nothing below its header."
            ) from None
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            raise InvalidTask(
                f"{path}: a line has more fields than the header has names ({len(names)}): {error} "
                "Name every column, or remove the fields without a name."
            ) from None
    extra = frame.pop(len(names))
    if extra.notna().any():
        row = int(np.flatnonzero(extra.notna())[0])
        raise InvalidTask(
            f"{path}: row {row + 1} has {len(names) + 1} fields ({extra.iloc[row]!r} is the last), "
            f"but the header names {len(names)} columns. Name every column, or remove the fields "
            "without a name."
        )
    return frame, names


def table_of_frame(
    frame: Any, names: Sequence[str], path: Path, *, first_column_is_labels: bool = False
) -> Table:
    """The table of a data frame whose columns are called `names`. The first column is taken for row
    labels where its name and content say so, and a note tells it. Columns that are called
    `Unnamed: 0` and alike are left out, with a note, unless the columns are samples.

    Raises
    ------
    InvalidTask: as `read_text_table`.
    """
    import pandas as pd

    if not len(frame) or not len(names):
        raise InvalidTask(f"{path} holds no samples.")
    frame = frame.set_axis(range(len(names)), axis=1)
    names, notes, rows = list(names), [], None
    empty = [i for i, name in enumerate(names) if i and not name.strip()]
    for i in empty:
        if frame[i].notna().any():
            raise InvalidTask(f"{path}: column {i + 1} has no name. Name it, or remove it.")
        notes.append(f"{path}: column {i + 1} has no name and no values, and was left out.")
    nameless = [i for i, name in enumerate(names) if name.strip() and is_nameless(name)]
    if first_column_is_labels:
        nameless = []
    first = [str(cell) for cell in frame[0]]
    reason = "names the rows" if first_column_is_labels else _why_labels(names[0], first, path)
    if reason:
        rows = first
        if not first_column_is_labels:
            what = f"the first column ({names[0]!r})" if names[0] else "the first column"
            notes.append(f"{path}: {what} {reason}; it is read as row labels, not as a variable.")
    if nameless := [i for i in nameless if not (i == 0 and reason)]:
        notes.append(
            f"{path}: {some([names[i] for i in nameless])}: pandas gives such names to columns "
            "without one, mostly row numbers, and they were left out. Name those that are "
            "variables."
        )
    left_out = {*empty, *nameless, *([0] if reason else [])}
    kept = [i for i in range(len(names)) if i not in left_out]
    if not kept:
        raise InvalidTask(" ".join([f"{path} holds no variables besides its row labels.", *notes]))
    columns = {}
    for i in kept:
        column = frame[i]
        if i == 0 and column.dtype == object:  # read as text, to tell labels from numbers
            cells = [cell.replace(",", ".") for cell in column.astype(str)]
            whole = [int(c) for c in cells if re.fullmatch(r"[+-]?\d{16,19}", c)]
            check_whole(np.array(whole, dtype=object).reshape(-1, 1), [names[i]], path)
            column = pd.Series([np.nan if c.lower() in _MISSING else float(c) for c in cells])
        columns[i] = _numbers(column, names[i], path)
    return Table(
        np.column_stack(list(columns.values())), [names[i] for i in kept], rows, tuple(notes)
    )


def _why_labels(name: str, cells: Sequence[str], path: Path) -> str:
    """Why the first column holds row labels and not a variable, or "" if it is a variable.

    Raises
    ------
    InvalidTask: it holds numbers and text, or text that repeats.
    """
    present = [cell for cell in cells if cell.lower() not in _MISSING]
    number = [bool(POINT.fullmatch(c) or COMMA.fullmatch(c)) or _is_infinite(c) for c in present]
    if not name.strip():
        if number and all(number) and not _whole_and_distinct(present):
            raise InvalidTask(
                f"{path}: the first column has no name, but holds numbers such as {present[0]!r} "
                "that do not look like row labels. Name it if it is a variable, or remove it."
            )
        return "has no name"
    if is_nameless(name):  # what is not labels is left out, whatever it holds
        labels = len(present) == len(cells) and len(set(cells)) == len(cells)
        whole = not any(number) or _whole_and_distinct(cells)
        return "has the name that pandas gives to an index" if labels and whole else ""
    if present and all(
        _COMPLEX.fullmatch(cell) and not n for cell, n in zip(present, number, strict=True)
    ):
        raise InvalidTask(f"{path}: column {name!r} holds complex numbers. {_COMPLEX_CURE}")
    if present and not any(number):
        if len(set(present)) < len(present):
            cell = repeated_names(present)[0]
            raise InvalidTask(
                f"{path}: the first column, {name!r}, holds text that repeats ({cell!r}), so it is "
                f"neither a variable nor row labels{_kind_of_text(cell)}. Remove it, or leave its "
                "name empty if it labels the rows."
            )
        return "holds text"
    if not all(number):
        row, cell = next(
            (i, c)
            for i, c in enumerate(cells)
            if c.lower() not in _MISSING and not (POINT.fullmatch(c) or COMMA.fullmatch(c))
        )
        raise InvalidTask(
            f"{path}: column {name!r} holds text and numbers: {cell!r} in row {row + 1}"
            f"{_kind_of_text(cell)}. Drop the row or impute the value; if the column labels the "
            "rows, leave its name empty."
        )
    if len(present) == len(cells) and _whole_and_distinct(cells):
        if name.strip().lower() in INDEX_NAMES:
            return "is called as row labels are and holds distinct whole numbers"
        counted = np.diff([float(c) for c in cells])
        if len(cells) > 2 and (counted == 1).all():
            return "counts the rows"
    return ""


def _whole_and_distinct(cells: Sequence[str]) -> bool:
    whole = all(re.fullmatch(r"\d+(\.0)?", cell) for cell in cells)
    return whole and len(set(cells)) == len(cells)


def _is_infinite(cell: str) -> bool:
    return cell.lower().lstrip("+-") in ("inf", "infinity")


def is_number(cell: str) -> bool:
    """Whether a cell of a table is written as a number."""
    return bool(POINT.fullmatch(cell) or COMMA.fullmatch(cell)) or _is_infinite(cell)


def is_missing(cell: str) -> bool:
    """Whether a cell of a table is written as a missing value."""
    return cell.strip().lower() in _MISSING


def _numbers(column: Any, name: str, path: Path) -> np.ndarray:
    """A column as float64.

    Raises
    ------
    InvalidTask: it holds text, dates or complex numbers; the message names the first such cell.
    """
    import pandas as pd

    kind = getattr(column.dtype, "kind", "O")
    if kind == "c":
        raise InvalidTask(f"{path}: column {name!r} holds complex numbers. {_COMPLEX_CURE}")
    if kind in "mM":
        raise InvalidTask(f"{path}: column {name!r} holds dates or times. {_DATE_CURE}")
    if kind in "iu" and column.notna().all():
        check_whole(column.to_numpy(dtype=column.dtype.name.lower())[:, None], [name], path)
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    text = column.astype(str)
    numbers = pd.to_numeric(text, errors="coerce")
    wrong = numbers.isna() & column.notna()
    if not wrong.any():  # numbers that were stored as text or as objects
        return numbers.to_numpy(dtype=np.float64)
    row = int(np.flatnonzero(wrong)[0])
    raise InvalidTask(
        f"{path}: columns must be numbers, but {name!r} holds text: {text.iloc[row]!r} in row "
        f"{row + 1}{_kind_of_text(text.iloc[row])} ({int(wrong.sum())} of {len(text)} cells). Drop "
        "the column, or drop those rows."
    )


def check_whole(values: np.ndarray, columns: Sequence[str], path: Path) -> None:
    """Check that float64 can tell whole numbers (rows, columns) from their neighbours.

    Raises
    ------
    InvalidTask: it cannot; the message names the first such value.
    """
    exact = 2**53
    if values.dtype.kind not in "iuO" or not values.size:
        return
    for row, column in np.argwhere((values > exact) | (values < -exact)):
        value = int(values[row, column])
        if int(float(value)) != value:
            raise InvalidTask(
                f"{path}: {columns[column]!r} holds {value} in row {row + 1}, which float64 cannot "
                "tell from its neighbours. Subtract a constant from this variable, in both files "
                "alike."
            )


_COMPLEX_CURE = "Give real numbers, such as their absolute values."
_DATE_CURE = "Drop the column; if it labels the rows, put it first and leave its name empty."


def _kind_of_text(cell: str) -> str:
    """A hint on what a cell that is no number may be."""
    cell = cell.strip()
    if _COMPLEX.fullmatch(cell):
        return ", a complex number"
    if _DATE.fullmatch(cell):
        return ", a date"
    if COMMA.fullmatch(cell):
        return ", a decimal comma among decimal points"
    return ""
