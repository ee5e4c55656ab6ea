"""What a reader of files is in these tests, and the numbers and names that samples hold."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Write = Callable[[Path, random.Random], Path]
Read = Callable[[Path], Any]


@dataclass(frozen=True)
class Reader:
    """write: places a valid sample in a folder and returns what to read. read: reads it. hdf5:
    whether the sample is an HDF5 file, whose parts may be edited."""

    write: Write
    read: Read
    hdf5: bool = False


def sample_values(rng: random.Random, rows: int = 6, columns: int = 4) -> np.ndarray:
    numpy = np.random.default_rng(rng.randrange(2**32))
    values = numpy.normal(size=(rows, columns)).round(3)
    return values + rng.choice((0, 0, 0, 1e9, 1e-7))


def sample_names(n: int) -> list[str]:
    return [f"g{i}" for i in range(n)]
