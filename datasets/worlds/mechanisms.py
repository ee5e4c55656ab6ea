"""Mechanisms of worlds: how the state of a node follows from the states of its parents.

`draw(rng, gains)` makes a random mechanism with `gains` (P,) > 0, the strength of each edge. Called
on states (P, M) it gives the effect (M,), to which the noise of the node is added. All but `Knee`
and `Network` change by at most `gains @ |change of the parents|`, so that loops of small gain
settle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

_MOST = 30.0
"""Logarithms of states are clipped here before they are exponentiated."""


class Mechanism(Protocol):
    def __call__(self, parents: np.ndarray) -> np.ndarray: ...


def _signed(rng: np.random.Generator, gains: np.ndarray) -> np.ndarray:
    return gains * rng.choice((-1.0, 1.0), len(gains))


@dataclass(frozen=True, eq=False)
class Linear:
    """w . x."""

    weights: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, gains: np.ndarray) -> Linear:
        return cls(_signed(rng, gains))

    def __call__(self, parents: np.ndarray) -> np.ndarray:
        return self.weights @ parents


@dataclass(frozen=True, eq=False)
class Network:
    """v . tanh(W (g x) + b) with 12 hidden units: a smooth function of all parents together."""

    hidden: np.ndarray  # (12, P)
    bias: np.ndarray  # (12, 1)
    out: np.ndarray  # (12,)

    @classmethod
    def draw(cls, rng: np.random.Generator, gains: np.ndarray) -> Network:
        hidden = rng.normal(size=(12, len(gains))) * gains
        return cls(hidden, rng.normal(size=(12, 1)), rng.normal(size=12) / np.sqrt(12))

    def __call__(self, parents: np.ndarray) -> np.ndarray:
        return self.out @ np.tanh(self.hidden @ parents + self.bias)


@dataclass(frozen=True, eq=False)
class Leaky:
    """sum_i w_i r_i(x_i), r_i a ramp that is flatter by `leak` on one side of a corner."""

    weights: np.ndarray
    corner: np.ndarray  # (P, 1)
    leak: np.ndarray  # (P, 1)

    @classmethod
    def draw(cls, rng: np.random.Generator, gains: np.ndarray) -> Leaky:
        shape = (len(gains), 1)
        return cls(_signed(rng, gains), rng.normal(size=shape), rng.uniform(0, 0.6, shape))

    def __call__(self, parents: np.ndarray) -> np.ndarray:
        above = parents - self.corner
        return self.weights @ np.maximum(above, self.leak * above)


@dataclass(frozen=True, eq=False)
class Softplus:
    """sum_i w_i log(1 + exp(b_i (x_i - c_i))) / b_i."""

    weights: np.ndarray
    sharpness: np.ndarray  # (P, 1)
    corner: np.ndarray  # (P, 1)

    @classmethod
    def draw(cls, rng: np.random.Generator, gains: np.ndarray) -> Softplus:
        shape = (len(gains), 1)
        return cls(_signed(rng, gains), rng.uniform(0.7, 4, shape), rng.normal(size=shape))

    def __call__(self, parents: np.ndarray) -> np.ndarray:
        bent = np.logaddexp(0, self.sharpness * (parents - self.corner)) / self.sharpness
        return self.weights @ bent


@dataclass(frozen=True, eq=False)
class Knee:
    """sum_i w_i (x_i + k_i max(x_i - c_i, 0)), w > 0: queues and lines near their capacity.

    Within the usual range the response is about linear; beyond the knee it is 3 to 20 times as
    steep, so that what moves a little upstream moves far more downstream.
    """

    weights: np.ndarray
    steepness: np.ndarray  # (P, 1)
    corner: np.ndarray  # (P, 1)

    @classmethod
    def draw(cls, rng: np.random.Generator, gains: np.ndarray) -> Knee:
        shape = (len(gains), 1)
        return cls(gains, np.exp(rng.uniform(1, 3, shape)), rng.uniform(1.0, 3.5, shape))

    def __call__(self, parents: np.ndarray) -> np.ndarray:
        return self.weights @ (
            parents + self.steepness * np.maximum(np.minimum(parents, 1e3) - self.corner, 0)
        )


@dataclass(frozen=True, eq=False)
class Slowest:
    """max_i (w_i x_i + c_i), w > 0: the slowest of several calls."""

    weights: np.ndarray
    offset: np.ndarray  # (P, 1)

    @classmethod
    def draw(cls, rng: np.random.Generator, gains: np.ndarray) -> Slowest:
        return cls(gains, rng.normal(size=(len(gains), 1)) * 0.5)

    def __call__(self, parents: np.ndarray) -> np.ndarray:
        return (self.weights[:, None] * parents + self.offset).max(0)


@dataclass(frozen=True, eq=False)
class Regulation:
    """Transcription at thermodynamic equilibrium, in log units of parents and node.

    Each regulator at relative level u = exp(x) binds with dissociation constant k and changes the
    rate of transcription by the factor F = (1 + w u / k) / (1 + u / k), w > 1 for activators and
    w < 1 for repressors; factors multiply (Bintu et al. 2005, "Transcriptional regulation by the
    numbers: models"). log F is measured from its value at u = 1.
    """

    log_fold: np.ndarray  # (P, 1), log w
    log_affinity: np.ndarray  # (P, 1), -log k

    @classmethod
    def draw(cls, rng: np.random.Generator, gains: np.ndarray) -> Regulation:
        # The slope of log F is at most tanh(|log w| / 4).
        steep = 4 * np.arctanh(np.minimum(gains, 0.9))
        log_fold = steep * np.where(rng.random(len(gains)) < 0.65, 1.0, -1.0)
        affinity = rng.normal(size=(len(gains), 1)) - log_fold[:, None] / 2
        return cls(log_fold[:, None], affinity)

    def __call__(self, parents: np.ndarray) -> np.ndarray:
        return (self._log_factor(parents) - self._log_factor(np.zeros_like(parents[:, :1]))).sum(0)

    def _log_factor(self, x: np.ndarray) -> np.ndarray:
        bound = np.clip(x, -_MOST, _MOST) + self.log_affinity
        return np.logaddexp(0, bound + self.log_fold) - np.logaddexp(0, bound)


MECHANISMS = {
    "linear": Linear,
    "network": Network,
    "leaky": Leaky,
    "softplus": Softplus,
    "knee": Knee,
    "slowest": Slowest,
    "regulation": Regulation,
}
SETTLING = ("linear", "leaky", "softplus", "slowest", "regulation")
"""Mechanisms that cyclic graphs may use: none is steeper than its gains."""
