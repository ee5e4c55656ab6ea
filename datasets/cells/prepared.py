"""A prepared cell line: one HDF5 file whose arrays are mapped into memory, not read.

controls/, cells/        data (float32), indices and indptr of a matrix with one row per cell (CSR),
                         log(1 + counts per 10,000). The rows of cells/ are in the order of `first`.
genes                    (G,) names
names, targets           (P,) the perturbations that became tasks, and their targets joined by +
first                    (P + 1,) the cells of perturbation p are first[p] .. first[p + 1] - 1
candidates,              the genes that may be the target of p, ascending, are
candidates_first         candidates[candidates_first[p] : candidates_first[p + 1]]
n_differential, trivial, cluster, split   (P,)
change, adjusted         (P, G) float32: log2 fold change, adjusted p-value
reliability, retrieval   (P,) the noise ceiling, see `cdnbench.datasets.cells.screens.noise`
profile_names, profile_targets, profile_cells, profiles
                         (Q,), (Q,), (Q,), (Q, G) float32: mean shift of every perturbation with
                         enough cells
attributes               format, name, hash, options, source, attrition, simulated. The hash is
                         the identity of the line: it covers the values as the raw file has them,
                         and all arrays but those of computed numbers, whose last digits depend
                         on the processor.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from cdnbench.errors import InvalidData

FORMAT = 4
SUFFIX = ".cells.h5"
NOISE = ("reliability", "retrieval")


@dataclass(frozen=True, eq=False)
class PreparedLine:
    """A prepared cell line. Opening it reads small arrays only."""

    path: Path
    arrays: Mapping[str, np.ndarray]
    attributes: Mapping[str, Any]

    @staticmethod
    def open(path: Path) -> PreparedLine:
        """Open the prepared file of a line.

        Raises
        ------
        InvalidData: the file is missing, truncated, of another version, or not a prepared line.
        """
        import h5py

        if not path.exists():
            raise InvalidData(f"{path} does not exist. `bench data prepare` makes it.")
        try:
            with h5py.File(path, "r") as file:
                attributes = json.loads(str(file.attrs["attributes"]))
                if attributes["format"] != FORMAT:
                    raise InvalidData(
                        f"{path} has format {attributes['format']}; this version reads {FORMAT}. "
                        "Prepare it again."
                    )
                arrays = {name: _mapped(path, dataset) for name, dataset in _datasets(file)}
            _check_arrays(arrays)
        except (InvalidData, MemoryError):
            raise
        except Exception as error:  # h5py raises all kinds for a damaged file
            raise _broken(path, error) from error
        return PreparedLine(path, arrays, attributes)

    @property
    def name(self) -> str:
        return self.attributes["name"]

    @property
    def hash(self) -> str:
        return self.attributes["hash"]

    @cached_property
    def genes(self) -> np.ndarray:
        return self._text("genes")

    @cached_property
    def names(self) -> np.ndarray:
        return self._text("names")

    @cached_property
    def targets(self) -> list[list[str]]:
        return [t.split("+") for t in self._text("targets")]

    @cached_property
    def profile_targets(self) -> list[list[str]]:
        return [t.split("+") if t else [] for t in self._text("profile_targets")]

    @cached_property
    def profile_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (Q,) of each profile over the genes, and norm (Q,) of the deviation from it."""
        mean, square = (np.empty(len(self.arrays["profiles"])) for _ in range(2))
        for low in range(0, len(mean), 256):
            some = np.asarray(self.arrays["profiles"][low : low + 256], dtype=np.float64)
            mean[low : low + 256], square[low : low + 256] = (
                some.mean(axis=1),
                some.var(axis=1) * some.shape[1],
            )
        return mean, np.sqrt(square)

    @cached_property
    def split(self) -> np.ndarray:
        return self._text("split")

    @property
    def n_perturbations(self) -> int:
        return len(self.arrays["first"]) - 1

    def candidates(self, p: int) -> np.ndarray:
        """Numbers of the genes that may be targets of perturbation p, ascending."""
        first = self.arrays["candidates_first"]
        return self.arrays["candidates"][first[p] : first[p + 1]]

    def controls(self) -> sparse.csr_matrix:
        """(M0, G) all control cells that were kept."""
        return self._csr("controls", 0, len(self.arrays["controls/indptr"]) - 1)

    def cells(self, p: int) -> sparse.csr_matrix:
        """(M, G) the cells of perturbation p."""
        first = self.arrays["first"]
        return self._csr("cells", int(first[p]), int(first[p + 1]))

    def _csr(self, group: str, low: int, high: int) -> sparse.csr_matrix:
        start = self.arrays[f"{group}/indptr"][low : high + 1]
        some = slice(int(start[0]), int(start[-1]))
        data, indices = self.arrays[f"{group}/data"][some], self.arrays[f"{group}/indices"][some]
        shape = high - low, len(self.arrays["genes"])
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < shape[1]:
            raise _broken(self.path, f"{group}/indices name genes that do not exist")
        return sparse.csr_matrix((data, indices.astype(np.int32), start - start[0]), shape=shape)

    def _text(self, name: str) -> np.ndarray:
        try:
            return np.array([value.decode() for value in self.arrays[name]], dtype=object)
        except UnicodeDecodeError as error:
            raise _broken(self.path, error) from error


def _broken(path: Path, why: object) -> InvalidData:
    return InvalidData(f"{path} is not a whole prepared cell line; prepare it again. ({why})")


def _check_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    """Check small arrays that say where values lie in large ones; ValueError names the first that
    contradicts another."""
    genes, p, q = (len(arrays[name]) for name in ("genes", "names", "profile_names"))
    shapes = {
        **dict.fromkeys(("targets", "split", "cluster", "trivial", "n_differential", *NOISE), (p,)),
        **dict.fromkeys(("first", "candidates_first"), (p + 1,)),
        **dict.fromkeys(("change", "adjusted"), (p, genes)),
        **dict.fromkeys(("profile_targets", "profile_cells"), (q,)),
        "profiles": (q, genes),
        "cells/indices": arrays["cells/data"].shape,
        "controls/indices": arrays["controls/data"].shape,
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, not {shape}")
    for name, kinds in (("data", "f"), ("indices", "iu"), ("indptr", "i")):
        for group in ("cells", "controls"):
            if arrays[f"{group}/{name}"].dtype.kind not in kinds:
                raise ValueError(f"{group}/{name} holds {arrays[f'{group}/{name}'].dtype}")
    for name in ("genes", "names", "targets", "split", "profile_names", "profile_targets"):
        if arrays[name].dtype.kind != "S":
            raise ValueError(f"{name} holds {arrays[name].dtype}")
    for name, ends in (
        ("first", len(arrays["cells/indptr"]) - 1),
        ("candidates_first", len(arrays["candidates"])),
        ("cells/indptr", len(arrays["cells/data"])),
        ("controls/indptr", len(arrays["controls/data"])),
    ):
        start = arrays[name]
        if start.dtype.kind != "i" or start[0] != 0 or start[-1] != ends:
            raise ValueError(f"{name} does not go from 0 to {ends}")
        if (start[1:] < start[:-1]).any():
            raise ValueError(f"{name} decreases")
    candidates = arrays["candidates"]
    if candidates.dtype.kind != "i" or not (0 <= candidates.min() <= candidates.max() < genes):
        raise ValueError("candidates are not genes")


def _datasets(file):
    found = []
    file.visititems(
        lambda name, item: found.append((name, item)) if hasattr(item, "shape") else None
    )
    return found


def _mapped(path: Path, dataset) -> np.ndarray:
    offset = dataset.id.get_offset()
    if not dataset.size:
        return dataset[()]
    if offset is None:  # prepared files hold all their values, and as they are
        raise OSError(f"{dataset.name} does not hold its values")
    if path.stat().st_size < offset + dataset.nbytes:
        raise OSError(f"{dataset.name} is cut off")
    return np.memmap(path, dtype=dataset.dtype, mode="r", offset=offset, shape=dataset.shape)


def text(values) -> np.ndarray:
    """Strings as bytes of a fixed width, which can be mapped."""
    encoded = [str(value).encode() for value in values]
    return np.array(encoded, dtype=f"S{max([1, *map(len, encoded)])}")


class Writer:
    """Writes a prepared file under a temporary name and renames it when it is complete.

    Large arrays are reserved first and then filled piece by piece in memory maps.
    """

    def __init__(self, path: Path) -> None:
        import h5py

        self.path, self.partial = path, path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = h5py.File(self.partial, "w")
        self._places: dict[str, tuple[int, np.dtype, tuple[int, ...]]] = {}

    def put(self, name: str, array: np.ndarray) -> None:
        self._file.create_dataset(name, data=array)

    def reserve(self, name: str, shape: tuple[int, ...], dtype) -> None:
        """Reserve room for an array that is filled through `mapped`."""
        import h5py

        space = h5py.h5s.create_simple(shape)
        kind, plist = h5py.h5t.py_create(np.dtype(dtype)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.CONTIGUOUS)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        group, _, leaf = name.rpartition("/")
        parent = self._file.require_group(group) if group else self._file
        made = h5py.h5d.create(parent.id, leaf.encode(), kind, space, plist)
        self._places[name] = made.get_offset(), np.dtype(dtype), shape

    def mapped(self) -> dict[str, np.ndarray]:
        """The reserved arrays, to be filled. After this call nothing more can be put."""
        self._file.close()
        return {
            name: np.memmap(self.partial, dtype=dtype, mode="r+", offset=offset, shape=shape)
            if np.prod(shape)
            else np.zeros(shape, dtype)
            for name, (offset, dtype, shape) in self._places.items()
        }

    def finish(self, attributes: dict[str, Any], values: str) -> None:
        """Hash what was written, add the attributes, and give the file its name. values: digest of
        the values that the computed numbers come from."""
        import h5py

        from cdnbench.digest import canonical_json

        content = _hash(self.partial, values)
        with h5py.File(self.partial, "a") as file:
            file.attrs["attributes"] = canonical_json(
                {"format": FORMAT, "hash": content, **attributes}
            )
        os.replace(self.partial, self.path)


def _hash(path: Path, values: str) -> str:
    """Digest of `values`, and of the names and contents of all arrays of text, whole numbers and
    truth values, sorted by name."""
    import hashlib

    import h5py

    h = hashlib.blake2b(f"values:{values};".encode(), digest_size=16)
    with h5py.File(path, "r") as file:
        for name, dataset in sorted(_datasets(file), key=lambda pair: pair[0]):
            if dataset.dtype.kind == "f":
                continue
            h.update(f"{name}:{dataset.dtype.str}:{dataset.shape};".encode())
            for low in range(0, dataset.shape[0], 2**22 if dataset.ndim == 1 else 2**8):
                h.update(
                    np.ascontiguousarray(
                        dataset[low : low + (2**22 if dataset.ndim == 1 else 2**8)]
                    ).data
                )
    return h.hexdigest()
