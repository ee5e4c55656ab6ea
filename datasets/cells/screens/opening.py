"""Samples of a user's own with labels, in whatever they come: files of cells, tables, AnnData."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy import sparse

from cdnbench.datasets.cells.screens.market import named_cells
from cdnbench.datasets.cells.screens.raw import (
    MTX,
    RawCells,
    checked,
    genes_only,
    names_of_genes,
    open_raw,
    types_of,
)
from cdnbench.datasets.cells.screens.stored import CHUNK, CHUNK_VALUES
from cdnbench.descriptions import listed
from cdnbench.digest import digest
from cdnbench.errors import InvalidData, InvalidParameter, UnknownName, did_you_mean
from cdnbench.knowledge import file_digest
from cdnbench.labelled_tables import (
    LabelledTable,
    kind_of_table,
    labelled,
    read_labelled,
    without_missing,
)
from cdnbench.prediction.options import Reading
from cdnbench.samples import checked_values, on_spreadsheets, read_samples
from cdnbench.tables import without_columns
from cdnbench.values import lost_in_float32

_OF_TABLES = ("transpose", "not_variables", "drop_missing")
_OTHERWISE = (
    "Where the table has variables in rows, add --transpose, and --cells FILE with the labels of "
    "each sample."
)


@dataclass(frozen=True, eq=False)
class Source:
    """Rows with labels, read a range at a time.

    has_symbols: whether the variables are genes. content: digest of the values that were given,
    or of their file. notes: how it was read. inputs: the files that are read, which no output may
    replace.
    """

    raw: RawCells
    has_symbols: bool
    content: str
    notes: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()


def open_source(source: Any, reading: Reading) -> Source:
    """Open a path, an AnnData or a data frame. Nothing that is given is changed.

    Raises
    ------
    InvalidData, InvalidTask: what cannot be read. UnknownName: a column that does not exist.
    InvalidParameter: an option that this kind of input does not have.
    """
    if _is(source, "anndata", "AnnData"):
        _refuse(reading, "an AnnData", ("cells", *_OF_TABLES))
        return _of_anndata(source, reading)
    if _is(source, "pandas", "DataFrame"):
        _refuse(reading, "a data frame", ("cells", "layer", "genes", "transpose"))
        named = Path("the data frame")
        read = labelled(source, named, *_columns(reading), drop_missing=reading.drop_missing)
        return _of_table(read, source)
    if not isinstance(source, str | os.PathLike):
        raise InvalidParameter(
            "A screen is the path of a file, an AnnData or a data frame; got "
            f"{type(source).__name__}."
        )
    path = Path(source)
    if not path.exists():
        raise InvalidData(f"{path} does not exist.")
    if path.is_file() and kind_of_table(path):
        _refuse(reading, f"the table {path}", ("layer", "genes"))
        if reading.cells or reading.transpose:
            return _of_table(_with_labels(path, reading), path)
        lacks = reading.drop_missing
        try:
            read = read_labelled(path, *_columns(reading), drop_missing=lacks)
        except UnknownName as error:
            raise UnknownName(f"{error} {_OTHERWISE}") from None
        return _of_table(read, path)
    if not (path.is_dir() or path.suffix in (".h5ad", ".h5") or path.name.endswith(MTX)):
        raise InvalidData(
            f"{path}: unknown kind of file; give an .h5ad, a 10x .h5, an .mtx or its folder, or a "
            f"table (.csv, .tsv, .txt, .parquet).{on_spreadsheets(path)}"
        )
    _refuse(reading, f"{path}", _OF_TABLES)
    raw = open_raw(path, genes=reading.genes, layer=reading.layer, cells=reading.cells)
    _check_side(raw, reading)
    files = [path, *([reading.cells] if reading.cells else [])]
    # A matrix in a folder of its own is read together with the names beside it.
    parts = [path.parent if path.name.endswith(MTX) else path, *files[1:]]
    left_out = (
        [f"{n:,} features of type {kind} are no genes and were left out."]
        for kind, n in raw.left_out.items()
    )
    content = digest(*(file_digest(part) for part in parts), reading.layer, reading.genes)
    return Source(raw, True, content, tuple(sum(left_out, [])), tuple(files))


def _check_side(raw: RawCells, reading: Reading) -> None:
    """Check that the labels are not those of genes.

    Raises
    ------
    InvalidData: they are in var alone.
    """
    if reading.perturbation not in raw.obs and reading.perturbation in raw.about_genes:
        raise InvalidData(
            f"{raw.path}: the column {reading.perturbation!r} is in var, not in obs, so genes seem "
            "to be in rows and cells in columns. Transpose it: in Python, adata.T."
        )


def _is(value: Any, module: str, name: str) -> bool:
    """Whether a value is of a class of a library, which is not imported for the question."""
    import sys

    library = sys.modules.get(module)
    return library is not None and isinstance(value, getattr(library, name))


def _refuse(reading: Reading, what: str, options: tuple[str, ...]) -> None:
    for name in options:
        if getattr(reading, name):
            meant = {"cells": "10x files and tables", "transpose": "tables in files"}
            meant |= dict.fromkeys(("layer", "genes"), "files of cells")
            raise InvalidParameter(
                f"--{name.replace('_', '-')} says nothing about {what}. Leave it out; it is for "
                f"{meant.get(name, 'tables')}."
            )


def _with_labels(path: Path, reading: Reading) -> LabelledTable:
    """A table whose rows, or columns if it is transposed, have names, with the labels of each from
    another file."""
    if reading.cells is None:
        raise InvalidParameter(
            "--transpose takes samples from columns, whose labels are in no column: --cells FILE "
            "names a .csv with one row per sample."
        )
    table = read_samples(path, transpose=reading.transpose, finite=False)
    if table.rows is None:
        raise InvalidParameter(
            f"--cells says what was done to each sample by its name, and the rows of {path} have "
            "no names. Put them into the first column, or the labels into a column of the table."
        )
    table = without_columns(table, listed(reading.not_variables), path)
    if reading.drop_missing:
        table = without_missing(table, path)
    table = replace(table, values=checked_values(table.values, table.columns, path))
    named = named_cells(path, np.array(table.rows, dtype=object), reading.cells)
    return LabelledTable(
        table, named.obs.reset_index(drop=True), named.written.reset_index(drop=True)
    )


def _columns(reading: Reading) -> tuple[list[str], list[str], set[str]]:
    """Columns of labels, of numbers that are no variables, and what a condition may name."""
    labels = [name for name in (reading.perturbation, reading.group) if name]
    words = re.findall(r"`([^`]+)`|([^\W\d]\w*)", re.sub(r"'[^']*'|\"[^\"]*\"", "", reading.where))
    mentioned = {quoted or plain for quoted, plain in words}
    numbers = [reading.total] if reading.total else []
    return labels, [*numbers, *listed(reading.not_variables)], mentioned


def _of_table(read: LabelledTable, source: Any) -> Source:
    """Float32 cannot hold small differences beside large values, so such columns are centred."""
    table, notes = read.table, list(read.table.notes)
    values = table.values
    lost = lost_in_float32(values)
    if lost.any():
        values = np.where(lost, values - values.mean(axis=0), values)
        notes.append(
            f"{int(lost.sum())} variables differ by less than float32 can hold beside their "
            "values, so their means were subtracted."
        )
    path = source if isinstance(source, Path) else Path("the data frame")
    raw = RawCells(
        path,
        list(table.columns),
        read.about,
        _rows(values),
        _at_once(values.shape),
        written=read.written,
        in_memory=True,
    )
    content = digest(table.values, list(table.columns))
    inputs = (source,) if isinstance(source, Path) else ()
    raw = checked(raw, "names of columns", "Give each column a name of its own.")
    return Source(raw, False, content, tuple(notes), inputs)


def _of_anndata(adata: Any, reading: Reading) -> Source:
    path = Path("the AnnData")
    layer, var = reading.layer, adata.var
    if layer == "raw":
        if adata.raw is None:
            raise InvalidData(f"{path} has no raw; leave layer='raw' out.")
        matrix, var = adata.raw.X, adata.raw.var
    elif layer:
        if layer not in adata.layers:
            raise did_you_mean(f"layer of {path}", layer, [*adata.layers, "raw"])
        matrix = adata.layers[layer]
    else:
        matrix = adata.X
    if matrix is None:
        layers = ", ".join(map(repr, adata.layers)) or "none"
        raise InvalidData(
            f"{path} has no X. Name one of its layers, layer=NAME ({layers}), or copy the values "
            "to use into X."
        )
    if reading.genes and reading.genes not in var:
        raise did_you_mean(f"column of var in {path}", reading.genes, map(str, var.columns))
    names = names_of_genes(path, var, reading.genes)
    matrix = matrix if sparse.issparse(matrix) or adata.isbacked else np.asarray(matrix)
    if np.dtype(matrix.dtype).kind not in "biuf":
        raise InvalidData(f"{path} holds {matrix.dtype} in place of numbers.")
    if sparse.issparse(matrix):
        matrix = cast(
            Any, matrix
        ).tocsr()  # itself where it is one already; rows are copied as they are read
        parts = [matrix.data, matrix.indices, matrix.indptr]
        content = digest(*parts, names)
    elif isinstance(matrix, np.ndarray):  # also of a view of a backed AnnData, which is read
        content = digest(matrix, names)
    else:
        content = digest(file_digest(Path(adata.filename)), layer, names)
    rows, at_once = _rows(matrix), _at_once(matrix.shape)
    raw = RawCells(path, names, adata.obs, rows, at_once, in_memory=not adata.isbacked)
    _check_side(replace(raw, about_genes=tuple(map(str, var.columns))), reading)
    inputs = (Path(adata.filename),) if adata.isbacked else ()
    return Source(checked(genes_only(raw, types_of(var))), True, content, (), inputs)


def _at_once(shape: tuple[int, int]) -> int:
    return max(1, min(CHUNK, CHUNK_VALUES // max(shape[1], 1)))


def _rows(matrix: Any) -> Callable[[int, int], sparse.csr_matrix]:
    def read(low: int, high: int) -> sparse.csr_matrix:
        part = matrix[low:high]
        if part.dtype.itemsize < 4:  # scipy does not compute with half precision
            part = part.astype(np.float32)
        rows = sparse.csr_matrix(part, copy=True)
        rows.sum_duplicates()
        return rows

    return read
