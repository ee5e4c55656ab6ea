"""Damage to HDF5 files that leaves them HDF5 files: parts that are missing, of another kind, or
point elsewhere."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def edited(path: Path, rng: random.Random) -> None:
    """One or two changes to a file in place."""
    with h5py.File(path, "a") as file:
        for _ in range(rng.choice((1, 1, 2))):
            names: list[str] = []
            file.visititems(lambda name, part, names=names: _note(name, part, names))
            if not names:
                return
            name = rng.choice(sorted(names))
            rng.choice(_EDITS)(file, name, rng)


def _note(name: str, part: h5py.Group | h5py.Dataset, names: list[str]) -> None:
    """Groups and small arrays; one that `_huge` made cannot be held in memory."""
    if isinstance(part, h5py.Group) or (part.size or 0) < 10**6:
        names.append(name)


def _replace(file: h5py.File, name: str, made: Any) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file[name] = made
    for key, value in attributes.items():
        file[name].attrs[key] = value


def _values(file: h5py.File, name: str, rng: random.Random) -> None:
    """Some values of an array are others: indices out of range, pointers out of order, NaN."""
    part = file[name]
    if not isinstance(part, h5py.Dataset) or part.dtype.kind not in "iuf" or not part.size:
        return _delete(file, name, rng)
    values = part[()]
    flat = np.atleast_1d(values).reshape(-1).copy()
    for _ in range(rng.choice((1, 3))):
        new = rng.choice((-1, 0, 1, 10**6, 2**31 - 1, 0.5, float("nan"), float("inf"), 1e300))
        with np.errstate(all="ignore"):
            flat[rng.randrange(len(flat))] = np.array(new).astype(flat.dtype)
    return _replace(file, name, flat.reshape(np.shape(values)))


def _delete(file: h5py.File, name: str, rng: random.Random) -> None:
    del file[name]


def _kind(file: h5py.File, name: str, rng: random.Random) -> None:
    """An array of the same shape and another kind."""
    shape = getattr(file[name], "shape", (3,)) or ()
    kinds: list[Any] = ["i1", "u8", "f2", "f8", "c16", "S3", "b1", "f4", "i8"]
    made: Any = np.zeros(shape, dtype=rng.choice(kinds))
    if rng.random() < 0.3:
        made = np.full(shape, "text", dtype=object)
    if rng.random() < 0.2:
        made = np.zeros(shape, dtype=[("a", "i4"), ("b", "f8")])
    _replace(file, name, made)


def _shape(file: h5py.File, name: str, rng: random.Random) -> None:
    dtype = getattr(file[name], "dtype", np.dtype("i4"))
    if dtype.kind not in "iuf":
        dtype = np.dtype("i4")
    _replace(file, name, np.ones(rng.choice([(), (0,), (1,), (7,), (3, 2), (2, 2, 2)]), dtype))


def _soft(file: h5py.File, name: str, rng: random.Random) -> None:
    del file[name]
    file[name] = h5py.SoftLink(rng.choice(("/X", f"/{name}", "/none", "/obs")))


def _external(file: h5py.File, name: str, rng: random.Random) -> None:
    del file[name]
    file[name] = h5py.ExternalLink(rng.choice((file.filename, "/etc/passwd", "none.h5")), "/X")


def _reference(file: h5py.File, name: str, rng: random.Random) -> None:
    target = file.ref
    kept = getattr(file[name], "shape", (2,)) or (1,)
    del file[name]
    made = file.create_dataset(name, kept, dtype=h5py.ref_dtype)
    if made.size:
        made[(0,) * made.ndim] = target


def _huge(file: h5py.File, name: str, rng: random.Random) -> None:
    """A shape that the file cannot hold."""
    dtype = getattr(file[name], "dtype", np.dtype("f4"))
    shape = rng.choice([(2**40,), (2**20, 2**20), (2**33,)])
    del file[name]
    file.create_dataset(name, shape, dtype if dtype.kind in "iuf" else "f4", chunks=True)


def _elsewhere(file: h5py.File, name: str, rng: random.Random) -> None:
    del file[name]
    if rng.random() < 0.5:
        layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
        layout[:] = h5py.VirtualSource("none.h5", "X", shape=(4,))
        file.create_virtual_dataset(name, layout)
    else:
        file.create_dataset(name, (4,), "f4", external=[("/etc/hostname", 0, 16)])


def _itself(file: h5py.File, name: str, rng: random.Random) -> None:
    """A group that lies within itself."""
    group = file[name] if isinstance(file[name], h5py.Group) else file
    free = next(n for n in map("within{}".format, range(100)) if n not in group)
    group[free] = file


def _attribute(file: h5py.File, name: str, rng: random.Random) -> None:
    part = file[name] if rng.random() < 0.8 else file
    keys = sorted(part.attrs)
    if not keys:
        return
    key = rng.choice(keys)
    values: list[Any] = [
        0,
        -1,
        "",
        "none",
        np.zeros(3),
        np.array([2**40, 2**40]),
        b"\xff",
        file.ref,
    ]
    if rng.random() < 0.3:
        del part.attrs[key]
    else:
        part.attrs[key] = rng.choice(values)


_EDITS: tuple[Callable[[h5py.File, str, random.Random], None], ...] = (
    *(_values, _values, _values, _delete, _kind, _kind, _shape, _soft, _external, _reference),
    *(_huge, _elsewhere, _itself, _attribute, _attribute),
)
