"""Worlds: a wide generator of training tasks, from cells to micro-services.

A world is one system with one way of measuring it. `laws` says which worlds there are, `world` what
makes one, `supply` hands out training batches. The parts of a world have a module each: `graphs`,
`mechanisms`, `noise`, `interventions`, `measurement`; `simulate` puts them together.

What is never drawn here is listed in `HELD_OUT`: the mechanisms polynomial, sigmoid, fourier and
sigmix, and every marginal, noise and intervention of the suite `synthetic-far`. The cell-like laws
are written from the literature and share no code and no constant with the simulator behind
`perturbseq`.
"""

from cdnbench.datasets.worlds.laws import HELD_OUT, WIDE, Laws
from cdnbench.datasets.worlds.reduction import without
from cdnbench.datasets.worlds.simulate import Simulation, simulate
from cdnbench.datasets.worlds.supply import Example, batch
from cdnbench.datasets.worlds.world import Counts, Rows, World

__all__ = [
    "HELD_OUT",
    "WIDE",
    "Counts",
    "Example",
    "Laws",
    "Rows",
    "Simulation",
    "World",
    "batch",
    "simulate",
    "without",
]
