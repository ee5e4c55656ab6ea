"""Causal mechanisms: how the value of a node follows from those of its parents. There is one class
per mechanism; `draw` makes a random one.

`mechanism(parents)` maps (n_parents, rows) to the effect (rows,), to which the noise is then added.
Only `NeuralNetwork` takes the noise as an input of its own (`noise_inside`): the density of its
node given the parents has no closed form.

linear, polynomial, sigmoid, nn and nn_add are the mechanisms of the DCDI generator (Brouillard et
al. 2020, appendix C) with the constants that the CDN paper inherits; fourier and sigmix are ours,
for the out-of-distribution suite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.datasets.synthetic.draws import between, exponential, normal, signed_between, uniforms


@dataclass(frozen=True, eq=False)
class Linear:
    """sum_j w_j x_j, w = +-U(0.25, 1)."""

    weights: np.ndarray
    noise_inside: ClassVar[bool] = False

    @classmethod
    def draw(cls, rng: np.random.Generator, n_parents: int) -> Linear:
        return cls(signed_between(uniforms(rng, n_parents), 0.25, 1))

    def __call__(self, parents: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.weights @ parents


@dataclass(frozen=True, eq=False)
class Polynomial:
    """sum_j clip(a_j0 + a_j1 x_j + a_j2 x_j^2, -1, 1), coefficients U(0, 1).

    The stock generator multiplies by the noise half of the time; here it is always added.
    """

    coefficients: np.ndarray  # (n_parents, 3), constant first
    noise_inside: ClassVar[bool] = False

    @classmethod
    def draw(cls, rng: np.random.Generator, n_parents: int) -> Polynomial:
        return cls(uniforms(rng, n_parents, 3))

    def __call__(self, parents: np.ndarray, noise: np.ndarray) -> np.ndarray:
        constant, slope, curvature = self.coefficients.T[:, :, None]
        return np.clip((curvature * parents + slope) * parents + constant, -1, 1).sum(0)


def _squash(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.abs(x))


@dataclass(frozen=True, eq=False)
class Sigmoid:
    """a sum_j s(b (x_j + c)), s(x) = x / (1 + |x|), with one a = 1 + Exp(mean 1/4), b = +-U(0.5, 2)
    and c = U(-2, 2) per node."""

    a: float
    b: float
    c: float
    noise_inside: ClassVar[bool] = False

    @classmethod
    def draw(cls, rng: np.random.Generator, n_parents: int) -> Sigmoid:
        u = uniforms(rng, 3)
        return cls(
            1 + float(exponential(u[0], 0.25)),
            float(signed_between(u[1], 0.5, 2)),
            float(between(u[2], -2, 2)),
        )

    def __call__(self, parents: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.a * _squash(self.b * (parents + self.c)).sum(0)


@dataclass(frozen=True, eq=False)
class SigmoidMix:
    """sum_j a_j s_j + sum_j g_j s_j s_j+1 with s_j = s(b_j (x_j + c_j)): a sigmoid of its own for
    each parent, and gates g = U(-1, 1) between neighbouring parents. (a, b, c) as in `Sigmoid`,
    drawn for each parent. Ours.
    """

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    gates: np.ndarray  # (n_parents - 1,)
    noise_inside: ClassVar[bool] = False

    @classmethod
    def draw(cls, rng: np.random.Generator, n_parents: int) -> SigmoidMix:
        u = uniforms(rng, 4, n_parents)
        return cls(
            1 + exponential(u[0], 0.25),
            signed_between(u[1], 0.5, 2),
            between(u[2], -2, 2),
            2 * u[3, 1:] - 1,
        )

    def __call__(self, parents: np.ndarray, noise: np.ndarray) -> np.ndarray:
        s = _squash(self.b[:, None] * (parents + self.c[:, None]))
        return self.a @ s + self.gates @ (s[:-1] * s[1:])


@dataclass(frozen=True, eq=False)
class Fourier:
    """sqrt(2 / K) sum_k w_k cos(omega_k . x + phi_k), K = 32: about a draw from a Gaussian process
    with the kernel exp(-|x - x'|^2 / (2 n_parents)) and standard deviation 1 (Rahimi and Recht
    2007). Ours.
    """

    frequencies: np.ndarray  # (K, n_parents)
    phases: np.ndarray  # (K,)
    weights: np.ndarray  # (K,)
    noise_inside: ClassVar[bool] = False
    n_features: ClassVar[int] = 32

    @classmethod
    def draw(cls, rng: np.random.Generator, n_parents: int) -> Fourier:
        k = cls.n_features
        frequencies = normal(uniforms(rng, k, n_parents)) / np.sqrt(n_parents)
        phases = 2 * np.pi * uniforms(rng, k)
        return cls(frequencies, phases, normal(uniforms(rng, k)))

    def __call__(self, parents: np.ndarray, noise: np.ndarray) -> np.ndarray:
        waves = np.cos(self.frequencies @ parents + self.phases[:, None])
        return np.sqrt(2 / self.n_features) * (self.weights @ waves)


def _dense_layer(rng: np.random.Generator, n_out: int, n_in: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights N(0, 1) and biases U(-1, 1) / sqrt(n_in), as the DCDI generator initialises its torch
    layers."""
    return normal(uniforms(rng, n_out, n_in)), (2 * uniforms(rng, n_out, 1) - 1) / np.sqrt(n_in)


@dataclass(frozen=True, eq=False)
class NeuralNetwork:
    """v . tanh(W [x; noise] + b) + d with 20 hidden units. The noise goes in, and is not added."""

    hidden: tuple[np.ndarray, np.ndarray]
    output: tuple[np.ndarray, np.ndarray]
    noise_inside: ClassVar[bool] = True

    @classmethod
    def draw(cls, rng: np.random.Generator, n_parents: int) -> NeuralNetwork:
        return cls(_dense_layer(rng, 20, n_parents + 1), _dense_layer(rng, 1, 20))

    def __call__(self, parents: np.ndarray, noise: np.ndarray) -> np.ndarray:
        (w, b), (v, d) = self.hidden, self.output
        return (v @ np.tanh(w[:, :-1] @ parents + w[:, -1:] * noise + b) + d)[0]


@dataclass(frozen=True, eq=False)
class NeuralNetworkAdditive:
    """v . prelu(W x + b) + d with 10 hidden units, slope 1/4 below zero; the noise is added."""

    hidden: tuple[np.ndarray, np.ndarray]
    output: tuple[np.ndarray, np.ndarray]
    noise_inside: ClassVar[bool] = False

    @classmethod
    def draw(cls, rng: np.random.Generator, n_parents: int) -> NeuralNetworkAdditive:
        return cls(_dense_layer(rng, 10, n_parents), _dense_layer(rng, 1, 10))

    def __call__(self, parents: np.ndarray, noise: np.ndarray) -> np.ndarray:
        (w, b), (v, d) = self.hidden, self.output
        h = w @ parents + b
        return (v @ np.maximum(h, 0.25 * h) + d)[0]


MECHANISMS = {
    "linear": Linear,
    "polynomial": Polynomial,
    "sigmoid": Sigmoid,
    "nn": NeuralNetwork,
    "nn_add": NeuralNetworkAdditive,
    "fourier": Fourier,
    "sigmix": SigmoidMix,
}
