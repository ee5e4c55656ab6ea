"""Declared intervention laws: what becomes of a target, and the law of its parameter.

With f the effect of the parents and e the noise (a root: f = 0 and e its draw), a target x = f + e
becomes

    hard-uniform  z ~ U(-1, 1)          hard-normal  z ~ N(0, 1)
    soft-scale    c (f + e)             variance     f + c e
    soft-shift    f + e + d             reweight     c f + e

Reweighting changes all incoming edges at once, and its targets have parents.

There is one c or d per node and dataset. c or 1/c is log-uniform on the recipe's range, [1.5, 6]
unless it says otherwise; d has either sign with equal probability, and |d| is log-uniform on
[0.5, 2]. The CDN paper publishes no laws for c and d: these are ours. Roots are scaled and shifted
as well. Where the noise is an input of the mechanism, f is its output and e = 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdnbench.datasets.synthetic.draws import normal, uniforms


@dataclass(frozen=True)
class Branch:
    """With this probability the parameter is sign * exp(t), t ~ U(low, high)."""

    sign: int
    low: float
    high: float
    probability: float


def parameter_law(intervention: str, factor: tuple[float, float]) -> tuple[Branch, ...]:
    """The law of c or d as disjoint branches. It is empty for hard interventions."""
    low, high = math.log(factor[0]), math.log(factor[1])
    if intervention.startswith("hard"):
        return ()
    if intervention == "soft-shift":
        return Branch(1, low, high, 0.5), Branch(-1, low, high, 0.5)
    return Branch(1, low, high, 0.5), Branch(1, -high, -low, 0.5)


def draw_parameters(rng: np.random.Generator, law: Sequence[Branch], n: int) -> np.ndarray:
    """(n,) parameters; ones where the law is empty."""
    if not law:
        return np.ones(n)
    which, where = uniforms(rng, 2, n)
    edges = np.cumsum([branch.probability for branch in law])
    chosen = np.minimum(np.searchsorted(edges, which, side="right"), len(law) - 1)
    sign, low, high = (
        np.array([getattr(b, a) for b in law])[chosen] for a in ("sign", "low", "high")
    )
    return sign * np.exp(low + (high - low) * where)


def intervene(
    intervention: str,
    parameter: float,
    effect: np.ndarray | float,
    noise: np.ndarray | float,
    uniform: np.ndarray,
) -> np.ndarray:
    """Values of a target. `effect`, `noise` and `uniform` (a fresh U(0, 1), used by hard
    interventions) have one shape."""
    match intervention:
        case "hard-uniform":
            return 2 * uniform - 1
        case "hard-normal":
            return normal(uniform)
        case "soft-scale":
            return parameter * (effect + noise)  # type: ignore[return-value]
        case "soft-shift":
            return effect + noise + parameter  # type: ignore[return-value]
        case "variance":
            return effect + parameter * noise  # type: ignore[return-value]
        case "reweight":
            return parameter * effect + noise  # type: ignore[return-value]
    raise ValueError(f"no intervention {intervention!r}")


def may_be_targets(intervention: str, adjacency: np.ndarray) -> np.ndarray:
    """(n,) bool: which nodes can be targets. Reweighting needs edges to reweight."""
    return adjacency.sum(0) > 0 if intervention == "reweight" else np.ones(len(adjacency), bool)
