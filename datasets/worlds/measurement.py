"""Measurement: from states of a system to the numbers in a file.

Marginals are monotone maps of z, a state in units of its mean and standard deviation without
intervention. Counts replace marginals where a world is sequenced.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cdnbench.datasets.worlds.world import Counts


def _plain(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    return z


def _skewed(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """exp(a z), a in [0.2, 1.5], half of the time upside down: concentrations, delays."""
    a = rng.uniform(0.2, 1.5) * rng.choice((-1, 1))
    return np.sign(a) * np.exp(np.clip(a * z, -30, 30))


def _heavy(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """sinh(a z), a in [0.5, 1.8]: two heavy tails."""
    return np.sinh(np.clip(rng.uniform(0.5, 1.8) * z, -30, 30))


def _light(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """asinh(a z), a in [1, 10]: data that somebody has taken logarithms of."""
    return np.arcsinh(rng.uniform(1, 10) * z)


def _power(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """sign(z - c) |z - c|^p, p in [0.4, 2.5]."""
    centred = z - rng.normal()
    return np.sign(centred) * np.abs(centred) ** np.exp(rng.uniform(np.log(0.4), np.log(2.5)))


def _saturated(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """u / (k + u), u = exp(a z): a dose-response curve that is full on one side or on both."""
    a, k = rng.uniform(0.6, 2.5), np.exp(rng.normal())
    u = np.exp(np.clip(a * z, -30, 30))
    return u / (k + u)


def _clipped(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """min(max(z, a), b): detectors with a floor and a ceiling, a in [-4, 0], b in [1, 4]."""
    return np.clip(z, rng.uniform(-4, 0), rng.uniform(1, 4))


def _full(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """min(z, c), c in [-4, -0.5], half of the time upside down: availability or error rates, which
    rarely leave the value that they have when all is well."""
    return rng.choice((-1.0, 1.0)) * np.minimum(z, rng.uniform(-4, -0.5))


def _zeros(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """max(z - c, 0)^p: below the limit of detection in 15 to 95 % of the control rows."""
    above = np.maximum(z - rng.uniform(-1, 1.6), 0)
    return above ** rng.uniform(0.7, 1.5)


def _dropout(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """exp(z), lost (0) with a probability that falls with z."""
    level = np.exp(np.clip(0.7 * z, -30, 30))
    lost = rng.random(z.shape) < np.exp(-rng.uniform(0.3, 2) * level)
    return np.where(lost, 0.0, level)


def _count(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """Poisson events at a rate of exp(a z + b), mean 0.1 to 100."""
    rate = np.exp(
        np.clip(rng.uniform(0.2, 0.9) * z + rng.uniform(np.log(0.1), np.log(100)), -9, 13)
    )
    return rng.poisson(rate).astype(float)


MARGINALS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "plain": _plain,
    "skewed": _skewed,
    "heavy": _heavy,
    "light": _light,
    "power": _power,
    "saturated": _saturated,
    "clipped": _clipped,
    "full": _full,
    "zeros": _zeros,
    "dropout": _dropout,
    "count": _count,
}


def through_marginals(
    rng: np.random.Generator, z: np.ndarray, families: tuple[str, ...]
) -> np.ndarray:
    """(N, M): every variable through a map of its own, of a family drawn from `families`."""
    chosen = rng.integers(len(families), size=len(z))
    return np.stack([MARGINALS[families[k]](rng, row) for k, row in zip(chosen, z, strict=True)])


def sequenced(rng: np.random.Generator, counts: Counts, state: np.ndarray) -> np.ndarray:
    """(N, M): what sequencing makes of log levels `state` (N, M). Each gene has a level of its own,
    to which its state is added."""
    n, m = state.shape
    basal = np.exp(counts.basal * rng.normal(size=(n, 1)))
    level = basal * np.exp(np.clip(counts.steep * state, -12, 7))
    typical = basal.sum()
    total = level.sum(0) + counts.rest * typical
    library = counts.depth * n * (1 + counts.rest) * np.exp(counts.library * rng.normal(size=m))
    mean = np.minimum(library * level / total, 1e7)
    if counts.dispersion > 0:
        mean = mean * rng.gamma(1 / counts.dispersion, counts.dispersion, size=mean.shape)
    reads = rng.poisson(mean).astype(float)
    other = rng.poisson(np.minimum(library * counts.rest * typical / total, 1e12))
    sequenced_reads = np.maximum(reads.sum(0) + other, 1)
    match counts.output:
        case "raw":
            return reads
        case "log":
            return np.log1p(reads)
        case "share":
            return 1e4 * reads / sequenced_reads
        case "log-normalised":
            return np.log1p(1e4 * reads / sequenced_reads)
    raise ValueError(f"no output {counts.output!r} of sequencing")


def quantised(rng: np.random.Generator, values: np.ndarray, share: float) -> np.ndarray:
    """Some variables rounded to steps of 0.05 to 2 of their standard deviation."""
    rounded = rng.random((len(values), 1)) < share
    spread = values.std(1, keepdims=True)
    step = spread * np.exp(rng.uniform(np.log(0.05), np.log(2), (len(values), 1)))
    step = np.where(step > 0, step, 1.0)
    return np.where(rounded, np.round(values / step) * step, values)


def in_units(rng: np.random.Generator, values: np.ndarray, units: float) -> np.ndarray:
    """Every variable times 10^U(-units, units), half of them shifted by some of their spread."""
    n = len(values)
    factor = 10 ** rng.uniform(-units, units, (n, 1))
    offset = values.std(1, keepdims=True) * rng.normal(size=(n, 1)) * 3
    return factor * (values + offset * (rng.random((n, 1)) < 0.5)) if units else values
