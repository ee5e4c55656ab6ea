"""What there is to learn about one data set: names, shapes and initial values of the parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LEAK = 0.01  # slope of the leaky units
EDGE_LOGIT, KEEP_LOGIT = 1e-5, 3.0
"""At the start: log-odds of an edge, and of a mechanism being left alone by a regime."""
LARGEST_LOGIT = 80.0  # e^80 still fits a float32
RMS_DECAY, RMS_EPSILON = 0.99, 1e-8


@dataclass(frozen=True)
class Shapes:
    """Sizes of the networks of one data set."""

    n_variables: int
    n_regimes: int
    hidden: int
    n_outputs: int
    has_scale: bool

    @property
    def dense(self) -> dict[str, tuple[int, ...]]:
        """Parameters of the observational networks and of the two masks."""
        n, h, p = self.n_variables, self.hidden, self.n_outputs
        shapes = {
            "w1": (n, n, h),
            "b1": (n, h),
            "w2": (n, h, h),
            "b2": (n, h),
            "w3": (n, h, p),
            "b3": (n, p),
            "edges": (n, n),  # [t, j]: log-odds of j -> t
            "keep": (n, self.n_regimes),  # [t, e]: log-odds that regime e leaves t alone
        }
        return shapes | ({"log_scale": (n,)} if self.has_scale else {})

    @property
    def places(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        """Where each of `dense` lies in one flat array."""
        found, at = {}, 0
        for name, shape in self.dense.items():
            size = math.prod(shape)
            found[name] = slice(at, at + size), shape
            at += size
        return found

    @property
    def rows(self) -> dict[str, tuple[int, ...]]:
        """Parameters of the network of one (node, regime), without its first layer's weights."""
        h, p = self.hidden, self.n_outputs
        return {"b1": (h,), "w2": (h, h), "b2": (h,), "w3": (h, p), "b3": (p,)}


def initial(shapes: Shapes, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters of one data set, (1, .), (N * E, .) and (N * E, N, H), as the reference
    initialises them.

    Xavier-uniform over each node's weights of all regimes together, biases 0.
    """
    n, e, h, p = shapes.n_variables, shapes.n_regimes, shapes.hidden, shapes.n_outputs
    layers = [(n, h), (h, h), (h, p)]
    # PyTorch's fans of the reference's (out, in, regimes) weights: both count the regimes.
    gain = math.sqrt(2 / (1 + LEAK**2))
    bounds = [gain * math.sqrt(6 / ((e + 1) * (into + out))) for into, out in layers]
    w1, w2, w3 = (
        rng.uniform(-bound, bound, size=(n, e + 1, into, out))
        for bound, (into, out) in zip(bounds, layers, strict=True)
    )
    dense = {
        "w1": w1[:, 0],
        "b1": np.zeros((n, h)),
        "w2": w2[:, 0],
        "b2": np.zeros((n, h)),
        "w3": w3[:, 0],
        "b3": np.zeros((n, p)),
        "edges": np.full((n, n), EDGE_LOGIT),
        "keep": np.full((n, e), KEEP_LOGIT),
        "log_scale": np.zeros(n),
    }
    zeros = {"b1": np.zeros((n, e, h)), "b2": np.zeros((n, e, h)), "b3": np.zeros((n, e, p))}
    rows = zeros | {"w2": w2[:, 1:], "w3": w3[:, 1:]}
    return (
        np.concatenate([dense[name].ravel() for name in shapes.dense])[None],
        np.concatenate([rows[name].reshape(n * e, -1) for name in shapes.rows], axis=1),
        w1[:, 1:].reshape(n * e, n, h),
    )
