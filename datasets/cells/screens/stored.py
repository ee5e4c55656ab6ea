"""Reading ranges of cells from a matrix in an HDF5 file, which is checked before it is used.

Compiled code trusts the pointers and indices of a sparse matrix: a wrong one ends the process, or
puts a value into another cell. Pointers are checked when a file is opened, indices as they are
read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from cdnbench.errors import InvalidData

CHUNK = 20_000
"""Cells that are read at once, or fewer where they hold more than `CHUNK_VALUES` values."""
CHUNK_VALUES = 2**24
"""Values that are read at once, zeros included if the file stores them."""
CONVERTIBLE = 200_000_000
"""Values that may be turned from columns to rows in memory (1.6 GB)."""

Reader = Callable[[int, int], sparse.csr_matrix]


def reader(path: Path, x: Any, place: str, shape: tuple[int, int]) -> tuple[Reader, int]:
    """How cells are read from a matrix of an .h5ad, and how many at once (`RawCells`).

    x: the dataset or group of h5py that holds the matrix. place: its name. shape: cells and genes.

    Raises
    ------
    InvalidData: another shape, a layout that cannot be read by cells, or pointers that cannot be.
    """
    import h5py

    kind = x.attrs.get("encoding-type", x.attrs.get("h5sparse_format", "array"))
    stored = x.attrs.get("shape", x.attrs.get("h5sparse_shape", getattr(x, "shape", ())))
    stored = tuple(int(k) for k in np.atleast_1d(stored))
    if stored != shape:
        raise InvalidData(
            f"{path}: {place} has shape {stored}, but there are {shape[0]} cells and {shape[1]} "
            "genes."
        )
    if kind in ("csr_matrix", "csr"):
        return by_pointers(path, x, place, shape)
    if kind in ("csc_matrix", "csc"):
        start = pointers(path, x, place, shape[1])
        if len(x["data"]) > CONVERTIBLE:
            raise InvalidData(
                f"{path}: {place} is stored gene by gene (csc_matrix), which cannot be read cell "
                "by cell. Store it as csr_matrix: "
                "adata.X = adata.X.tocsr(); adata.write_h5ad(...)."
            )
        rows = _summed(_columns_of(path, x, place, start, 0, shape[1], shape[0]).T.tocsr())
        return lambda low, high: rows[low:high], CHUNK
    if kind != "array" or not isinstance(x, h5py.Dataset):
        raise InvalidData(
            f"{path}: {place} is stored as {kind!r}; store it as csr_matrix or as an array."
        )
    _check_numbers(path, x, place)
    block = x.chunks[0] if x.chunks else 1  # rows that are stored together are read together
    at_once = max(1, CHUNK_VALUES // max(shape[1], 1) // block) * block
    return lambda low, high: _nonzero(_computable(x[low:high])), min(at_once, CHUNK)


def by_pointers(path: Path, x: Any, place: str, shape: tuple[int, int]) -> tuple[Reader, int]:
    """The same for a group with data, indices and indptr of cells x genes, cell by cell."""
    start = pointers(path, x, place, shape[0])
    at_once = max(1, min(CHUNK, CHUNK_VALUES * shape[0] // max(int(start[-1]), 1)))
    return lambda low, high: _summed(
        _columns_of(path, x, place, start, low, high, shape[1])
    ), at_once


def pointers(path: Path, x: Any, place: str, n: int) -> np.ndarray:
    """(n + 1,) int64: where the values of each of n rows begin, checked against the file.

    Raises
    ------
    InvalidData: arrays that are missing, of another kind or length, or pointers out of order.
    """
    import h5py

    def refuse(what: str) -> InvalidData:
        return InvalidData(f"{path}: {place} is no sparse matrix that can be read: {what}.")

    for name in ("data", "indices", "indptr"):
        part: Any = x.get(name) if isinstance(x, h5py.Group) else None
        if not isinstance(part, h5py.Dataset) or part.ndim != 1:
            raise refuse(f"it has no list {name}")
        if name != "data" and part.dtype.kind not in "iu":
            raise refuse(f"{name} holds {part.dtype} in place of whole numbers")
    _check_numbers(path, x["data"], place)
    n_values = len(x["data"])
    if len(x["indices"]) != n_values:
        raise refuse(f"it has {n_values} values and {len(x['indices'])} indices")
    if len(x["indptr"]) != n + 1:
        raise refuse(f"indptr has {len(x['indptr'])} entries, not {n + 1}")
    start = x["indptr"][:].astype(np.int64)
    if start[0] != 0 or (np.diff(start) < 0).any():
        raise refuse("indptr does not start at 0, or it decreases")
    if start[-1] != n_values:
        raise refuse(f"indptr ends at {start[-1]}, but there are {n_values} values")
    return start


def _columns_of(
    path: Path, x: Any, place: str, start: np.ndarray, low: int, high: int, n_columns: int
) -> sparse.csr_matrix:
    """Rows low .. high - 1 of a group, repeated entries included.

    Raises
    ------
    InvalidData: an index of a column that does not exist.
    """
    first, last = int(start[low]), int(start[high])
    data, indices = x["data"][first:last], x["indices"][first:last]
    wrong = (indices < 0) | (indices >= n_columns)
    if wrong.any():
        at = int(np.argmax(wrong))
        row = int(np.searchsorted(start, first + at, side="right")) - 1
        raise InvalidData(
            f"{path}: {place} is damaged: entry {row} of indptr has a value at place "
            f"{indices[at]}, of {n_columns}. Fetch or write the file again."
        )
    return sparse.csr_matrix(
        (_computable(data), indices, start[low : high + 1] - first), shape=(high - low, n_columns)
    )


def _summed(rows: sparse.csr_matrix) -> sparse.csr_matrix:
    """The same matrix with repeated entries summed; the order of entries stays where none is."""
    indices, pointer = rows.indices, rows.indptr
    follows = np.ones(max(len(indices) - 1, 0), dtype=bool)  # an entry and the next share a row
    ends = pointer[1:-1][(pointer[1:-1] > 0) & (pointer[1:-1] < len(indices))]
    follows[ends - 1] = False
    if not (follows & (np.diff(indices) <= 0)).any():
        return rows
    summed = rows.astype(np.float64)  # a copy; small whole numbers could overflow
    summed.sum_duplicates()
    return summed if summed.nnz < rows.nnz else rows


def _nonzero(dense: np.ndarray) -> sparse.csr_matrix:
    """The same as scipy's conversion of an array, in a third of the time."""
    present = dense != 0
    columns = np.broadcast_to(np.arange(dense.shape[1], dtype=np.int32), dense.shape)[present]
    start = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    return sparse.csr_matrix((dense[present], columns, start), shape=dense.shape)


def _check_numbers(path: Path, x: Any, place: str) -> None:
    if x.dtype.kind not in "biuf":
        raise InvalidData(f"{path}: {place} holds {x.dtype} in place of numbers.")


def _computable(values: np.ndarray) -> np.ndarray:
    """Half-precision values, with which scipy does not compute, in single precision."""
    return (
        values.astype(np.float32)
        if values.dtype.itemsize < 4 and values.dtype.kind == "f"
        else values
    )
