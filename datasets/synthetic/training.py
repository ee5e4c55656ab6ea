"""An endless supply of training data: recipes drawn from declared laws, simulated by the suites'
own generator.

Their seed family is "training", which no suite has, so that no training dataset shares a random
stream with a test; the mechanisms polynomial and sigmoid, and every law of `synthetic-ood`, are
held out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from cdnbench.datasets.synthetic.generate import Simulation, simulate
from cdnbench.datasets.synthetic.recipe import SHIFT_RANGE, Recipe
from cdnbench.datasets.synthetic.tasks import task
from cdnbench.digest import generator
from cdnbench.task import Task

HELD_OUT_MECHANISMS = ("polynomial", "sigmoid", "fourier", "sigmix")


@dataclass(frozen=True, kw_only=True)
class Laws:
    """What training data is drawn from. Choices are equally likely unless repeated; pairs are
    ranges of a log-uniform draw.

    sizes: ranges of N, one chosen for each batch. densities: E / N. rows: of each data set.
        factors: ranges of the scale
    factor. many: the share of datasets with up to 10 targets a regime (N >= 20). hidden: share with
    confounders (N >=
    10). uneven: share in which regimes have fewer rows than the observational data. standardised:
    share in which variables come in other units.
    """

    sizes: tuple[tuple[int, int], ...]
    densities: tuple[int, ...] = (1, 2)
    mechanisms: tuple[str, ...] = ("linear", "nn", "nn_add")
    graphs: tuple[str, ...] = ("er", "er", "sf")
    interventions: tuple[str, ...] = ("hard-uniform", "hard-normal", "soft-scale", "soft-shift")
    protocols: tuple[str, ...] = ("clean", "dcdi")
    rows: tuple[tuple[int, int], ...] = ((50, 1000),)
    factors: tuple[tuple[float, float], ...] = ((1.5, 6.0),)
    many: float = 0.0
    hidden: float = 0.0
    uneven: float = 0.0
    standardised: float = 0.0
    regimes: tuple[int, int] = (1, 16)

    def __post_init__(self) -> None:
        held = set(self.mechanisms) & set(HELD_OUT_MECHANISMS)
        if held:
            raise ValueError(f"{sorted(held)} are held out from training")

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Example:
    """A training dataset: what a method sees, and the answers. targets: (R, N) bool. adjacency: (N,
    N) bool."""

    task: Task
    targets: np.ndarray
    adjacency: np.ndarray
    graph_known: bool
    recipe: Recipe


def batch(laws: Laws, seed: int, step: int, *, cells: int, most: int = 64) -> list[Example]:
    """The training batch of a step: datasets of equal N and R, about `cells` = B R N^2 grid cells
    and at most `most` datasets.

    A pure function of its arguments, so that training resumes where it stopped.
    """
    rng = generator("training batch", laws.plain(), seed, step)
    low, high = laws.sizes[rng.integers(len(laws.sizes))]
    n = log_uniform(rng, low, high)
    fewest, largest = laws.regimes
    most_regimes = max(min(largest, cells // n**2), fewest)
    regimes = log_uniform(rng, fewest, most_regimes)
    datasets = int(np.clip(cells // (regimes * n**2), 1, most))
    return [example(laws, rng, n, regimes, (seed, step, i)) for i in range(datasets)]


def example(
    laws: Laws, rng: np.random.Generator, n: int, regimes: int, index: tuple[int, ...]
) -> Example:
    """One dataset of N variables and R regimes."""
    recipe = draw_recipe(laws, rng, n, regimes, index)
    kept = sorted(rng.permutation(recipe.n_dataset_regimes)[:regimes])
    simulation = _simulated(recipe)
    whole = task(simulation)
    rows = np.full(regimes, recipe.rows)
    if rng.random() < laws.uneven:
        rows = np.maximum(
            (recipe.rows * rng.uniform(0.1, 1, regimes)).astype(int), min(30, recipe.rows)
        )
    observed = simulation.observed
    return Example(
        task=replace(
            whole,
            regimes=[whole.regimes[r][:m] for r, m in zip(kept, rows, strict=True)],
            candidates=np.ones((regimes, n), bool),
        ),
        targets=simulation.targets[kept][:, observed],
        adjacency=simulation.adjacency[np.ix_(observed, observed)],
        graph_known=simulation.recipe.n_hidden == 0,
        recipe=simulation.recipe,
    )


def graphs(
    laws: Laws, seed: int, step: int, *, cells: int, most: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Observational samples (rows, N) float32 and graphs (N, N) bool, `[i, j]` the edge i -> j, of
    one N: about `cells` = B N^2 grid cells and at most `most` datasets. A pure function of its
    arguments."""
    rng = generator("training graphs", laws.plain(), seed, step)
    low, high = laws.sizes[rng.integers(len(laws.sizes))]
    n = log_uniform(rng, low, high)
    found = []
    for i in range(int(np.clip(cells // n**2, 1, most))):
        recipe = draw_recipe(laws, rng, n, 1, ("graphs", seed, step, i))
        simulation = simulate(replace(recipe, target_counts=(1,), regimes_per_count=1))
        found.append((task(simulation).observational, simulation.adjacency))
    return found


def draw_recipe(
    laws: Laws, rng: np.random.Generator, n: int, regimes: int, index: tuple[int | str, ...]
) -> Recipe:
    def pick(choices: tuple[Any, ...]) -> Any:
        return choices[rng.integers(len(choices))]

    mechanism, intervention, graph = (
        pick(laws.mechanisms),
        pick(laws.interventions),
        pick(laws.graphs),
    )
    hidden = (
        int(rng.integers(1, 1 + max(1, n // 5))) if n >= 10 and rng.random() < laws.hidden else 0
    )
    counts = (1, 2, 3) if n >= 6 else (1, 2) if n >= 4 else (1,)
    if n >= 20 and rng.random() < laws.many:
        counts = (1, 5, 10)
    nodes = n + hidden
    density = pick(tuple(d for d in laws.densities if d <= max(1, (nodes - 1) // 2)))
    factor = {"soft-scale": pick(laws.factors), "soft-shift": pick((SHIFT_RANGE, (0.2, 2.0)))}.get(
        intervention, (1.0, 1.0)
    )
    return Recipe(
        seed=("training", *map(str, index)),
        n_variables=n,
        n_hidden=hidden,
        n_edges=density * nodes if graph == "sf" or nodes > 4 else nodes - 1,
        graph=graph,
        mechanism=mechanism,
        intervention=intervention,
        factor=factor,
        rows=log_uniform(rng, *pick(laws.rows)),
        target_counts=counts,
        regimes_per_count=-(-regimes // len(counts)),
        protocol=pick(laws.protocols),
        standardise=pick(("obs", "each")) if rng.random() < laws.standardised else "none",
    )


def _simulated(recipe: Recipe) -> Simulation:
    """The simulation, or the one without hidden nodes where the graph has too few confounders."""
    try:
        return simulate(recipe)
    except ValueError:
        return simulate(
            replace(
                recipe,
                n_hidden=0,
                n_edges=recipe.n_edges
                // (recipe.n_variables + recipe.n_hidden)
                * recipe.n_variables,
            )
        )


def log_uniform(rng: np.random.Generator, low: float, high: float) -> int:
    """A whole number from `low` to `high`, whose logarithm is uniform."""
    return int(round(float(np.exp(rng.uniform(np.log(low), np.log(high))))))
