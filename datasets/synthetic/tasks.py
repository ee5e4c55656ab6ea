"""From a simulation to a task, which a method may see, and its truth, which it may not.

A task holds columns named X0, X1, .. in an order without meaning, regimes in random order, equally
many rows in every data set, no metadata, and a name that tells its setting and nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from cdnbench.datasets.synthetic.ceiling import ceiling_scores
from cdnbench.datasets.synthetic.generate import ROOT_BOUND, Simulation, simulate
from cdnbench.datasets.synthetic.recipe import Recipe
from cdnbench.datasets.synthetic.sortability import r2_sortability, varsortability
from cdnbench.task import Task
from cdnbench.truth import LabelledTask


def detectable(simulation: Simulation) -> np.ndarray:
    """(R, V) bool: False at targets whose intervention provably leaves the law of what a method
    sees unchanged."""
    recipe, roots = simulation.recipe, simulation.roots
    traceless = np.zeros(len(roots), bool)
    if recipe.intervention == "hard-uniform" and ROOT_BOUND[recipe.protocol] == 1:
        traceless |= roots  # U(-1, 1) is replaced by U(-1, 1)
    if recipe.standardise == "each":
        if recipe.intervention in ("soft-scale", "soft-shift", "variance"):
            traceless |= roots & ~simulation.adjacency.any(
                1
            )  # a linear map of a variable without neighbours
        if recipe.intervention == "soft-shift" and recipe.mechanism == "linear":
            traceless |= True  # a shift moves means only
    return ~(simulation.targets & traceless)


def task(simulation: Simulation) -> Task:
    """What a method may see."""
    recipe = simulation.recipe
    samples = simulation.samples[simulation.observed]  # (N, D, M)
    if recipe.standardise != "none":
        reference = samples[:, :1] if recipe.standardise == "obs" else samples
        samples = (samples - reference.mean(2, keepdims=True)) / reference.std(2, keepdims=True)
    data_sets = np.ascontiguousarray(samples.transpose(1, 2, 0), dtype=np.float32)
    return Task(
        name=recipe.dataset,
        variables=[f"X{i}" for i in range(recipe.n_variables)],
        observational=data_sets[0],
        regimes=list(data_sets[1:]),
    )


def labelled_task(recipe: Recipe) -> LabelledTask:
    """The task of a recipe with its truth, the ceiling's scores included."""
    whole = _labelled_dataset(recipe.joint)
    if recipe.regime is None:
        return whole
    single = whole.regime(recipe.regime)
    return replace(single, task=replace(single.task, name=recipe.name))


@lru_cache(maxsize=2)  # the single-regime track asks for the same dataset R times in a row
def _labelled_dataset(recipe: Recipe) -> LabelledTask:
    simulation = simulate(recipe)
    visible = task(simulation)
    graph = simulation.adjacency[np.ix_(simulation.observed, simulation.observed)]
    ceiling = ceiling_scores(simulation)
    return LabelledTask(
        task=visible,
        targets=simulation.targets[:, simulation.observed],
        detectable=detectable(simulation)[:, simulation.observed],
        ceiling_scores=None if ceiling is None else ceiling[:, simulation.observed],
        facts={
            "varsortability": varsortability(visible.observational, graph),
            "r2_sortability": r2_sortability(visible.observational, graph),
        },
    )
