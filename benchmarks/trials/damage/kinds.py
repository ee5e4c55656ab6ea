"""The kinds of damage, and what all of them need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Damage = Callable[[np.random.Generator, Path], Path]
KINDS: dict[str, Damage] = {}

SUFFIXES = (".jsonl", ".arrays", ".json", ".npz", ".parquet")


def kind(function: Damage) -> Damage:
    KINDS[function.__name__.replace("_", " ")] = function
    return function


def files(folder: Path, *suffixes: str) -> list[Path]:
    """The files of a store that hold results, in order."""
    found = [p for p in folder.rglob("*") if p.suffix in (suffixes or SUFFIXES) and p.is_file()]
    return sorted(found)


def one(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]
