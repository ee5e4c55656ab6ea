"""Numbers for a page: a header and arrays, compressed and written as text.

    bytes 0-3   length of the header, little-endian
    header      JSON: what the writer gives, and "arrays": name -> [type, first byte, shape]
    arrays      little-endian, each at a multiple of four bytes after the header

All of it is compressed (zlib) and written in base64. `templates/packed.js` reads it again.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

TYPES = ("u1", "u2", "u4", "f4")


def packed(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """The text. Arrays have one of the types of `TYPES`.

    Raises
    ------
    ValueError: an array of another type.
    """
    parts, places, at = [], {}, 0
    for name, array in arrays.items():
        kind = array.dtype.str.lstrip("<|")
        if kind not in TYPES:
            raise ValueError(f"{name} is {array.dtype}; a page takes {', '.join(TYPES)}")
        data = np.ascontiguousarray(array).astype(f"<{kind}").tobytes()
        places[name] = [kind, at, list(array.shape)]
        parts.append(data + bytes(-len(data) % 4))
        at += len(parts[-1])
    text = json.dumps({**header, "arrays": places}, separators=(",", ":"), allow_nan=False)
    head = text.encode()
    head += b" " * (-len(head) % 4)
    content = b"".join([struct.pack("<I", len(head)), head, *parts])
    return base64.b64encode(zlib.compress(content, 6)).decode("ascii")


def small(values: np.ndarray) -> np.ndarray:
    """Whole numbers that are not negative, in the smallest type that holds them."""
    largest = int(values.max(initial=0))
    return values.astype(
        np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.uint32
    )
