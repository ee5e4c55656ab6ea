"""Random values that are the same on every machine and with every numpy: inversion of float64
uniforms.

Everything random in the synthetic suites comes from `Generator.random` (PCG64, 53-bit uniforms),
the one stream that numpy keeps stable, and is made from it by an explicit formula: normals by the
inverse distribution function, choices and permutations by sorting uniforms, counts by the
cumulative probabilities. What is left to the machine is the last bit of `log`, `tanh` and the like,
so that samples agree to 1e-5 everywhere (`frozen.json` and its test hold this).
"""

from __future__ import annotations

import math

import numpy as np

# A uniform is k 2^-53 with k = 0 .. 2^53 - 1: half a step in place of 0, where inverses are
# infinite.
_SMALLEST = 2.0**-54


def uniforms(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Uniforms in the open interval (0, 1)."""
    u = rng.random(shape)
    return np.maximum(u, _SMALLEST, out=u)


def normal(u: np.ndarray) -> np.ndarray:
    """Standard normals from uniforms."""
    from scipy.special import ndtri

    return ndtri(u)


def laplace(u: np.ndarray) -> np.ndarray:
    """Laplace variables of mean 0 and variance 1 from uniforms."""
    centred = u - 0.5
    return -np.sign(centred) * np.log1p(-2 * np.abs(centred)) / math.sqrt(2)


def exponential(u: np.ndarray, mean: float) -> np.ndarray:
    """Exponential variables from uniforms."""
    return -mean * np.log1p(-u)


def between(u: np.ndarray, low: float, high: float) -> np.ndarray:
    """U(low, high) from uniforms."""
    return low + (high - low) * u


def signed_between(u: np.ndarray, low: float, high: float) -> np.ndarray:
    """+-U(low, high), both signs equally likely, from one uniform each."""
    double = 2 * u
    return np.where(double < 1, -1.0, 1.0) * between(double % 1, low, high)


def permutation(rng: np.random.Generator, n: int) -> np.ndarray:
    """A uniform permutation of range(n)."""
    return np.argsort(rng.random(n), kind="stable")


def subset(
    rng: np.random.Generator, items: np.ndarray, size: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """`size` distinct items, one after the other in proportion to their weights (equal by default).

    An exponential race: the item whose clock of rate w rings first is drawn first.
    """
    clocks = exponential(uniforms(rng, len(items)), 1.0)
    if weights is not None:
        clocks = clocks / weights
    return items[np.argsort(clocks, kind="stable")[:size]]


def binomial(rng: np.random.Generator, n: int, p: float) -> int:
    """One draw from Binomial(n, p), by walking up its distribution function."""
    u = float(rng.random())
    below = 0.0
    for k in range(n):
        below += math.comb(n, k) * p**k * (1 - p) ** (n - k)
        if u < below:
            return k
    return n
