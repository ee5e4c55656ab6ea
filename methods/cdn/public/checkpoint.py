"""Reading a PyTorch or Lightning checkpoint as data: no class or function that the file names is
imported or called.

A `.ckpt` or `.pt` file (the zip format of PyTorch 1.6 and later) is a pickle beside raw storages.
The pickle may name any class. A dozen names are understood, as tensors and ordered dictionaries;
every other name becomes an inert `Placeholder` that remembers what it was given.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cdnbench.errors import InvalidParameter
from cdnbench.plain_pickle import PickleError, PlainReader

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    state: tensors by their public names. settings: the plain hyperparameters saved with them, none
    for a plain state dict.
    """

    state: dict[str, Tensor]
    settings: dict[str, Any]


def read_checkpoint(file: Path) -> Checkpoint:
    """The tensors and plain settings of a checkpoint: Lightning's (`state_dict`,
    `hyper_parameters`) or a state dict.

    Raises
    ------
    InvalidParameter: the file is missing, is not such a file, or is damaged.
    """
    if not file.is_file():
        raise InvalidParameter(
            f"{file} does not exist; expected a checkpoint of the public SEA or CDN code (.ckpt, "
            ".pt)."
        )
    try:
        with zipfile.ZipFile(file) as archive:
            content = _unpickle(archive)
            state, settings = _parts(content)
            tensors = _tensors(archive, state)
    except Exception as error:  # a damaged pickle can fail in any way
        raise InvalidParameter(
            f"{file} cannot be read as a PyTorch checkpoint ({type(error).__name__}: {error}); "
            "expected the zip file that torch.save or Lightning writes, with a state dict of "
            "tensors."
        ) from error
    if not tensors:
        raise InvalidParameter(
            f"{file} holds no tensors; expected a Lightning checkpoint or a plain state dict."
        )
    return Checkpoint(tensors, settings)


class Placeholder:
    """Stands for any class or function that a file names, and for what is made by it."""

    def __init__(self) -> None:
        self.state: Any = None
        self.items: dict[Any, Any] = {}


@dataclass(frozen=True)
class _Storage:
    dtype: torch.dtype
    key: str


@dataclass(frozen=True)
class _StoredTensor:
    storage: _Storage
    offset: Any  # of the file, and checked before they are used
    shape: Any
    strides: Any


_UNDERSTOOD = {
    ("collections", "OrderedDict"): "dictionary",
    ("torch._utils", "_rebuild_tensor_v2"): "tensor",
    ("torch._utils", "_rebuild_parameter"): "parameter",
}
_PARTS = 16
"""How many times the size of the file all tensors together may take: some share a storage."""


class _Understood(str):
    """What stands for one of the names in `_UNDERSTOOD`."""


class _CheckpointReader(PlainReader):
    """Every name that is not understood becomes a placeholder, which accepts whatever a pickle does
    to it and does nothing."""

    def find(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        known = _UNDERSTOOD.get((module, name))
        return Placeholder() if known is None else _Understood(known)

    def call(self, function: Any, arguments: tuple) -> Any:
        match function, arguments:
            case Placeholder(), _:
                return Placeholder()
            case "dictionary", (pairs,):
                return dict(pairs)
            case "dictionary", ():
                return {}
            case "tensor", (_Storage() as storage, offset, shape, strides, *_):
                return _StoredTensor(storage, offset, shape, strides)
            case "parameter", (data, *_):
                return data
        return super().call(function, arguments)

    def build(self, made: Any, state: Any) -> None:
        if isinstance(made, Placeholder):
            made.state = state
        elif not isinstance(made, dict | _StoredTensor):  # whose attributes say nothing here
            super().build(made, state)

    def put(self, made: Any, key: Any, value: Any) -> None:
        super().put(made.items if isinstance(made, Placeholder) else made, key, value)

    def extend(self, made: Any, items: list[Any]) -> None:
        if not isinstance(made, Placeholder):
            super().extend(made, items)

    def persistent(self, identifier: Any) -> _Storage:
        match identifier:
            case ("storage", torch.dtype() as dtype, str() as key, *_):
                return _Storage(dtype, key)
        raise PickleError(f"it has an unknown storage {identifier!r}")


def _unpickle(archive: zipfile.ZipFile) -> Any:
    root = _root(archive)
    if (
        f"{root}/byteorder" in archive.namelist()
        and _record(archive, f"{root}/byteorder") != b"little"
    ):
        raise ValueError("the tensors are stored big-endian")
    return _CheckpointReader(_record(archive, f"{root}/data.pkl")).load()


def _record(archive: zipfile.ZipFile, name: str) -> bytes:
    member = archive.getinfo(name)
    # a compressed record could unfold into any size
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed, which torch.save never does")
    if member.file_size != member.compress_size or member.file_size > _size(archive):
        raise ValueError(f"{name} says that it is larger than the file")
    return archive.read(member)


def _size(archive: zipfile.ZipFile) -> int:
    """Bytes of the whole file."""
    return os.stat(archive.filename).st_size if archive.filename else 0


def _root(archive: zipfile.ZipFile) -> str:
    roots = [
        n.removesuffix("/data.pkl")
        for n in archive.namelist()
        if n.endswith("/data.pkl") and n.count("/") == 1
    ]
    if len(roots) != 1:
        raise ValueError("the archive holds no data.pkl")
    return roots[0]


def _parts(content: Any) -> tuple[dict[str, _StoredTensor], dict[str, Any]]:
    if not isinstance(content, Mapping):
        raise ValueError("it holds no dictionary")
    lightning = "state_dict" in content
    state = content["state_dict"] if lightning else content
    if not isinstance(state, Mapping):
        raise ValueError("its state_dict is no dictionary")
    others = [name for name, value in state.items() if not isinstance(value, _StoredTensor)]
    if others:
        raise ValueError(
            f"its state dict holds values that are no tensors: {', '.join(map(str, others[:3]))}"
        )
    return {str(k): v for k, v in state.items()}, _settings(
        content.get("hyper_parameters")
    ) if lightning else {}


def _settings(found: Any) -> dict[str, Any]:
    """The plain values among hyperparameters, also of an `argparse.Namespace` one level down."""
    if isinstance(found, Placeholder):
        found = found.state if isinstance(found.state, Mapping) else found.items
    if not isinstance(found, Mapping):
        return {}
    plain: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, Placeholder | Mapping):
            plain.update(_settings(value))
        elif isinstance(value, bool | int | float | str):
            plain[str(name)] = value
    return plain


def _tensors(archive: zipfile.ZipFile, state: Mapping[str, _StoredTensor]) -> dict[str, Tensor]:
    """Copies of the parts of the storages that the tensors cover.

    Raises
    ------
    ValueError: a tensor that reaches beyond its storage, or repeats values of it, or tensors that
    together are far larger than the file.
    """
    for name, stored in state.items():
        _check_geometry(name, stored)
    total = sum(math.prod(t.shape) * t.storage.dtype.itemsize for t in state.values())
    if total > _PARTS * _size(archive):
        raise ValueError(f"its tensors take {total:,} bytes, far more than the file")
    root, values = _root(archive), dict[_Storage, Tensor]()
    tensors = {}
    for name, stored in state.items():
        n_values = math.prod(stored.shape)
        if not n_values:
            tensors[name] = torch.empty(stored.shape, dtype=stored.storage.dtype)
            continue
        if stored.storage not in values:
            content = _record(archive, f"{root}/data/{stored.storage.key}")
            if not content or len(content) % stored.storage.dtype.itemsize:
                raise ValueError(f"the storage of {name} has {len(content)} bytes")
            values = {
                stored.storage: torch.frombuffer(bytearray(content), dtype=stored.storage.dtype)
            }
        source = values[stored.storage]
        last = stored.offset + sum(
            (n - 1) * step for n, step in zip(stored.shape, stored.strides, strict=True)
        )
        if last >= len(source):
            raise ValueError(
                f"{name} of shape {stored.shape} reaches beyond its storage of {len(source)} values"
            )
        view = source.as_strided(stored.shape, stored.strides, stored.offset)
        tensors[name] = view.contiguous().clone()
    return tensors


def _check_geometry(name: str, stored: _StoredTensor) -> None:
    """No value of the storage may stand at two places, as with a stride of zero: such a tensor may
    be of any size, whatever the storage holds.

    Raises
    ------
    ValueError: it may, or shape, strides and offset are no whole numbers from 0 on.
    """
    shape, strides = stored.shape, stored.strides
    for sizes in (shape, strides, (stored.offset,)):
        if not isinstance(sizes, tuple) or not all(
            type(n) is int and 0 <= n < 2**62 for n in sizes
        ):
            raise ValueError(f"{name} has the shape {shape} and the strides {strides}")
    if len(shape) != len(strides) or len(shape) > 64:
        raise ValueError(f"{name} has the shape {shape} and the strides {strides}")
    if math.prod(n for n in shape if n) >= 2**62:
        raise ValueError(f"{name} has the shape {shape}")
    reach = 1
    for step, n in sorted((step, n) for n, step in zip(shape, strides, strict=True) if n > 1):
        if step < reach:
            raise ValueError(
                f"{name} of shape {shape} has the strides {strides}, which repeat values"
            )
        reach += step * (n - 1)
