"""Folders with matrix.mtx, features.tsv (or genes.tsv) and barcodes.tsv, plain or .gz, and the
table that says what was done to each barcode."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cdnbench.errors import InvalidData

if TYPE_CHECKING:
    import pandas as pd
    from scipy import sparse

_LEAST_ENTRY = 4
"""Bytes of the shortest entry of a .mtx, such as "1 1\\n"."""


_TEXT = bytes([9, 10, 13, *range(32, 127), *range(128, 256)])


@dataclass(frozen=True, eq=False)
class Market:
    """rows: (cells, features) values, repeated entries summed. names, types: of the features; types
    is empty where the folder does not tell them. barcodes: of the cells. beside: the files of names
    that were read."""

    rows: sparse.csr_matrix
    names: list[str]
    types: list[str]
    barcodes: np.ndarray
    beside: tuple[Path, ...] = ()


def read_market(path: Path, *, by_id: bool, file: Path | None = None) -> Market:
    """The whole folder. by_id: whether features are called by their identifiers.

    file: the matrix, where it has another name: what stands before "matrix.mtx" begins the names of
        the others too.

    Raises
    ------
    InvalidData: a file that is missing, damaged or contradicts another.
    """
    from scipy import sparse
    from scipy.io import mmread

    stem = file.name.removesuffix(".gz").removesuffix(".mtx") if file else "matrix"
    prefix = stem.removesuffix("matrix") if stem.endswith("matrix") else ""
    listing = _find(path, f"{prefix}features.tsv", f"{prefix}genes.tsv")
    features = _fields(listing)
    cells = _find(path, f"{prefix}barcodes.tsv")
    listed = _fields(cells)
    barcodes = np.array([row[0] for row in listed], dtype=object)
    widths = {len(row) for row in features}
    if len(widths) > 1:
        raise InvalidData(
            f"{listing}: some rows have {_joined(widths)} fields, but all rows need equally many. "
            "Fetch the file again."
        )
    file = file or _find(path, "matrix.mtx")
    _check_market(file, listing, len(features), len(barcodes))
    _check_text(file)
    with _readable(file):
        rows = sparse.csr_matrix(mmread(file).T)
    width = min(widths, default=1)
    return Market(
        rows=rows,
        names=[row[0 if by_id else min(1, width - 1)] for row in features],
        types=[row[2] for row in features] if width > 2 else [],
        barcodes=barcodes,
        beside=(listing, cells),
    )


def _find(path: Path, *names: str) -> Path:
    for name in names:
        for found in (path / name, path / f"{name}.gz"):
            if found.exists():
                return found
    raise InvalidData(
        f"{path} has no {' or '.join(names)}, with or without .gz. Such a folder holds matrix.mtx, "
        "features.tsv (or genes.tsv) and barcodes.tsv."
    )


def _joined(numbers: set[int]) -> str:
    return " and ".join(map(str, sorted(numbers)[:3]))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Whatever a reader raises on a damaged file, as `InvalidData` that names the file."""
    try:
        yield
    except (InvalidData, MemoryError):
        raise
    except Exception as error:
        raise InvalidData(
            f"{path} cannot be read; it is damaged or of another kind. Fetch it again. ({error})"
        ) from error


def _fields(path: Path) -> list[list[str]]:
    """The fields of a table with tabs and without a header; quotes around a field are dropped."""
    with _readable(path):
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    lines = re.split(r"\r\n|\n|\r", text)
    return [
        [field.strip().strip('"') for field in line.split("\t")] for line in lines if line.strip()
    ]


def _check_market(file: Path, listing: Path, n_features: int, n_barcodes: int) -> None:
    """What the head of a .mtx says agrees with the other files and with the size of this one.

    listing: the file of the features.

    Raises
    ------
    InvalidData: it does not, or the values are no real numbers.
    """
    from scipy.io import mminfo

    with _readable(file):
        n_rows, n_columns, n_entries, form, kind, _ = mminfo(file)
    if (n_columns, n_rows) != (n_barcodes, n_features):
        turned = (n_columns, n_rows) == (n_features, n_barcodes)
        cure = (
            "It has cells in rows; write it transposed."
            if turned
            else "Take all three files from one run."
        )
        raise InvalidData(
            f"{file} has {n_rows:,} rows and {n_columns:,} columns, but {listing.name} lists "
            f"{n_features:,} features and barcodes.tsv {n_barcodes:,} barcodes. {cure}"
        )
    if kind in ("complex", "pattern"):
        what = "complex numbers" if kind == "complex" else "places without values (pattern)"
        raise InvalidData(f"{file} holds {what}. Write the counts as integer or real.")
    size = file.stat().st_size * (1032 if file.suffix == ".gz" else 1)  # what deflate can reach
    if form == "coordinate" and n_entries * _LEAST_ENTRY > size:
        raise InvalidData(
            f"{file} says that it has {n_entries:,} entries, which do not fit into it. Fetch it "
            "again."
        )


def _check_text(file: Path) -> None:
    """
    Raises
    ------
    InvalidData: there are control characters in the file, such as the zeros that a broken copy is
    filled with. The native reader behind `mmread` may end the process on them.
    """
    opener = gzip.open if file.suffix == ".gz" else open
    with _readable(file), opener(file, "rb") as content:
        while block := content.read(2**20):
            if block.translate(None, _TEXT):
                raise InvalidData(f"{file} holds bytes that are no text. Fetch it again.")


@dataclass(frozen=True, eq=False)
class NamedCells:
    """What a table says of M cells. obs: (M, columns), with numbers where a column holds nothing
    else. written: the same as text, as labels are read: None where nothing is written."""

    obs: pd.DataFrame
    written: pd.DataFrame


def named_cells(path: Path, barcodes: np.ndarray, cells: Path | None) -> NamedCells:
    """What a table with one row per barcode says of each barcode of a file.

    Cells that are not listed have no perturbation, and are counted as such.

    Raises
    ------
    InvalidData: no table is named, or it cannot be read, or it is of other cells, or a barcode
    repeats.
    """
    import pandas as pd

    if cells is None:
        raise InvalidData(
            f"{path} says nothing about its cells. Give a .csv with one row per barcode, which "
            "names the perturbation of each: --cells FILE."
        )
    if not cells.exists():
        raise InvalidData(f"{cells} does not exist.")
    with _readable(cells):
        _check_widths(cells)
        known = pd.read_csv(cells)
        text = pd.read_csv(cells, dtype=str, keep_default_na=False)
        first = text.columns[0]  # names, which are text even where they look like numbers: 01
        text = text.set_index(text[first].str.strip()).drop(columns=first)
        known = known.drop(columns=first).set_index(text.index)
        if known.columns.has_duplicates:
            raise InvalidData(f"{cells}: two columns have the same name. Rename one.")
        for column in known.columns.difference(known.select_dtypes("number").columns):
            # A label that is spelt None is text; pandas takes it for a missing value.
            known[column] = known[column].mask((text[column] == "None").to_numpy(), "None")
    if known.index.has_duplicates:
        raise InvalidData(
            f"{cells}: the barcode {known.index[known.index.duplicated()][0]!r} repeats in the "
            "first column."
        )
    if known.empty:
        raise InvalidData(f"{cells} has a header and no rows; expected one row per barcode.")
    if len(barcodes) and not np.isin(barcodes, known.index).any():
        raise InvalidData(
            f"{cells}: its first column has none of the barcodes of {path}. They look like "
            f"{str(barcodes[0])!r} there, and like {str(known.index[0])!r} in the table. Write "
            "them alike."
        )
    names, counts = np.unique(barcodes.astype(str), return_counts=True)
    if (counts > 1).any():
        raise InvalidData(
            f"{path}: the name {str(names[counts > 1][0])!r} repeats ({int((counts > 1).sum())} "
            f"names do), so {cells} cannot say which row it means. Make the names unique in both, "
            "for example by a suffix for each sample."
        )
    written = text.apply(lambda column: column.str.strip())
    written = written.astype(object).where(written != "", None)
    return NamedCells(known.reindex(barcodes), written.reindex(barcodes))


def _check_widths(cells: Path) -> None:
    """Rows of more or fewer fields than the header would be shifted or filled.

    Raises
    ------
    InvalidData: there are such rows, or only one column.
    """
    opener = gzip.open if cells.suffix == ".gz" else open
    with opener(cells, "rt", encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if len(header) < 2:
            raise InvalidData(
                f"{cells} has one column; expected a barcode and what was done to it, separated by "
                "commas."
            )
        for row in reader:
            if row and len(row) != len(header):
                raise InvalidData(
                    f"{cells}: line {reader.line_num} has {len(row)} fields, but the header has "
                    f"{len(header)}."
                )
