"""Prediction with a fitted GEARS: numpy only, so that scoring needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class FoldedMLP:
    """Linear, relu, linear, on rows."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x @ self.w1.T + self.b1, 0) @ self.w2.T + self.b2


def decode(model: Mapping[str, np.ndarray], effects: np.ndarray) -> np.ndarray:
    """(S, G) shifts of perturbations with these effects (S, H), from the arrays of
    `Network.folded`."""
    out = np.empty((len(effects), len(model["a"])), dtype=np.float32)
    narrow, wide = np.empty_like(model["a"]), np.empty_like(model["v"])
    for d, effect in enumerate(effects):
        np.maximum(np.add(model["a"], effect, out=narrow), 0, out=narrow)
        np.matmul(narrow, model["w"], out=wide)
        np.maximum(np.add(wide, model["bias"], out=wide), 0, out=wide)
        out[d] = np.einsum("gk,gk->g", wide, model["v"])
    out += model["b"]
    cross = FoldedMLP(*(model[f"cross_{name}"] for name in ("w1", "b1", "w2", "b2")))(out)
    return out * model["own_w"][:, 0] + cross @ model["own_w"][:, 1:].T + model["own_b"]
