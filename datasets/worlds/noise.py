"""What enters a system from outside: noise laws, dependence between rows, drift.

Standard noise has mean 0 and variance 1 (`bursts` and `student` included). Heteroscedastic and
multiplicative noise is Gaussian noise times a scale that the node's parents or its effect decide.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter
from scipy.special import digamma, polygamma

STANDARD = ("gaussian", "laplace", "student", "uniform", "bursts")
SCALED = ("heteroscedastic", "multiplicative")
NOISE = STANDARD + SCALED
_STUDENT = 5.0


def standard(rng: np.random.Generator, family: str, n_nodes: int, n_rows: int) -> np.ndarray:
    """(n_nodes, n_rows) independent innovations of a family; Gaussian for `SCALED` families.

    bursts: the logarithm of a gamma variable with a shape of 0.7 to 7, the law of promoters that
    fire in bursts: a long lower tail.
    """
    shape = (n_nodes, n_rows)
    match family:
        case "laplace":
            return rng.laplace(size=shape) / np.sqrt(2)
        case "student":
            return rng.standard_t(_STUDENT, shape) * np.sqrt((_STUDENT - 2) / _STUDENT)
        case "uniform":
            return rng.uniform(-np.sqrt(3), np.sqrt(3), shape)
        case "bursts":
            k = np.exp(rng.uniform(np.log(0.7), np.log(7), (n_nodes, 1)))
            log_gamma = np.log(np.maximum(rng.gamma(k, size=shape), 1e-12))
            return (log_gamma - digamma(k)) / np.sqrt(polygamma(1, k))
        case "gaussian" | "heteroscedastic" | "multiplicative":
            return rng.normal(size=shape)
    raise ValueError(f"no noise {family!r}; there are {', '.join(NOISE)}")


def scale_of(
    rng: np.random.Generator, family: str, parents: np.ndarray, effect: np.ndarray
) -> np.ndarray | float:
    """(M,) scale of the noise in each row, given standardised parents (P, M) and the effect (M,).

    heteroscedastic: exp(1.2 tanh(v . parents)), |v| = 1. multiplicative: |effect| over its root
    mean square, at least 0.05.
    """
    if family == "heteroscedastic":
        direction = rng.normal(size=len(parents))
        direction /= np.linalg.norm(direction) + 1e-12
        return np.exp(1.2 * np.tanh(direction @ parents))
    if family == "multiplicative":
        size = np.sqrt(np.mean(effect**2)) + 1e-12
        return np.maximum(np.abs(effect) / size, 0.05)
    return 1.0


def dependent(noise: np.ndarray, starts: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """Noise whose rows depend on each other: e_t = a e_{t-1} + sqrt(1 - a^2) innovation.

    noise: (V, M) innovations. starts: first row of each stretch, 0 first; stretches are independent
    and stationary. memory: (V,) the coefficient a of each node; 0 leaves a row as it is. Two values
    of `memory` cost twice as much as one.
    """
    result = noise.copy()
    for a in np.unique(memory[memory > 0]):
        nodes = np.flatnonzero(memory == a)
        fresh = np.sqrt(1 - a * a)
        for first, last in zip(starts, [*starts[1:], noise.shape[1]], strict=True):
            stretch = noise[nodes, first:last]
            stretch[:, 0] /= fresh  # the first value is the innovation itself: stationary
            result[nodes, first:last] = lfilter([fresh], [1.0, -a], stretch, axis=1)
    return result


def lagged(values: np.ndarray, starts: np.ndarray, constant: float) -> np.ndarray:
    """Values (M,) as seen through something that follows them with a lag.

    constant: the time constant of the lag, in rows. starts: first row of each stretch, 0 first. The
    first two stretches are those without an intervention; the lagged values begin at the first
    value there. In the others they begin at 0, the mean of values without an intervention.
    """
    a = float(np.exp(-1 / constant))
    result = np.empty_like(values)
    for k, (first, last) in enumerate(zip(starts, [*starts[1:], len(values)], strict=True)):
        before = values[first] if k < 2 else 0.0
        result[first:last] = lfilter([1 - a], [1.0, -a], values[first:last], zi=[a * before])[0]
    return result


def drift(rng: np.random.Generator, n_nodes: int, n_rows: int, size: float) -> np.ndarray:
    """(n_nodes, n_rows) slow trends over all rows in their order, of standard deviation `size`.

    Two smooth random walks, mixed at random: what drifts, drifts together.
    """
    knots = np.cumsum(rng.normal(size=(2, 12)), axis=1)
    at = np.linspace(0, 11, n_rows)
    walks = np.stack([np.interp(at, np.arange(12), walk) for walk in knots])
    walks = (walks - walks.mean(1, keepdims=True)) / (walks.std(1, keepdims=True) + 1e-12)
    mixing = rng.normal(size=(n_nodes, 2)) / np.sqrt(2)
    return size * mixing @ walks
