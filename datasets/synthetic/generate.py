"""Recipe -> simulation: the samples of a dataset with its whole truth. `tasks` turns it into what
methods see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cdnbench.datasets.synthetic.draws import (
    between,
    laplace,
    normal,
    permutation,
    signed_between,
    subset,
    uniforms,
)
from cdnbench.datasets.synthetic.graphs import GRAPHS, topological_order
from cdnbench.datasets.synthetic.interventions import (
    draw_parameters,
    intervene,
    may_be_targets,
    parameter_law,
)
from cdnbench.datasets.synthetic.mechanisms import MECHANISMS
from cdnbench.datasets.synthetic.recipe import Recipe

ROOT_BOUND = {"clean": 2.0, "dcdi": 1.0}
"""Roots are uniform on [-bound, bound]."""

NOISE_VARIANCE = (0.16, 0.32)
"""Noise is 0.4 sqrt(1 + U(0, 1)) times a variable of variance 1: its variance is uniform on this
interval."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Simulation:
    """A dataset with its truth. V = N + H nodes, observed and hidden; D = R + 1 data sets, the
    observational one first; M rows.

    adjacency: (V, V) bool, [i, j] is the edge i -> j. observed: (N,) node of each variable.
    targets: (R, V) bool. parameters: (V,) the c or d of each node as a target.
    samples: (V, D, M). effects: (V, D, M), what the mechanisms make of the parents, 0 for roots.
    noise_variance: (V, D), of the noise of nodes with parents. noise_scale: (V, D, M) or None;
        heteroscedastic noise is sqrt(noise_variance) * noise_scale * N(0, 1), and the scale depends
        on the parents.
    """

    recipe: Recipe
    adjacency: np.ndarray
    observed: np.ndarray
    targets: np.ndarray
    parameters: np.ndarray
    samples: np.ndarray
    effects: np.ndarray
    noise_variance: np.ndarray
    noise_scale: np.ndarray | None = None

    @property
    def roots(self) -> np.ndarray:
        """(V,) bool."""
        return self.adjacency.sum(0) == 0


def simulate(recipe: Recipe) -> Simulation:
    """Draw the joint dataset of a recipe, in raw units."""
    recipe = recipe.joint
    n_nodes = recipe.n_variables + recipe.n_hidden
    adjacency = GRAPHS[recipe.graph](recipe.stream("graph"), n_nodes, recipe.n_edges)
    observed = _observed(recipe, adjacency)
    targets = _targets(recipe, adjacency, observed)
    law = parameter_law(recipe.intervention, recipe.factor)
    parameters = draw_parameters(recipe.stream("parameters"), law, n_nodes)

    n_sets = recipe.n_dataset_regimes + 1
    stream = recipe.stream("samples", protocol=True)
    # Under `dcdi` every call of the generator draws a new variance, so every data set has its own;
    # under `clean` each node has one.
    variance_draws = uniforms(stream, n_nodes, n_sets if recipe.protocol == "dcdi" else 1)
    noise_variance = np.broadcast_to(between(variance_draws, *NOISE_VARIANCE), (n_nodes, n_sets))
    draws = uniforms(stream, n_nodes, n_sets, recipe.rows)

    mechanism_stream, scale_stream = recipe.stream("mechanisms"), recipe.stream("noise scale")
    samples, effects = np.empty_like(draws), np.zeros_like(draws)
    heteroscedastic = recipe.noise == "heteroscedastic"
    noise_scale = np.ones_like(draws) if heteroscedastic else None
    bound = ROOT_BOUND[recipe.protocol]
    standard_noise = laplace if recipe.noise == "laplace" else normal
    for node in topological_order(adjacency):
        parents = np.flatnonzero(adjacency[:, node])
        if len(parents):
            mechanism = MECHANISMS[recipe.mechanism].draw(mechanism_stream, len(parents))
            noise = standard_noise(draws[node]) * np.sqrt(noise_variance[node])[:, None]
            inputs = samples[parents].reshape(len(parents), -1)
            if noise_scale is not None:
                noise_scale[node] = _noise_scale(scale_stream, inputs).reshape(noise.shape)
                noise *= noise_scale[node]
            effects[node] = mechanism(inputs, noise.ravel()).reshape(noise.shape)
            if mechanism.noise_inside:
                noise[:] = 0
        else:
            noise = bound * (2 * draws[node] - 1)
        samples[node] = effects[node] + noise
        for d in 1 + np.flatnonzero(targets[:, node]):
            samples[node, d] = intervene(
                recipe.intervention,
                float(parameters[node]),
                effects[node, d],
                noise[d],
                draws[node, d],
            )
    return Simulation(
        recipe=recipe,
        adjacency=adjacency,
        observed=observed,
        targets=targets,
        parameters=parameters,
        samples=samples,
        effects=effects,
        noise_variance=noise_variance,
        noise_scale=noise_scale,
    )


def _observed(recipe: Recipe, adjacency: np.ndarray) -> np.ndarray:
    """(N,) nodes that are not hidden. Hidden ones are drawn among the nodes with two children or
    more: confounders."""
    nodes = np.arange(len(adjacency))
    if not recipe.n_hidden:
        return nodes
    stream = recipe.stream("hidden")
    n_children = adjacency.sum(1)
    confounders = subset(stream, nodes[n_children >= 2], recipe.n_hidden)
    if len(confounders) < recipe.n_hidden:
        raise ValueError(f"{recipe.dataset}: fewer than {recipe.n_hidden} nodes have two children")
    return np.setdiff1d(nodes, confounders)


def _targets(recipe: Recipe, adjacency: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(R, V) bool: target sets drawn uniformly and independently for each regime, the regimes in
    random order."""
    stream = recipe.stream("targets")
    eligible = observed[may_be_targets(recipe.intervention, adjacency)[observed]]
    counts = np.repeat(recipe.target_counts, recipe.regimes_per_count)
    if len(eligible) < max(counts):
        raise ValueError(
            f"{recipe.dataset}: {len(eligible)} variables can be targets, {max(counts)} are wanted"
        )
    targets = np.zeros((len(counts), len(adjacency)), bool)
    for regime, count in zip(permutation(stream, len(counts)), counts, strict=True):
        targets[regime, subset(stream, eligible, count)] = True
    return targets


def _noise_scale(rng: np.random.Generator, parents: np.ndarray) -> np.ndarray:
    """(rows,) in (0.5, 1.5): 0.5 + logistic(w . x / sqrt(n_parents)), w = +-U(0.5, 1.5)."""
    n_parents = len(parents)
    weights = signed_between(uniforms(rng, n_parents), 0.5, 1.5) / np.sqrt(n_parents)
    return 0.5 + 1 / (1 + np.exp(-weights @ parents))
