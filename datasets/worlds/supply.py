"""Supply: training batches of worlds, made again exactly from (laws, seed, step)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cdnbench.datasets.synthetic.training import log_uniform
from cdnbench.datasets.worlds.kinds import draw_world
from cdnbench.datasets.worlds.laws import Laws
from cdnbench.datasets.worlds.simulate import Simulation, simulate
from cdnbench.datasets.worlds.world import World
from cdnbench.digest import generator
from cdnbench.task import Task


@dataclass(frozen=True, eq=False)
class Example:
    """A training dataset: what a method sees, and the answers.

    targets: (R, N) bool; rows without any are regimes in which no variable was hit. adjacency: (N,
    N) bool, [i, j] is the edge i -> j. graph_known: whether this graph explains all dependence
    between variables; False where there are hidden causes.
    """

    task: Task
    targets: np.ndarray
    adjacency: np.ndarray
    graph_known: bool
    world: World


def batch(laws: Laws, seed: int, step: int, *, cells: int, most: int = 64) -> list[Example]:
    """The training batch of a step: datasets of equal N and R, about `cells` = B R N^2 grid cells
    and at most `most` datasets.

    A pure function of its arguments.
    """
    rng = generator("worlds", laws.plain(), seed, step)
    low, high = laws.sizes[rng.integers(len(laws.sizes))]
    n = log_uniform(rng, low, high)
    fewest, largest = laws.regimes
    regimes = log_uniform(rng, fewest, max(min(largest, cells // n**2), fewest))
    count = int(np.clip(cells // (regimes * n**2), 1, most))
    return [
        example(draw_world(laws, part, n, regimes), part, f"world-{seed}-{step}-{i}")
        for i, part in enumerate(rng.spawn(count))
    ]


def example(world: World, rng: np.random.Generator, name: str = "world") -> Example:
    """One dataset of a world."""
    return as_example(simulate(world, rng), name)


def as_example(simulation: Simulation, name: str = "world") -> Example:
    n = simulation.world.n_variables
    return Example(
        task=Task(
            name=name,
            variables=[f"X{i}" for i in range(n)],
            observational=simulation.samples[0],
            regimes=list(simulation.samples[1:]),
            candidates=np.ones((simulation.world.n_regimes, n), bool),
        ),
        targets=simulation.targets[:, :n],
        adjacency=simulation.adjacency[:n, :n],
        graph_known=simulation.world.n_hidden == 0,
        world=simulation.world,
    )
