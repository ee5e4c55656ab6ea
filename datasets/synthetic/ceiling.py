"""The ceiling: a likelihood-ratio oracle that knows the graph, the mechanisms and all laws, but not
the targets.

    s_i = log int p(x_i | pa_i; theta) pi_1(d theta) - log int p(x_i | pa_i; theta) pi_0(d theta)

for each regime, over its rows. pi_0 is the protocol's null law of the noise: under `clean` the
variance of node i is known, under `dcdi` it is uniform on [0.16, 0.32] and new in each regime. pi_1
is the declared law of the intervention's parameter, times pi_0 where the noise remains. By Neyman
and Pearson, no other score orders the nodes of one regime better. Regimes are judged one by one:
that a node keeps its parameter throughout a dataset is not used. It is not a method, since no
method sees the truth.

Gaussian likelihoods depend on the samples through a few sums per regime and node (`_Sums`). Laplace
likelihoods do not, and are summed row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cdnbench.datasets.synthetic.generate import NOISE_VARIANCE, ROOT_BOUND, Simulation
from cdnbench.datasets.synthetic.interventions import parameter_law
from cdnbench.datasets.synthetic.likelihoods import (
    log_gaussian,
    log_gaussian_mixture,
    log_laplace,
    log_scaled_uniform,
    log_shifted_uniform,
    log_uniform,
)
from cdnbench.datasets.synthetic.quadrature import log_integral
from cdnbench.datasets.synthetic.recipe import Recipe

CERTAIN = 1e12
"""Stands for an infinite log ratio (samples that are impossible under one of the two laws): scores
must be finite."""


def has_ceiling(recipe: Recipe) -> bool:
    """Hidden parents and noise inside a network leave no closed density; standardising each data
    set loses what the laws are about. (Standardising by the observational data is a change of units
    that is common to all, and harmless.)
    """
    return not recipe.n_hidden and recipe.mechanism != "nn" and recipe.standardise != "each"


def ceiling_scores(simulation: Simulation) -> np.ndarray | None:
    """(R, V) float64, finite, or None where `has_ceiling` is False."""
    if not has_ceiling(simulation.recipe):
        return None
    roots = simulation.roots
    scores = np.empty(simulation.targets.T.shape)
    scores[roots] = _root_scores(simulation, roots)
    scores[~roots] = _child_scores(simulation, ~roots)
    return np.clip(scores.T, -CERTAIN, CERTAIN)


def _ratio(alternative: np.ndarray, null: np.ndarray) -> np.ndarray:
    """alternative - null, 0 where both are impossible."""
    both = np.isneginf(alternative) & np.isneginf(null)
    with np.errstate(invalid="ignore"):
        return np.where(both, 0.0, alternative - null)


def _root_scores(simulation: Simulation, roots: np.ndarray) -> np.ndarray:
    """(roots, R): roots are uniform, so that their extremes are all there is to know; all integrals
    are closed."""
    recipe = simulation.recipe
    x = simulation.samples[roots, 1:]
    n = x.shape[2]
    smallest, largest = x.min(2), x.max(2)
    size = np.maximum(-smallest, largest)
    bound = ROOT_BOUND[recipe.protocol]
    law = parameter_law(recipe.intervention, recipe.factor)
    null = log_uniform(size, n, bound)
    match recipe.intervention:
        case "hard-uniform":
            alternative = log_uniform(size, n, 1.0)
        case "hard-normal":
            alternative = log_gaussian((x**2).sum(2), n, 1.0)
        case "soft-scale" | "variance":
            alternative = log_scaled_uniform(size, n, bound, law)
        case "soft-shift":
            alternative = log_shifted_uniform(smallest, largest, n, bound, law)
        case "reweight":  # roots are never targets
            alternative = np.full(size.shape, -np.inf)
        case other:
            raise ValueError(f"no ceiling for {other!r}")
    return _ratio(alternative, null)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Over the rows of each node and regime, (nodes, R): e noise as the null law has it, f effect
    of the parents, all divided by the heteroscedastic scale h where there is one. log_h is the sum
    of log h.
    """

    n: int
    ee: np.ndarray
    ef: np.ndarray
    ff: np.ndarray
    e1: np.ndarray
    one: np.ndarray
    log_h: np.ndarray | float

    @classmethod
    def of(cls, e: np.ndarray, f: np.ndarray, h: np.ndarray | None) -> _Sums:
        total = lambda a, b: np.einsum("vrm,vrm->vr", a, b)  # noqa: E731
        if h is None:
            n_rows = np.full(e.shape[:2], float(e.shape[2]))
            return cls(e.shape[2], total(e, e), total(e, f), total(f, f), e.sum(2), n_rows, 0.0)
        e, f, g = e / h, f / h, 1 / h
        return cls(
            e.shape[2],
            total(e, e),
            total(e, f),
            total(f, f),
            total(e, g),
            total(g, g),
            np.log(h).sum(2),
        )

    def reweighted(self, c: np.ndarray) -> np.ndarray:
        """Sum of (x - c f)^2 = (e + (1 - c) f)^2. Never negative, though rounding might make it
        so."""
        return np.maximum(self.ee + 2 * (1 - c) * self.ef + (1 - c) ** 2 * self.ff, 0)

    def shifted(self, d: np.ndarray) -> np.ndarray:
        """Sum of (e - d)^2."""
        return np.maximum(self.ee - 2 * d * self.e1 + d**2 * self.one, 0)


def _child_scores(simulation: Simulation, nodes: np.ndarray) -> np.ndarray:
    """(nodes, R) for nodes with parents."""
    recipe = simulation.recipe
    x, f = simulation.samples[nodes, 1:], simulation.effects[nodes, 1:]
    e = x - f
    n = e.shape[2]
    variance = simulation.noise_variance[nodes, 1:]
    h = None if simulation.noise_scale is None else simulation.noise_scale[nodes, 1:]
    law = parameter_law(recipe.intervention, recipe.factor)

    if recipe.noise == "laplace":
        log_h: np.ndarray | float = 0.0
        null, density = _laplace(e, f, variance, recipe.intervention)
    else:
        sums = _Sums.of(e, f, h)
        log_h = sums.log_h
        null, density = _gaussian(sums, variance, recipe)

    match recipe.intervention:
        case "hard-uniform":
            alternative = log_uniform(np.abs(x).max(2), n, 1.0) + log_h
        case "hard-normal":
            alternative = log_gaussian((x**2).sum(2), n, 1.0) + log_h
        case _:
            alternative = log_integral(density, law, null.shape)
    return _ratio(alternative, null)


Density = Callable[[np.ndarray], np.ndarray]


def _gaussian(sums: _Sums, variance: np.ndarray, recipe: Recipe) -> tuple[np.ndarray, Density]:
    """Null log density (up to -sums.log_h, which the soft laws share) and the log density given the
    parameter."""
    n = sums.n

    def noise(sum_of_squares: np.ndarray) -> np.ndarray:
        if recipe.protocol == "dcdi":
            return log_gaussian_mixture(sum_of_squares, n, *NOISE_VARIANCE)
        return log_gaussian(sum_of_squares, n, variance)

    def density(theta: np.ndarray) -> np.ndarray:
        match recipe.intervention:
            case "soft-scale":
                return noise(sums.reweighted(theta) / theta**2) - n * np.log(theta)
            case "variance":
                return noise(sums.ee / theta**2) - n * np.log(theta)
            case "reweight":
                return noise(sums.reweighted(theta))
            case "soft-shift":
                return noise(sums.shifted(theta))
        raise ValueError(f"no ceiling for {recipe.intervention!r}")

    return noise(sums.ee), density


def _laplace(
    e: np.ndarray, f: np.ndarray, variance: np.ndarray, intervention: str
) -> tuple[np.ndarray, Density]:
    """The same for Laplace noise; one pass over the rows for each value of the parameter."""
    n = e.shape[2]
    size = np.abs(e).sum(2)

    def sizes(residual: Callable[[np.ndarray], np.ndarray], theta: np.ndarray) -> np.ndarray:
        return np.stack([np.abs(residual(value[:, :, None])).sum(2) for value in theta])

    def density(theta: np.ndarray) -> np.ndarray:
        match intervention:
            case "soft-scale":
                scaled = sizes(lambda c: e + (1 - c) * f, theta) / theta
                return log_laplace(scaled, n, variance) - n * np.log(theta)
            case "variance":
                return log_laplace(size / theta, n, variance) - n * np.log(theta)
            case "reweight":
                return log_laplace(sizes(lambda c: e + (1 - c) * f, theta), n, variance)
            case "soft-shift":
                return log_laplace(sizes(lambda d: e - d, theta), n, variance)
        raise ValueError(f"no ceiling for {intervention!r}")

    return log_laplace(size, n, variance), density
