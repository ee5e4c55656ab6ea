"""Digests (what makes two things "the same") and the random generators derived from them.

All randomness in the project comes from `generator(*axes)`: a PCG64 stream named by the things it
depends on (suite, task, method, seed, ...). Global random state is neither read nor changed.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np


def digest(*parts: Any, size: int = 16) -> str:
    """Hex digest of plain values and arrays, the same on every machine.

    Arrays count by dtype, shape and bytes; everything else by its canonical JSON. Give no arrays of
    Python objects: their bytes are addresses, so that equal ones differ.
    """
    h = hashlib.blake2b(digest_size=size)
    for part in parts:
        if isinstance(part, np.ndarray):
            h.update(f"array:{part.dtype.str}:{part.shape};".encode())
            h.update(np.ascontiguousarray(part).data)
        else:
            h.update(b"json:" + canonical_json(part).encode() + b";")
    return h.hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; numpy scalars become plain numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=plain)


def plain(value: Any) -> Any:
    """A numpy value as JSON takes it: the `default` of `json.dumps`."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"neither plain nor an array: {value!r}, a {type(value).__name__}")


def generator(*axes: Any) -> np.random.Generator:
    """The random stream named by `axes`, e.g. `generator("synthetic", setting, 3)`."""
    return np.random.Generator(np.random.PCG64(int(digest(list(axes)), 16)))
