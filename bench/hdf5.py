"""HDF5 files that others made: what they hold is checked before it is read.

A file may point elsewhere (links, values in other files), promise more values than it holds, or
hold another kind of thing under a name. All of that is refused with the name of the place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cdnbench.errors import InvalidData

if TYPE_CHECKING:
    import h5py

_UNPACKED = 2**26
"""Bytes that any dataset may unpack to."""
_RATIO = 1200
"""How many times its stored size a compressed dataset may unpack to; deflate ends at 1032."""
_ELEMENTS = 100_000
"""Groups and datasets of one file; more are no table of cells."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file, open for reading while the block runs and checked as by `open_checked`."""
    file = open_checked(path)
    try:
        yield file
    finally:
        file.close()


def open_checked(path: Path) -> h5py.File:
    """Open a file whose every part lies in the file itself and is as large as it says.

    Raises
    ------
    InvalidData: no HDF5 file, a truncated one, or one with links or with values elsewhere.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except Exception as error:  # h5py raises all kinds for a damaged file
        raise InvalidData(
            f"{path} cannot be read; it may be truncated or of another kind than HDF5. Fetch or "
            f"write it again. ({error})"
        ) from error
    try:
        _check_parts(path, file)
    except InvalidData:
        file.close()
        raise
    except Exception as error:
        file.close()
        raise InvalidData(f"{path} is damaged. Fetch or write it again. ({error})") from error
    return file


def _check_parts(path: Path, file: h5py.File) -> None:
    import h5py

    found: list[tuple[bytes, int]] = []

    def note(name: bytes, info: Any) -> bool | None:  # may not raise: compiled code calls it
        found.append((name, info.type))
        return True if len(found) > _ELEMENTS else None

    # Another name for the same group is a hard link, and a group may lie within itself; each is
    # visited once.
    file.id.links.visit(note, info=True)
    if len(found) > _ELEMENTS:
        raise InvalidData(f"{path} holds more than {_ELEMENTS:,} groups and datasets.")
    kinds = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "an external link"}
    size = path.stat().st_size
    for name, kind in found:
        place = name.decode(errors="replace")
        if kind != h5py.h5l.TYPE_HARD:
            raise InvalidData(
                f"{path}: {place} is {kinds.get(kind, 'a link')}, which is not followed. Write "
                "the file again with the values in this place."
            )
        part = h5py.h5o.open(file.id, name)
        if isinstance(part, h5py.h5d.DatasetID):
            _check_dataset(path, place, part, size)


def _check_dataset(path: Path, place: str, part: Any, size: int) -> None:
    """The values of a dataset lie in the file, and there are as many as it says."""
    import h5py

    settings = part.get_create_plist()
    layout = settings.get_layout()
    if settings.get_external_count() or layout == h5py.h5d.VIRTUAL:
        raise InvalidData(
            f"{path}: {place} keeps its values in other files, which are not read. Write the file "
            "again with the values in it."
        )
    shape = part.shape or ()
    space = int(np.prod(shape, dtype=object)) * max(1, part.get_type().get_size())
    stored = part.get_storage_size()
    if stored > size:
        raise InvalidData(f"{path}: {place} is larger than the file. Fetch the file again.")
    compressed = layout == h5py.h5d.CHUNKED
    if space > (max(_UNPACKED, _RATIO * stored) if compressed else max(stored, 4096)):
        raise InvalidData(
            f"{path}: {place} says that it has the shape {shape}, but the file holds "
            f"{stored:,} bytes of it. Fetch or write the file again."
        )


def dataset(path: Path, group: Any, name: str, *, kinds: str = "", ndim: int | None = None) -> Any:
    """A dataset of a group, by name.

    kinds: kinds of dtype that it may have, any if empty. ndim: the number of its dimensions.

    Raises
    ------
    InvalidData: there is none, or it is of another kind.
    """
    import h5py

    found: Any = group.get(name) if isinstance(group, h5py.Group) else None
    place = f"{getattr(group, 'name', '')}/{name}".strip("/")
    if not isinstance(found, h5py.Dataset):
        raise InvalidData(f"{path} has no dataset {place}.")
    if ndim is not None and found.ndim != ndim:
        raise InvalidData(f"{path}: {place} has {found.ndim} dimensions in place of {ndim}.")
    if kinds and found.dtype.kind not in kinds:
        raise InvalidData(f"{path}: {place} holds {found.dtype} values.")
    return found


def texts(path: Path, group: Any, name: str) -> list[str]:
    """The strings of a one-dimensional dataset of text.

    Raises
    ------
    InvalidData: it holds something else, references to other places included.
    """
    import h5py

    found = dataset(path, group, name, ndim=1)
    if h5py.check_string_dtype(found.dtype) is None:
        raise InvalidData(f"{path}: {found.name.strip('/')} holds {found.dtype} values, not text.")
    try:
        return [str(value) for value in found.asstr()[:]]
    except UnicodeDecodeError as error:
        raise InvalidData(f"{path}: {found.name.strip('/')} is not UTF-8 text ({error}).") from None


# --- sparse matrices ------------------------------------------------------------------------------


def pointers(path: Path, x: Any, place: str, n: int) -> np.ndarray:
    """(n + 1,) int64: where the values of each of n rows begin, checked against the file.

    Compiled code trusts the pointers and indices of a sparse matrix: a wrong one ends the process,
    or puts a value into another cell. Pointers are checked here, indices as they are read.

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
    check_numbers(path, x["data"], place)
    n_values = len(x["data"])
    if len(x["indices"]) != n_values:
        raise refuse(f"it has {n_values} values and {len(x['indices'])} indices")
    if len(x["indptr"]) != n + 1:
        raise refuse(f"indptr has {len(x['indptr'])} entries, not {n + 1}")
    start = x["indptr"][:].astype(np.int64)
    if start[0] != 0 or (start[1:] < start[:-1]).any():  # differences could overflow
        raise refuse("indptr does not start at 0, or it decreases")
    if start[-1] != n_values:
        raise refuse(f"indptr ends at {start[-1]}, but there are {n_values} values")
    return start


def rows_of(
    path: Path, x: Any, place: str, start: np.ndarray, low: int, high: int, n_columns: int
) -> Any:
    """Rows low .. high - 1 of a group as a csr_matrix, repeated entries included.

    start: see `pointers`.

    Raises
    ------
    InvalidData: an index of a column that does not exist.
    """
    from scipy import sparse

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
        (computable(data), indices, start[low : high + 1] - first), shape=(high - low, n_columns)
    )


def summed(rows: Any) -> Any:
    """The same csr_matrix with repeated entries summed. Where none is, entries keep their order."""
    indices, pointer = rows.indices, rows.indptr
    follows = np.ones(max(len(indices) - 1, 0), dtype=bool)  # an entry and the next share a row
    ends = pointer[1:-1][(pointer[1:-1] > 0) & (pointer[1:-1] < len(indices))]
    follows[ends - 1] = False
    if not (follows & (np.diff(indices) <= 0)).any():
        return rows
    wide = rows.astype(np.float64)  # a copy; small whole numbers could overflow
    wide.sum_duplicates()
    return wide if wide.nnz < rows.nnz else rows


def check_numbers(path: Path, x: Any, place: str) -> None:
    """Raises
    ------
    InvalidData: a dataset that does not hold real numbers.
    """
    if x.dtype.kind not in "biuf":
        raise InvalidData(f"{path}: {place} holds {x.dtype} in place of numbers.")


def computable(values: np.ndarray) -> np.ndarray:
    """Half-precision values, with which scipy does not compute, in single precision."""
    small = values.dtype.itemsize < 4 and values.dtype.kind == "f"
    return values.astype(np.float32) if small else values


def stored_shape(x: Any) -> tuple[str, tuple[int, ...]]:
    """How the matrix of an .h5ad is stored ("array", "csr_matrix", "csc_matrix") and the shape that
    it says it has."""
    kind = str(x.attrs.get("encoding-type", x.attrs.get("h5sparse_format", "array")))
    shape = x.attrs.get("shape", x.attrs.get("h5sparse_shape", getattr(x, "shape", ())))
    kind = {"csr": "csr_matrix", "csc": "csc_matrix"}.get(kind, kind)
    return kind, tuple(int(k) for k in np.atleast_1d(shape))
