"""Training batches from worlds and from the suites' own generator, mixed step by step."""

from __future__ import annotations

from cdnbench.datasets.synthetic import training
from cdnbench.datasets.worlds import supply
from cdnbench.datasets.worlds.laws import Laws
from cdnbench.digest import generator


def mixed_batch(
    worlds: Laws, models: training.Laws, share: float, seed: int, step: int, *, cells: int
) -> list[supply.Example] | list[training.Example]:
    """The batch of a step: of worlds with probability `share`, otherwise of the suites' generator.
    About `cells` = B R N^2 grid cells.

    A pure function of its arguments. Both kinds of examples have task, targets, adjacency and
    graph_known.
    """
    if generator("mixture", share, seed, step).random() < share:
        return supply.batch(worlds, seed, step, cells=cells)
    return training.batch(models, seed, step, cells=cells)
