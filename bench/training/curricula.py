"""What each shipped network is trained on.

Mechanisms polynomial and sigmoid, every law of `synthetic-ood` and every seed of a suite are held
out from all of them (see `cdnbench.datasets.synthetic.training`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cdnbench.datasets.synthetic import training
from cdnbench.datasets.synthetic.training import Laws
from cdnbench.datasets.worlds import supply
from cdnbench.datasets.worlds.mixture import Part, mixed_batch

EVERYTHING = Laws(
    sizes=((10, 10),) * 3 + ((20, 20),) * 4 + ((5, 30), (30, 60), (60, 100)),
    rows=((50, 200), (200, 1000), (900, 1050), (30, 3000)),
    factors=((1.5, 6.0), (1.5, 6.0), (1.1, 1.5), (1.05, 6.0)),
    many=0.3,
    hidden=0.15,
    uneven=0.2,
    standardised=0.2,
    regimes=(1, 32),
)
"""What `cdn-suites` is trained on: every law that is not held out."""

GRAPHS = Laws(
    sizes=((10, 10),) * 3 + ((20, 20),) * 4 + ((5, 30), (30, 100)),
    densities=(1, 2, 3, 4),
    rows=((300, 1500), (900, 1050), (50, 300)),
)
"""What SEA is trained on: the densities and graph laws of its paper, both noise protocols, and the
mechanisms linear, nn and nn_add."""

HARD = Laws(
    sizes=((10, 10),) * 3 + ((20, 20),) * 4 + ((5, 30),),
    graphs=("er",),
    interventions=("hard-uniform", "hard-normal"),
    rows=((900, 1050),),
    regimes=(6, 6),
)
"""What `cdn-axial` and `cdn-mlp` are trained on, as in the paper: hard interventions only, under
both noise protocols."""


Curriculum = Laws | tuple[Part, ...]
"""What the paper's networks can be trained on: the suites' laws, or a mixture."""

Examples = Sequence[training.Example] | Sequence[supply.Example]


def batch(curriculum: Curriculum, seed: int, step: int, *, cells: int, most: int = 64) -> Examples:
    """The batch of a step: datasets of equal N and R, about `cells` = B R N^2 grid cells and at
    most `most` datasets. A pure function of its arguments."""
    if isinstance(curriculum, Laws):
        return training.batch(curriculum, seed, step, cells=cells, most=most)
    parts = [replace(part, cells=cells, most=most) for part in curriculum]
    return mixed_batch(parts, seed, step)[1]


def with_regimes(curriculum: Curriculum, regimes: int) -> Curriculum:
    """The same with so many regimes in every dataset."""
    if isinstance(curriculum, Laws):
        return replace(curriculum, regimes=(regimes, regimes))
    return tuple(
        replace(part, laws=replace(part.laws, regimes=(regimes, regimes))) for part in curriculum
    )


def plain(curriculum: Curriculum) -> Any:
    """For a card: the laws, or a list of a mixture's parts."""
    if isinstance(curriculum, Laws):
        return curriculum.plain()
    return [part.plain() for part in curriculum]
