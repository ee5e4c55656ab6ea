"""The random masks of DCDI, compiled: which edges and mechanisms hold in a row of a minibatch.

B rows, J candidate parents of a node. Everything is float64 but words, which are uint32
(`data.Randomness`).
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from cdnbench.methods.dcdi.shapes import LARGEST_LOGIT
from cdnbench.methods.statistics.elementary import compiled


@compiled
def odds_of(logit):
    """e^logit of each entry, with logits cut off at `LARGEST_LOGIT` on both sides."""
    odds = np.empty_like(logit)
    for i in range(logit.shape[0]):
        for j in range(logit.shape[1]):
            odds[i, j] = math.exp(min(max(logit[i, j], -LARGEST_LOGIT), LARGEST_LOGIT))
    return odds


def uniform(noise):
    """The draw that a word stands for (`data.Randomness`); numbers stand for themselves."""
    return noise if isinstance(noise, float) else int(noise >> 8) * 2.0**-24


@overload(uniform, jit_options={"error_model": "numpy", "forceinline": True})
def _uniform(noise):
    if isinstance(noise, types.Float):
        return lambda noise: float(noise)
    return lambda noise: float(np.int32(noise >> np.uint32(8))) * 2.0**-24


@compiled
def mask(x, noise, odds, soft, masked):
    """Straight-through Gumbel-sigmoids: with u uniform, sigmoid(l + logit u) = e^l u / (e^l u + 1 -
    u)."""
    for b in range(len(x)):
        for j in range(len(odds)):
            u = uniform(noise[b, j])
            scaled = odds[j] * u
            value = scaled / (1.0 - u + scaled)
            soft[b, j] = value
            masked[b, j] = x[b, j] * (1.0 if value > 0.5 else 0.0)


@compiled
def mask_hard(x, noise, odds, masked):
    """The masked values of `mask` alone."""
    for b in range(len(x)):
        for j in range(len(odds)):
            u = uniform(noise[b, j])
            masked[b, j] = x[b, j] * (1.0 if odds[j] * u > 1.0 - u else 0.0)
