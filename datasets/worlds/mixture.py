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
    """A part of a mixture. share: of the steps, relative to the other parts. laws: of worlds, or of
    the suites' generator. cells: about how many grid cells B R N^2 a batch has. most: datasets in
    it. evidence_only: the part trains what is read of each variable alone. entering: range of how
    many variables of each task enter the grid, as where a task has too many; None for all. Then
    `cells` counts these."""

    share: float
    laws: Laws | training.Laws
    cells: int
    most: int = 64
    evidence_only: bool = False
    entering: tuple[int, int] | None = None

    def plain(self) -> dict[str, Any]:
        """For a card."""
        source = "worlds" if isinstance(self.laws, Laws) else "suites"
        names = ("share", "cells", "most", "evidence_only")
        numbers = {name: getattr(self, name) for name in names}
        if self.entering:
            numbers["entering"] = self.entering
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
        if part.entering:
            count = max(1, min(part.most, part.cells // part.entering[1] ** 2))
            return part, supply.alike(part.laws, seed, step, count)
        return part, supply.batch(part.laws, seed, step, cells=part.cells, most=part.most)
    return part, training.batch(part.laws, seed, step, cells=part.cells, most=part.most)
