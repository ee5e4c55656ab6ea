"""Samples from a user's own files: .csv, .tsv, .txt, .parquet, .npz, .h5ad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.arrays import read_arrays
from cdnbench.errors import InvalidData, InvalidTask
from cdnbench.hdf5 import check_numbers, opened, pointers, rows_of, stored_shape
from cdnbench.table_layout import some
from cdnbench.tables import Table, check_whole, read_text_table, table_of_frame
from cdnbench.task import repeated_names

GENES = "Gene Expression"
"""The type of feature that is a gene, in files of 10x. Guides and antibodies are other types."""
COMPRESSIONS = (".gz", ".bz2", ".xz")
SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers")
_NAME_KEYS = ("variables", "var_names", "names", "columns", "genes", "gene_names", "features")
"""Arrays of an .npz file that name its columns, wherever their length fits."""


def on_spreadsheets(path: Path) -> str:
    """What to do with a file of a spreadsheet program; empty for other files."""
    if path.suffix.lower() not in SPREADSHEETS:
        return ""
    return " Save the sheet of the spreadsheet as .csv."


def number_of(n: int) -> str:
    """`1 value is`, `2 values are`."""
    return f"{n:,} value is" if n == 1 else f"{n:,} values are"


def read_samples(path: Path, *, transpose: bool = False, finite: bool = True) -> Table:
    """The samples of a file: finite numbers (rows, variables), with names and row labels.

    Values are float64, or float32 where the file holds float32.

    transpose: whether the file has variables in rows and samples in columns. finite: whether values
    that are missing or not finite are refused; the caller does it otherwise.

    Raises
    ------
    InvalidTask: a file that cannot be read, or can be read in more than one way, or values that are
    not finite numbers; the message names the file, the column and the row.
    """
    if not path.exists():
        raise InvalidTask(f"{path} does not exist.")
    if not path.is_file():
        raise InvalidTask(f"{path} is not a file.")
    name = path.name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    suffix = name.rpartition(".")[2]
    if suffix not in READERS:
        raise InvalidTask(
            f"{path}: unknown kind of file; write .csv, .tsv, .txt, .parquet, .npz or .h5ad."
            f"{on_spreadsheets(path)}"
        )
    try:
        table = READERS[suffix](path, transpose)
    except (InvalidTask, MemoryError):
        raise
    except InvalidData as error:
        raise InvalidTask(str(error)) from error
    except Exception as error:
        raise InvalidTask(f"{path} cannot be read as .{suffix}: {error}") from error
    if transpose:
        table = _transposed(table, path)
    if names := repeated_names(table.columns):
        raise InvalidTask(f"{path}: variable names must be unique, but {some(names)} repeat.")
    if not finite:
        return table
    return replace(table, values=checked_values(table.values, table.columns, path))


def _transposed(table: Table, path: Path) -> Table:
    if table.rows is None:
        raise InvalidTask(
            f"{path}: --transpose takes the variables from the rows, but the rows have no names. "
            "Put the names into the first column."
        )
    return replace(table, values=table.values.T, columns=table.rows, rows=table.columns)


def checked_values(values: np.ndarray, columns: list[str], path: Path) -> np.ndarray:
    """Finite numbers (rows, columns) as float64, or as float32 where they are.

    Raises
    ------
    InvalidTask: see `read_samples`.
    """
    if values.ndim != 2 or values.shape[1] != len(columns) or not values.size:
        raise InvalidTask(
            f"{path} holds an array of shape {values.shape} and {len(columns)} variable names."
        )
    if values.dtype.kind == "c":
        raise InvalidTask(f"{path} holds complex numbers. Give real numbers, such as their sizes.")
    if values.dtype.kind in "mM":
        raise InvalidTask(f"{path} holds dates or times, not numbers.")
    if values.dtype.kind not in "biuf":
        raise InvalidTask(f"{path} holds {values.dtype} values, not numbers.")
    check_whole(values, columns, path)
    if values.dtype != np.float32:  # what is float32 already has no more to lose
        values = values.astype(np.float64, copy=False)
    finite = np.isfinite(values) & (np.abs(values) <= np.finfo(np.float32).max)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise InvalidTask(
            f"{path}: {number_of(int((~finite).sum()))} missing, not finite or too large for "
            f"float32, the first in row {row + 1}, column {columns[column]!r} "
            f"({values[row, column]}). Drop those rows or columns, or impute them."
        )
    return values


def _read_text(path: Path, transpose: bool) -> Table:
    return read_text_table(path, first_column_is_labels=transpose)


def _read_parquet(path: Path, transpose: bool) -> Table:
    import pandas as pd

    frame = pd.read_parquet(path)
    labels = None if isinstance(frame.index, pd.RangeIndex) else [str(i) for i in frame.index]
    notes = ()
    if labels is not None:  # pandas stored an index, which is no column
        if frame.index.nlevels > 1:
            raise InvalidTask(f"{path} has an index of several columns. Store it without.")
        if frame.index.name:
            notes = (
                f"{path}: the stored index, {str(frame.index.name)!r}, is read as row labels, not "
                "as a variable.",
            )
        frame = frame.reset_index(allow_duplicates=True)
    names = ["", *map(str, frame.columns[1:])] if labels is not None else map(str, frame.columns)
    table = table_of_frame(
        frame, list(names), path, first_column_is_labels=transpose or labels is not None
    )
    return replace(table, notes=(*notes, *table.notes))


def _read_npz(path: Path, transpose: bool) -> Table:
    arrays = read_arrays(path)
    tables = [key for key, array in arrays.items() if array.ndim == 2]
    if len(tables) != 1:
        raise InvalidTask(
            f"{path} must hold exactly one two-dimensional array (rows, variables); it holds "
            f"{tables or 'none'}."
        )
    values = arrays.pop(tables[0])
    if transpose:
        values = values.T
    key = _key_of_names(arrays, values.shape, path)
    if key is None:
        names = [f"v{i}" for i in range(values.shape[1])]
        notes = (f"{path} holds no names; its columns are called v0, v1 and so on.",)
    else:
        names, notes = [str(name) for name in arrays[key]], ()
        if key != "variables":
            notes = (f"{path}: the array {key!r} names the columns.",)
        arrays.pop(key)
    if arrays:
        notes += (f"{path}: left out, as no part of the table: {some(list(arrays))}.",)
    if transpose:  # the names belong to the rows of the file
        return Table(values.T, [str(i) for i in range(len(values))], names, notes)
    return Table(values, names, None, notes)


def _key_of_names(arrays: dict[str, np.ndarray], shape: tuple[int, ...], path: Path) -> str | None:
    """The array that names the columns of a table of this shape, or None where no array can.

    Raises
    ------
    InvalidTask: several arrays could, or one that should does not have one name per column.
    """
    rows, columns = shape
    lists = {key: array for key, array in arrays.items() if array.ndim == 1}
    if "variables" in lists:
        if len(lists["variables"]) != columns:
            raise InvalidTask(
                f"{path}: 'variables' holds {len(lists['variables'])} names for {columns} columns. "
                "If the variables are in rows, use --transpose."
            )
        return "variables"
    text = {key: array for key, array in lists.items() if array.dtype.kind in "UST"}
    fitting = [key for key, array in text.items() if len(array) == columns]
    known = [key for key in lists if key.lower() in _NAME_KEYS and len(lists[key]) == columns]
    for choice in (known, fitting):
        if len(choice) == 1 and (rows != columns or choice is known):
            return choice[0]
        if choice:
            raise InvalidTask(
                f"{path}: cannot tell which array names the columns: {some(choice)}. Call the "
                "right one 'variables'."
            )
    others = [key for key, array in text.items() if len(array) != rows]
    misfits = [key for key in lists if key.lower() in _NAME_KEYS]
    if others or misfits:
        key = [*misfits, *others][0]
        raise InvalidTask(
            f"{path}: {key!r} holds {len(lists[key])} names for {columns} columns. Give one name "
            "per column, as 'variables', or use --transpose if the variables are in rows."
        )
    return None


def _read_h5ad(path: Path, transpose: bool) -> Table:
    with opened(path) as file:
        if "X" not in file:
            raise InvalidTask(f"{path} has no X.")
        x: Any = file["X"]
        kind, shape = stored_shape(x)
        columns, rows = _names_of(path, file, "var"), _names_of(path, file, "obs")
        if shape != (len(rows), len(columns)):
            raise InvalidTask(
                f"{path}: X has the shape {shape}, but there are {len(rows)} names in obs and "
                f"{len(columns)} in var."
            )
        if kind == "csr_matrix":
            start = pointers(path, x, "X", shape[0])
            values = rows_of(path, x, "X", start, 0, shape[0], shape[1]).toarray()
        elif kind == "csc_matrix":
            start = pointers(path, x, "X", shape[1])
            values = rows_of(path, x, "X", start, 0, shape[1], shape[0]).toarray().T
        elif kind == "array" and hasattr(x, "dtype"):
            check_numbers(path, x, "X")
            values = x[()]
        else:
            raise InvalidTask(f"{path}: X is stored as {kind!r}; store it as an array.")
        types = _types_of_features(file)
    return _genes_of(Table(values, columns, rows), types, path)


def _types_of_features(file: Any) -> list[str]:
    """The types of features of an .h5ad, if they are those of 10x."""
    from anndata.io import read_elem

    var: Any = file["var"]
    if hasattr(var, "dtype") or "feature_types" not in var:
        return []
    types = [str(name) for name in np.asarray(read_elem(var["feature_types"]), dtype=object)]
    return types if GENES in types else []


def _genes_of(table: Table, types: list[str], path: Path) -> Table:
    """The table without features that are no genes, and notes that count them. types: of each
    feature, or none."""
    if not types:
        return table
    keep = np.flatnonzero(np.array(types, dtype=object) == GENES)
    others = sorted(Counter(name for name in types if name != GENES).items())
    notes = tuple(
        f"{path}: {n:,} features of type {name} are no genes and were left out."
        for name, n in others
    )
    columns = [table.columns[i] for i in keep]
    return replace(table, values=table.values[:, keep], columns=columns, notes=notes)


def _names_of(path: Path, file: Any, part: str) -> list[str]:
    """The names of the rows (obs) or columns (var) of an .h5ad."""
    from anndata.io import read_elem

    table: Any = file.get(part)
    if table is None:
        raise InvalidTask(f"{path} has no {part}, which names what it holds.")
    if hasattr(table, "dtype"):  # as anndata wrote it before 0.7
        names = table[()][(table.dtype.names or ("index",))[0]]
        return [v.decode() if isinstance(v, bytes) else str(v) for v in names]
    key = table.attrs.get("_index", "_index")
    if not isinstance(key, str) or key not in table:
        raise InvalidTask(f"{path}: {part} has no index, which names what it holds.")
    names = np.asarray(read_elem(table[key]), dtype=object)
    if names.ndim != 1:
        raise InvalidTask(f"{path}: the index of {part} is no list of names.")
    return [str(name) for name in names]


READERS: dict[str, Callable[[Path, bool], Table]] = {
    "csv": _read_text,
    "tsv": _read_text,
    "txt": _read_text,
    "parquet": _read_parquet,
    "npz": _read_npz,
    "h5ad": _read_h5ad,
}
