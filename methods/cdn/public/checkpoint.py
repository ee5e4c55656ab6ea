"""Reading a PyTorch or Lightning checkpoint as data: no class or function that the file names is
imported or called.

A `.ckpt` or `.pt` file (the zip format of PyTorch 1.6 and later) is a pickle beside raw storages.
The pickle may name any class. A dozen names are understood, as tensors and ordered dictionaries;
every other name becomes an inert `Placeholder` that remembers what it was given.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cdnbench.errors import InvalidParameter

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
            tensors = {name: _tensor(archive, stored) for name, stored in state.items()}
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
    """Stands for any class or function that a file names. It accepts whatever a pickle does to it
    and does nothing."""

    state: Any
    items: dict[Any, Any]

    def __new__(cls, *arguments: Any, **named: Any) -> Placeholder:
        made = super().__new__(cls)
        made.state, made.items = None, {}
        return made

    def __call__(self, *arguments: Any, **named: Any) -> Placeholder:
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, value: Any) -> None:
        pass

    def extend(self, values: Any) -> None:
        pass


@dataclass(frozen=True)
class _Storage:
    dtype: torch.dtype
    key: str


@dataclass(frozen=True)
class _StoredTensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuilt(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _StoredTensor:
    return _StoredTensor(storage, offset, shape, strides)


def _same(data: Any, *_: Any) -> Any:
    return data


UNDERSTOOD: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
    ("torch._utils", "_rebuild_parameter"): _same,
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
}


class _InertUnpickler(pickle.Unpickler):
    """Looks every global up in `UNDERSTOOD`. The others become placeholders, with one class per
    name and file."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._placeholders: dict[tuple[str, str], type[Placeholder]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in UNDERSTOOD:
            return UNDERSTOOD[module, name]
        return self._placeholders.setdefault(
            (module, name), type("Placeholder", (Placeholder,), {})
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, *_ = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"unknown storage {pid!r}")
        return _Storage(dtype, str(key))


def _unpickle(archive: zipfile.ZipFile) -> Any:
    root = _root(archive)
    if (
        f"{root}/byteorder" in archive.namelist()
        and _record(archive, f"{root}/byteorder") != b"little"
    ):
        raise ValueError("the tensors are stored big-endian")
    return _InertUnpickler(io.BytesIO(_record(archive, f"{root}/data.pkl"))).load()


def _record(archive: zipfile.ZipFile, name: str) -> bytes:
    # a compressed record could unfold into any size
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed, which torch.save never does")
    return archive.read(name)


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


def _tensor(archive: zipfile.ZipFile, stored: _StoredTensor) -> Tensor:
    """A copy of the part of the storage that the tensor covers.

    Raises
    ------
    ValueError: the tensor reaches beyond its storage.
    """
    if not isinstance(stored.storage, _Storage):
        raise ValueError("a tensor without a storage")
    if math.prod(stored.shape) == 0:
        return torch.empty(stored.shape, dtype=stored.storage.dtype)
    stored_bytes = _record(archive, f"{_root(archive)}/data/{stored.storage.key}")
    values = torch.frombuffer(bytearray(stored_bytes), dtype=stored.storage.dtype)
    last = stored.offset + sum(
        (n - 1) * step for n, step in zip(stored.shape, stored.strides, strict=True)
    )
    if min((stored.offset, *stored.shape, *stored.strides)) < 0 or last >= len(values):
        raise ValueError(
            f"a tensor of shape {stored.shape} reaches beyond its storage of {len(values)} values"
        )
    return values.as_strided(stored.shape, stored.strides, stored.offset).contiguous().clone()
