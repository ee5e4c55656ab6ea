"""Stein variational gradient descent with an additive kernel, RMSprop, and the loop over its
steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cdnbench.methods.bacadi.likelihood import Likelihood
from cdnbench.methods.bacadi.posterior import GAMMA_VARIANCE, Noise, Particles, Posterior

_DECAY, _EPSILON = 0.9, 1e-8  # of RMSprop


@dataclass(frozen=True)
class Bandwidths:
    """h of exp(-|x - x'|^2 / h) for Z, for theta and the means together, and for gamma."""

    latent: float = 5.0
    theta: float = 500.0
    gamma: float = 5.0


def kernels(particles: Particles, h: Bandwidths) -> tuple[Tensor, Tensor, Tensor]:
    """(D, P, P) kernels of Z, of theta and the means, and of gamma; their sum is the kernel of two
    particles."""
    z, theta, means, gamma = (x.flatten(2) for x in particles.tensors())
    return (
        (-_squared_distances(z) / h.latent).exp(),
        (-_squared_distances(torch.cat([theta, means], dim=2)) / h.theta).exp(),
        (-_squared_distances(gamma) / h.gamma).exp(),
    )


def stein_direction(particles: Particles, gradients: Particles, h: Bandwidths) -> Particles:
    """phi(x) = mean over particles x' of k(x', x) grad log p(x') + d/dx' k(x', x): the direction of
    ascent."""
    k_z, k_theta, k_gamma = kernels(particles, h)
    total = k_z + k_theta + k_gamma
    n = total.shape[1]
    own = ((k_z, h.latent), (k_theta, h.theta), (k_theta, h.theta), (k_gamma, h.gamma))
    found = []
    for x, gradient, (k, bandwidth) in zip(
        particles.tensors(), gradients.tensors(), own, strict=True
    ):
        flat = x.flatten(2)
        repulsion = 2 / bandwidth * (k.sum(2, keepdim=True) * flat - k @ flat)
        found.append(((total @ gradient.flatten(2) + repulsion) / n).view(x.shape))
    return Particles(*found)


def _squared_distances(x: Tensor) -> Tensor:
    """(D, P, P) squared Euclidean distances of x (D, P, F)."""
    products = x @ x.mT
    squares = products.diagonal(dim1=1, dim2=2)
    return squares[:, :, None] + squares[:, None, :] - 2 * products


@dataclass
class RMSprop:
    """x + step_size phi / sqrt(running mean of phi^2 + epsilon)."""

    step_size: float = 0.005
    squares: list[Tensor] = field(default_factory=list)

    def ascend(self, particles: Particles, direction: Particles) -> Particles:
        """The particles after one step; the running means change in place."""
        steps = direction.tensors()
        self.squares = self.squares or [torch.zeros_like(x) for x in steps]
        for square, step in zip(self.squares, steps, strict=True):
            square.mul_(_DECAY).addcmul_(step, step, value=1 - _DECAY)
        return Particles(
            *(
                x + self.step_size * step / (square + _EPSILON).sqrt()
                for x, step, square in zip(particles.tensors(), steps, self.squares, strict=True)
            )
        )


class Draws:
    """The random numbers of each data set.

    Every data set has a stream of its own, whatever stands beside it in the batch.
    """

    def __init__(self, generators: Sequence[np.random.Generator], device: str = "cpu") -> None:
        self._generators, self._device = generators, device
        seeds = [int(g.integers(2**63)) for g in generators]
        if device == "cpu":
            self._bits = [np.random.SFC64(seed) for seed in seeds]
        else:
            self._bits = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def particles(self, likelihood: Likelihood, n_particles: int, n_regimes: int) -> Particles:
        """The particles at the start: Z and gamma from their Gaussian priors, the means N(0, .1),
        theta by the likelihood."""
        p, n = n_particles, likelihood.n_variables
        parts: list[list[np.ndarray]] = [[], [], [], []]
        for generator in self._generators:
            parts[0].append(generator.standard_normal((p, n, n, 2)) / math.sqrt(n))
            parts[1].append(likelihood.initial(generator, p))
            parts[2].append(math.sqrt(0.1) * generator.standard_normal((p, n_regimes, n)))
            parts[3].append(
                math.sqrt(GAMMA_VARIANCE) * generator.standard_normal((p, n_regimes, n))
            )
        return Particles(*(torch.as_tensor(np.stack(part), device=self._device) for part in parts))

    def noise(self, particles: Particles, n_samples: int, n_prior_samples: int) -> Noise:
        """The noise of one step."""
        p, r, n = particles.gamma.shape[1:]
        shapes = [
            (n, n, p, n_samples),
            (r, n, p, n_samples),
            (p, n_prior_samples, n, n),
            (r, n, p, n_prior_samples),
        ]
        sizes = [
            -(-math.prod(shape) // 4) * 4 for shape in shapes
        ]  # a 64-bit draw holds four words
        words = torch.stack([self._words(bits, sum(sizes)) for bits in self._bits])
        parts = [
            x[:, : math.prod(shape)]
            for x, shape in zip(words.split(sizes, dim=1), shapes, strict=True)
        ]
        return Noise(*(x.reshape(-1, *shape) for x, shape in zip(parts, shapes, strict=True)))

    def _words(self, bits, n: int) -> Tensor:
        if isinstance(bits, torch.Generator):
            draws = torch.empty(n // 4, dtype=torch.int64, device=self._device)
            return draws.random_(-(2**63), None, generator=bits).view(torch.int16)
        return torch.from_numpy(bits.random_raw(n // 4).view(np.int16))


@dataclass(frozen=True)
class Fit:
    """particles: after the last step. earlier: (D, P, R, N) gamma at nine tenths of the steps.
    failed_at: for each data set, the first step after which a number was not finite, or -1.
    """

    particles: Particles
    earlier: Tensor
    failed_at: list[int]


def fit(
    posterior: Posterior,
    draws: Draws,
    *,
    n_regimes: int,
    n_particles: int = 20,
    n_steps: int = 2000,
    n_grad_samples: int = 128,
    n_acyclicity_samples: int = 32,
    step_size: float = 0.005,
    bandwidths: Bandwidths = Bandwidths(),
) -> Fit:
    """Move the particles of every data set for `n_steps` steps."""
    particles = draws.particles(posterior.likelihood, n_particles, n_regimes)
    optimiser = RMSprop(step_size)
    failed_at = torch.full((len(particles.z),), -1, device=particles.z.device)
    earlier = particles.gamma
    for t in range(n_steps):
        noise = draws.noise(particles, n_grad_samples, n_acyclicity_samples)
        gradients = posterior.gradients(particles, t, noise)
        particles = optimiser.ascend(particles, stein_direction(particles, gradients, bandwidths))
        finite = torch.stack([x.flatten(1).sum(1) for x in particles.tensors()]).sum(0).isfinite()
        failed_at = torch.where((failed_at < 0) & ~finite, t, failed_at)
        if t + 1 == math.floor(0.9 * n_steps):
            earlier = particles.gamma
    return Fit(particles, earlier, failed_at.tolist())
