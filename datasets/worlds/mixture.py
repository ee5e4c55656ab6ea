"""Training batches from several laws, of worlds and of the suites' own generator, mixed step by
step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cdnbench.datasets.synthetic import training
from cdnbench.datasets.worlds import supply
from cdnbench.datasets.worlds.laws import Laws
from cdnbench.digest import generator


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a mixture. share: its share of the steps, relative to the other parts. laws: those
    of worlds, or those of the suites' generator. cells: about how many grid cells B R N^2 a batch
    has. most: the most datasets B in a batch. evidence_only: the part trains only what the network
    reads of each variable alone."""

    share: float
    laws: Laws | training.Laws
    cells: int
    most: int = 64
    evidence_only: bool = False

    def plain(self) -> dict[str, Any]:
        """For a card."""
        source = "worlds" if isinstance(self.laws, Laws) else "suites"
        names = ("share", "cells", "most", "evidence_only")
        numbers = {name: getattr(self, name) for name in names}
        return {"source": source, **numbers, "laws": self.laws.plain()}


def mixed_batch(
    parts: Sequence[Part], seed: int, step: int
) -> tuple[Part, list[supply.Example] | list[training.Example]]:
    """The batch of a step, and the part that it is of.

    A pure function of its arguments. Both kinds of examples have task, targets, adjacency and
    graph_known.
    """
    shares = np.cumsum([part.share for part in parts])
    u = generator("mixture", [part.share for part in parts], seed, step).random()
    part = parts[int(np.searchsorted(shares, u * shares[-1], side="right"))]
    if isinstance(part.laws, Laws):
        return part, supply.batch(part.laws, seed, step, cells=part.cells, most=part.most)
    return part, training.batch(part.laws, seed, step, cells=part.cells, most=part.most)
