"""Interventions of worlds: what becomes of a target in the rows that are affected.

With f the effect of the parents, e the noise, x = f + e, m and s the mean and standard deviation
of x without intervention, and a strength t (log-uniform on a range of the world, in units of s for
moves):

    hard        m +- t s + width * s * N(0, 1)      cut off from its parents; width in [0.05, 1.5],
                                                    or 0 where the target is stuck
    scale       p + c (x - p)                       c = 1 + t or its inverse, p within 2 s of m
    shift       x +- t s
    ramp        x +- t s (2 row / rows)             a fault that grows
    variance    f + c e                             c = 1 + t or its inverse
    reweight    f(g * parents) + e                  a factor g on each edge, some 0, some negative
    knock-down  x - (1 - r) (x - floor)             r in [0, 0.6], floor = m - 3 s
    knock-out   as knock-down in log units:         x + log r, r in [0.02, 0.7] (cells)
    activation  x - log r                           in log units (cells)

The last two set the level that acts on children. The level that is measured may move less (`own`):
a protein may be lost while the messenger that is counted is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cdnbench.datasets.worlds.mechanisms import Mechanism

GENERAL = ("hard", "scale", "shift", "ramp", "variance", "reweight", "knock-down")
CELLULAR = ("knock-out", "activation")
INTERVENTIONS = GENERAL + CELLULAR
_STUCK = 0.15
"""Share of hard interventions that leave no variance at all."""

NONE, HIDDEN = "none", "hidden"
"""A regime in which nothing moved, and one in which only hidden variables did."""


@dataclass(frozen=True, eq=False)
class Blow:
    """One target in one regime. rows: the affected rows. uniform: (4,) draws from which the numbers
    of the intervention are made. family: see the module."""

    family: str
    rows: np.ndarray
    strength: float
    sign: float
    uniform: np.ndarray
    factors: np.ndarray  # (P,) of reweighted edges
    own: float  # share of the move in log units that is measured


def draw_blow(
    rng: np.random.Generator,
    family: str,
    rows: np.ndarray,
    strength: tuple[float, float],
    n_parents: int,
) -> Blow:
    """A random intervention of a family. Both signs are equally likely."""
    kinds = rng.choice(4, n_parents, p=(0.4, 0.2, 0.2, 0.2))
    factors = np.choose(
        kinds,
        [
            np.zeros(n_parents),
            -rng.uniform(0.5, 1.5, n_parents),
            rng.uniform(0, 0.6, n_parents),
            rng.uniform(1.6, 3, n_parents),
        ],
    )
    low, high = np.log(strength)
    return Blow(
        family=family,
        rows=rows,
        strength=float(np.exp(rng.uniform(low, high))),
        sign=float(rng.choice((-1.0, 1.0))),
        uniform=rng.random(4),
        factors=factors,
        own=float(rng.uniform(0, 0.5)) if rng.random() < 0.3 else 1.0,
    )


def strike(
    rng: np.random.Generator,
    blow: Blow,
    parents: np.ndarray,
    mechanism: Mechanism | None,
    effect: np.ndarray,
    noise: np.ndarray,
    centre: float,
    spread: float,
) -> np.ndarray:
    """(m,) states of a target in its affected rows.

    parents: (P, m), effect and noise: (m,), in these rows.
    """
    x = effect + noise
    u = blow.uniform
    factor = (1 + blow.strength) ** blow.sign
    match blow.family:
        case "hard":
            width = spread * np.exp(np.log(0.05) + u[0] * np.log(1.5 / 0.05)) * (u[1] > _STUCK)
            return centre + blow.sign * blow.strength * spread + width * rng.normal(size=len(x))
        case "scale":
            pivot = centre + (4 * u[0] - 2) * spread
            return pivot + factor * (x - pivot)
        case "shift":
            return x + blow.sign * blow.strength * spread
        case "ramp":
            return x + blow.sign * blow.strength * spread * np.linspace(0, 2, len(x))
        case "variance":
            return effect + factor * noise
        case "reweight":
            return (mechanism(blow.factors[:, None] * parents) if mechanism else effect) + noise
        case "knock-down":
            floor = centre - 3 * spread
            return floor + 0.6 * u[0] * (x - floor)
        case "knock-out" | "activation":
            return x + log_fold(blow)
    raise ValueError(f"no intervention {blow.family!r}; there are {', '.join(INTERVENTIONS)}")


def log_fold(blow: Blow) -> float:
    """log r of a knock-out, -log r of an activation, 0 of all else."""
    if blow.family not in CELLULAR:
        return 0.0
    log_residual = np.log(0.02) + blow.uniform[0] * (np.log(0.7) - np.log(0.02))
    return float(log_residual if blow.family == "knock-out" else -0.7 * log_residual)
