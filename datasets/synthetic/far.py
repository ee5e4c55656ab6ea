"""`synthetic-far`: laws of measurement, noise and intervention that no training data here has.

Samples of the suites' own graphs and mechanisms, with three factors of other families, all ours:

    noise         exponential  +-(Exp(1) - 1), one sign a node: one hard edge, one long tail
                  two-sided    0.9 s + sqrt(0.19) N(0, 1), s = +-1: two modes
    intervention  truncate     min(x, q) or max(x, q), q a quantile of the node's own observational
                               values at a level in [0.5, 0.9], from either side: a valve, a quota
                  decouple     one of the node's own observational values, drawn at random: what it
                               is looks as before, what it followed it follows no more; targets
                               have parents
    marginal      gap          z + 1.5 sign(z): a switch between two states
                  u-shaped     the quantile of Beta(0.4, 0.4) at Phi(z): proportions near 0 and 1

z is a variable in units of its observational mean and standard deviation. Noise has the variance of
the other suites, uniform on [0.16, 0.32], and roots are noise of variance 4/3. There is no ceiling:
the density of a decoupled node has no closed form.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from typing import Any, ClassVar

import numpy as np

from cdnbench.datasets.synthetic.draws import (
    between,
    exponential,
    normal,
    permutation,
    subset,
    uniforms,
)
from cdnbench.datasets.synthetic.generate import NOISE_VARIANCE
from cdnbench.datasets.synthetic.graphs import erdos_renyi, topological_order
from cdnbench.datasets.synthetic.mechanisms import MECHANISMS
from cdnbench.datasets.synthetic.options import TRAINING
from cdnbench.datasets.synthetic.sortability import r2_sortability, varsortability
from cdnbench.datasets.synthetic.training_sets import WithTraining
from cdnbench.digest import digest, generator
from cdnbench.suite import SuiteInfo, TaskSpec
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

NOISE = ("exponential", "two-sided")
INTERVENTIONS = ("truncate", "decouple")
MARGINALS = ("gap", "u-shaped")
_FARTHEST = 5.0
"""z is clipped here before Phi, which is 1 in float64 a little beyond."""


@dataclass(frozen=True, kw_only=True)
class FarRecipe:
    """One dataset. seed: name of the family of random streams. Raise `version` whenever the same
    recipe would give other data."""

    n_variables: int
    mechanism: str
    noise: str
    intervention: str
    marginal: str
    index: int
    n_edges: int
    rows: int = 500
    target_counts: tuple[int, ...] = (1, 2, 3)
    regimes_per_count: int = 10
    seed: tuple[str, ...] = ("synthetic-far",)
    version: int = 1

    @property
    def name(self) -> str:
        parts = ("far", f"n{self.n_variables}", f"e{self.n_edges}", self.mechanism)
        return "-".join((*parts, self.intervention, self.noise, self.marginal, str(self.index)))

    @property
    def hash(self) -> str:
        return digest(asdict(self))

    def stream(self, purpose: str) -> np.random.Generator:
        return generator("synthetic-far", asdict(self), purpose)

    def metadata(self) -> dict[str, Any]:
        return {
            "dataset": self.name,
            "protocol": "clean",
            "n_nodes": self.n_variables,
            "n_edges": self.n_edges,
            "graph": "er",
            "mechanism": self.mechanism,
            "intervention": self.intervention,
            "noise": self.noise,
            "marginal": self.marginal,
            "rows": self.rows,
            "index": self.index,
        }


@dataclass(frozen=True, eq=False)
class FarSimulation:
    """adjacency: (N, N) bool, [i, j] is the edge i -> j. targets: (R, N) bool. states: (N, D, M),
    before they are measured. measured: (N, D, M)."""

    adjacency: np.ndarray
    targets: np.ndarray
    states: np.ndarray
    measured: np.ndarray


def simulate(recipe: FarRecipe) -> FarSimulation:
    """Draw the dataset of a recipe."""
    n = recipe.n_variables
    adjacency = erdos_renyi(recipe.stream("graph"), n, recipe.n_edges)
    targets = _targets(recipe, adjacency)
    sets = len(targets) + 1
    samples = recipe.stream("samples")
    variance = between(uniforms(samples, n), *NOISE_VARIANCE)
    mirrored = uniforms(samples, n) < 0.5
    level = between(uniforms(samples, n), 0.5, 0.9)
    from_below = uniforms(samples, n) < 0.5
    mechanisms = recipe.stream("mechanisms")
    states = np.empty((n, sets, recipe.rows))
    for node in topological_order(adjacency):
        parents = np.flatnonzero(adjacency[:, node])
        e = _standard_noise(recipe.noise, samples, sets, recipe.rows)
        e = -e if mirrored[node] else e
        if len(parents):
            mechanism = MECHANISMS[recipe.mechanism].draw(mechanisms, len(parents))
            inputs = states[parents].reshape(len(parents), -1)
            effect = mechanism(inputs, np.zeros(inputs.shape[1])).reshape(e.shape)
            states[node] = effect + np.sqrt(variance[node]) * e
        else:
            states[node] = np.sqrt(4 / 3) * e
        own = states[node, 0]
        again = uniforms(samples, sets, recipe.rows)
        for d in 1 + np.flatnonzero(targets[:, node]):
            if recipe.intervention == "decouple":
                states[node, d] = own[(again[d] * len(own)).astype(int)]
            elif from_below[node]:
                states[node, d] = np.maximum(states[node, d], np.quantile(own, 1 - level[node]))
            else:
                states[node, d] = np.minimum(states[node, d], np.quantile(own, level[node]))
    return FarSimulation(adjacency, targets, states, _measured(recipe.marginal, states))


def _targets(recipe: FarRecipe, adjacency: np.ndarray) -> np.ndarray:
    """(R, N) bool, in random order. What is decoupled has parents."""
    stream = recipe.stream("targets")
    nodes = np.arange(recipe.n_variables)
    eligible = nodes[adjacency.any(0)] if recipe.intervention == "decouple" else nodes
    counts = np.repeat(recipe.target_counts, recipe.regimes_per_count)
    targets = np.zeros((len(counts), len(nodes)), bool)
    for regime, count in zip(permutation(stream, len(counts)), counts, strict=True):
        targets[regime, subset(stream, eligible, int(count))] = True
    return targets


def _standard_noise(family: str, rng: np.random.Generator, sets: int, rows: int) -> np.ndarray:
    """(sets, rows), mean 0 and variance 1."""
    if family == "exponential":
        return exponential(uniforms(rng, sets, rows), 1.0) - 1
    side, within = uniforms(rng, 2, sets, rows)
    return 0.9 * np.where(side < 0.5, -1.0, 1.0) + np.sqrt(0.19) * normal(within)


def _measured(marginal: str, states: np.ndarray) -> np.ndarray:
    """(N, D, M): states through a monotone map of all variables."""
    from scipy.special import betaincinv, ndtr

    observational = states[:, :1]
    z = (states - observational.mean(2, keepdims=True)) / observational.std(2, keepdims=True)
    if marginal == "gap":
        return z + 1.5 * np.sign(z)
    return betaincinv(0.4, 0.4, ndtr(np.clip(z, -_FARTHEST, _FARTHEST)))


def labelled_task(recipe: FarRecipe) -> LabelledTask:
    """The task of a recipe with its truth."""
    made = simulate(recipe)
    data_sets = np.ascontiguousarray(made.measured.transpose(1, 2, 0), dtype=np.float32)
    return LabelledTask(
        task=Task(
            name=recipe.name,
            variables=[f"X{i}" for i in range(recipe.n_variables)],
            observational=data_sets[0],
            regimes=list(data_sets[1:]),
        ),
        targets=made.targets,
        detectable=np.ones_like(made.targets),
        facts={
            "varsortability": varsortability(data_sets[0], made.adjacency),
            "r2_sortability": r2_sortability(data_sets[0], made.adjacency),
        },
    )


class SyntheticFar(WithTraining):
    """N = 10, 20 and E = 2 N; a familiar mechanism and one that training does not have."""

    info: ClassVar[SuiteInfo] = SuiteInfo(
        name="synthetic-far",
        summary="marginals, noise and interventions of families that no training data here has: "
        "64 datasets",
        setting=("n_nodes", "n_edges", "mechanism", "intervention", "noise", "marginal"),
        options=TRAINING,
    )
    n_datasets: ClassVar[int] = 2

    def recipes(self) -> Iterator[FarRecipe]:
        for index, n, mechanism, intervention, noise, marginal in product(
            range(self.n_datasets), (10, 20), ("linear", "fourier"), INTERVENTIONS, NOISE, MARGINALS
        ):
            yield FarRecipe(
                n_variables=n,
                n_edges=2 * n,
                mechanism=mechanism,
                noise=noise,
                intervention=intervention,
                marginal=marginal,
                index=index,
            )

    @cached_property
    def _specs(self) -> list[TaskSpec]:
        return [
            TaskSpec(
                name=recipe.name,
                hash=recipe.hash,
                n_variables=recipe.n_variables,
                n_regimes=len(recipe.target_counts) * recipe.regimes_per_count,
                n_samples=recipe.rows,
                metadata=recipe.metadata(),
                recipe=recipe,
                origin=digest("synthetic", recipe.hash),
            )
            for recipe in self.recipes()
        ]

    def specs(self) -> Sequence[TaskSpec]:
        return self._specs

    def load_test(self, spec: TaskSpec) -> LabelledTask:
        return labelled_task(spec.recipe)
