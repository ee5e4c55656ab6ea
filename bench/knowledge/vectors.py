"""Vectors of genes in a pickle: a dictionary of lists or arrays of numbers, and nothing else."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from cdnbench.plain_pickle import PickleError, PlainReader, numbers

_NUMBER = re.compile(r"[<>|=]?[fiu][1248]")
_CORE = r"numpy\.(_?core\.)"
_NAMES = {
    r"numpy\.ndarray": "ndarray",
    r"numpy\.dtype": "dtype",
    rf"{_CORE}multiarray\._reconstruct": "reconstruct",
    rf"{_CORE}multiarray\.scalar": "scalar",
    rf"{_CORE}numeric\._frombuffer": "frombuffer",
    r"_codecs\.encode": "encode",  # how protocols 0 to 2 write bytes
}


def vectors_in_pickle(content: bytes) -> tuple[list[str], np.ndarray]:
    """Names of genes, and their vectors (genes, D) float32.

    Raises
    ------
    PickleError: it holds something else; the message names it.
    """
    found = _VectorReader(content).load()
    if not isinstance(found, dict):
        raise PickleError(f"it holds a {type(found).__name__}; expected gene -> vector")
    names, vectors = [], []
    for name, value in found.items():
        if not isinstance(name, str | int | float):
            raise PickleError(f"a {type(name).__name__} in place of the name of a gene")
        try:
            vector = value.whole() if isinstance(value, _Array) else numbers(value)
        except PickleError as error:
            raise PickleError(f"the vector of {name!r} is not plain numbers: {error}") from error
        if vector.ndim != 1 or (vectors and len(vector) != len(vectors[0])):
            raise PickleError(
                f"the vector of {name!r} has the shape {vector.shape}; expected one list of "
                "numbers per gene, all of one length"
            )
        names.append(str(name))
        with np.errstate(over="ignore"):  # told as values that are not finite
            vectors.append(vector.astype(np.float32))
    return names, np.array(vectors, dtype=np.float32)


class _Name(str):
    """Something of numpy that a file may name."""


class _Dtype:
    """A kind of number. order: of its bytes, which the file gives after the kind itself."""

    def __init__(self, code: Any) -> None:
        if not isinstance(code, str) or not _NUMBER.fullmatch(code):
            raise PickleError(f"an array of {code!r} values, which are no real numbers")
        self.code, self.order = code.lstrip("<>|="), "<"

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class _Array:
    """An array whose content the file gives after the array itself."""

    def __init__(self) -> None:
        self.values: np.ndarray | None = None

    def whole(self) -> np.ndarray:
        if self.values is None:
            raise PickleError("an array without content")
        return self.values

    def fill(self, content: Any, dtype: Any, shape: Any, by_columns: bool) -> None:
        """Decode the content, whose length has to be that of the shape."""
        if isinstance(content, str):
            content = content.encode("latin-1")
        if not isinstance(content, bytes) or not isinstance(dtype, _Dtype):
            raise PickleError("an array that does not hold numbers")
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise PickleError(f"an array of the shape {shape!r}")
        kind = dtype.numpy()
        if math.prod(shape) * kind.itemsize != len(content):
            raise PickleError(
                f"an array of the shape {shape} with {len(content)} bytes of {kind.name}"
            )
        flat = np.frombuffer(content, dtype=kind)
        self.values = flat.reshape(shape[::-1]).T if by_columns else flat.reshape(shape)


class _VectorReader(PlainReader):
    def find(self, module: str, name: str) -> Any:
        for pattern, known in _NAMES.items():
            if re.fullmatch(pattern, f"{module}.{name}"):
                return _Name(known)
        return super().find(module, name)

    def call(self, function: Any, arguments: tuple) -> Any:
        if not isinstance(function, _Name):
            return super().call(function, arguments)
        match str(function), arguments:
            case "dtype", (code, *_):
                return _Dtype(code)
            case "reconstruct", (kind, *_) if isinstance(kind, _Name) and kind == "ndarray":
                return _Array()
            case "frombuffer", (content, dtype, shape, order):
                array = _Array()
                array.fill(content, dtype, shape, order == "F")
                return array
            case "scalar", (dtype, content):
                array = _Array()
                array.fill(content, dtype, (), False)
                return array.whole().item()
            case "encode", (str() as content, "latin1" | "latin-1"):
                return content.encode("latin-1")
        raise PickleError(f"it calls numpy's {function} in another way than numpy does")

    def build(self, made: Any, state: Any) -> None:
        match made, state:
            case _Dtype(), (_, "<" | ">" | "|" | "=" as order, None, None, None, *_):
                made.order = order if order in "<>" else "<"
            case _Array(), (_, shape, dtype, by_columns, content):
                made.fill(content, dtype, shape, bool(by_columns))
            case _Dtype() | _Array(), _:
                raise PickleError("an array or kind of number with a state that numpy never writes")
            case _:
                super().build(made, state)
