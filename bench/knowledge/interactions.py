"""Pairs of genes: physical interactions, or any other undirected network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdnbench.errors import InvalidData
from cdnbench.knowledge.tables import numbered, read_pairs, renamed


@dataclass(frozen=True, eq=False)
class Interactions:
    """genes: (G,) names, sorted. edges: (E, 2) numbers of two different genes, the lower one first;
    each pair occurs once."""

    genes: np.ndarray
    edges: np.ndarray


def read_interactions(path: Path, names: Mapping[str, str] | None = None) -> Interactions:
    """Undirected pairs of genes; loops and repetitions are dropped.

    names: other name -> name, see `renaming`.

    Raises
    ------
    InvalidData: the file cannot be read as interactions.
    """
    found = renamed(read_pairs(path), names, both=True)
    pairs = {(min(a, b), max(a, b)) for a, b in found if a != b}
    if not pairs:
        raise InvalidData(
            f"{path} holds no pair of genes: expected a table whose first two columns are genes."
        )
    genes, ends = numbered([gene for pair in sorted(pairs) for gene in pair])
    return Interactions(genes, ends.reshape(-1, 2))
