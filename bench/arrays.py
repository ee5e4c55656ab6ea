"""Arrays of .npz files: those that others made (`read_arrays`), and those that a store or a fit
keeps (`read_npz`). Nothing is unpickled."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cdnbench.errors import InvalidData
from cdnbench.files import opened_file

_RATIO = 1100
"""How many times its packed size a member may unpack to; deflate ends at 1032."""


def read_arrays(path: Path, only: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an .npz file that others made, by name. What an array says of its size is
    compared with the file before memory is taken. only: the names to read; all if None.

    Raises
    ------
    InvalidData: no .npz file, a damaged one, or arrays of Python objects; the message names the
    array. Names of `only` that the file lacks are told as well.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {m.filename.removesuffix(".npy"): m for m in archive.infolist()}
            if len(members) < len(archive.infolist()):
                raise InvalidData(f"{path} holds two arrays of one name.")
            wanted = list(members if only is None else only)
            if missing := [name for name in wanted if name not in members]:
                raise InvalidData(
                    f"{path}: no array named {missing[0]}; it holds {sorted(members)[:8]}."
                )
            return {name: _array(path, archive, members[name]) for name in wanted}
    except (InvalidData, MemoryError):
        raise
    except Exception as error:  # zipfile and zlib raise all kinds for a damaged file
        raise InvalidData(
            f"{path} cannot be read as .npz; it is of another kind, or not whole. Write it anew, "
            f"or fetch it again. ({error})"
        ) from error


def _array(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    name = member.filename.removesuffix(".npy")
    if member.file_size > _RATIO * member.compress_size + 1000:
        raise InvalidData(f"{path}: the array {name!r} says that it is larger than it can be.")
    if member.compress_size > path.stat().st_size:
        raise InvalidData(f"{path}: the array {name!r} is larger than the file.")
    content = archive.read(member)
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            version, np.lib.format.read_array_header_2_0
        )
        shape, by_columns, dtype = read(stream)
    except Exception as error:
        raise InvalidData(f"{path}: {name!r} is no array that can be read ({error}).") from error
    if dtype.hasobject:
        raise InvalidData(
            f"{path}: the array {name!r} holds Python objects. If it names the columns, save the "
            f"names as text: {name}=np.array(names, dtype=str)."
        )
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in shape):
        raise InvalidData(f"{path}: the array {name!r} has no shape ({shape}).")
    n_values, held = math.prod(shape), len(content) - stream.tell()
    if n_values * dtype.itemsize != held or dtype.itemsize == 0 and n_values:
        raise InvalidData(
            f"{path}: the array {name!r} has the shape {shape} of {dtype}, but holds {held:,} "
            "bytes. Write the file again."
        )
    values = np.frombuffer(content, dtype=dtype, count=n_values, offset=stream.tell())
    return values.reshape(shape[::-1]).T if by_columns else values.reshape(shape)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file of a store or a fit, all of them read.

    Raises
    ------
    OSError: there is no such file, or something else stands there. ValueError: it is damaged.
    """
    with opened_file(path) as file:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except Exception as error:  # whatever numpy, zipfile and zlib make of foreign bytes
            raise ValueError(f"{path} is damaged ({type(error).__name__}: {error})") from None


def write_npz(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as `numpy.savez` does, whatever their names: it takes `file` and `allow_pickle`
    for options of its own.

    Raises
    ------
    ValueError: an array of Python objects.
    """
    with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
