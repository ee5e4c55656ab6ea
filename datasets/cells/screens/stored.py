"""Reading ranges of cells from a matrix in an HDF5 file, which is checked before it is used:
pointers when the file is opened, indices as they are read (`cdnbench.hdf5`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from cdnbench.errors import InvalidData
from cdnbench.hdf5 import check_numbers, computable, pointers, rows_of, stored_shape, summed

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

    kind, stored = stored_shape(x)
    if stored != shape:
        raise InvalidData(
            f"{path}: {place} has shape {stored}, but there are {shape[0]} cells and {shape[1]} "
            "genes."
        )
    if kind == "csr_matrix":
        return by_pointers(path, x, place, shape)
    if kind == "csc_matrix":
        start = pointers(path, x, place, shape[1])
        if len(x["data"]) > CONVERTIBLE:
            raise InvalidData(
                f"{path}: {place} is stored gene by gene (csc_matrix), which cannot be read cell "
                "by cell. Store it as csr_matrix: "
                "adata.X = adata.X.tocsr(); adata.write_h5ad(...)."
            )
        rows = summed(rows_of(path, x, place, start, 0, shape[1], shape[0]).T.tocsr())
        return lambda low, high: rows[low:high], CHUNK
    if kind != "array" or not isinstance(x, h5py.Dataset):
        raise InvalidData(
            f"{path}: {place} is stored as {kind!r}; store it as csr_matrix or as an array."
        )
    check_numbers(path, x, place)
    block = x.chunks[0] if x.chunks else 1  # rows that are stored together are read together
    at_once = max(1, CHUNK_VALUES // max(shape[1], 1) // block) * block
    return lambda low, high: _nonzero(computable(x[low:high])), min(at_once, CHUNK)


def by_pointers(path: Path, x: Any, place: str, shape: tuple[int, int]) -> tuple[Reader, int]:
    """The same for a group with data, indices and indptr of cells x genes, cell by cell."""
    start = pointers(path, x, place, shape[0])
    at_once = max(1, min(CHUNK, CHUNK_VALUES * shape[0] // max(int(start[-1]), 1)))
    return lambda low, high: summed(rows_of(path, x, place, start, low, high, shape[1])), at_once


def _nonzero(dense: np.ndarray) -> sparse.csr_matrix:
    """The same as scipy's conversion of an array, in a third of the time."""
    present = dense != 0
    columns = np.broadcast_to(np.arange(dense.shape[1], dtype=np.int32), dense.shape)[present]
    start = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    return sparse.csr_matrix((dense[present], columns, start), shape=dense.shape)
