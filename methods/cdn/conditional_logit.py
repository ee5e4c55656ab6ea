"""A conditional logit model: which of several candidates is chosen, by what is known of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

PENALTY = 1.0


def conditional_logit(features: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> np.ndarray:
    """The coefficients (K,) of a softmax over candidates with features (S, K).

    By maximum likelihood under a penalty of `PENALTY` / 2 times their squares, in units of the
    features' spread.
    """
    scale = np.maximum(np.std(np.concatenate([f - f.mean(axis=0) for f in features]), axis=0), 1e-9)
    x = [f / scale for f in features]
    wanted = [t / t.sum() for t in targets]

    def negative(beta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = 0.5 * PENALTY * beta @ beta, PENALTY * beta
        for f, share in zip(x, wanted, strict=True):
            z = f @ beta
            p = np.exp(z - z.max())
            p /= p.sum()
            value -= share @ (z - z.max() - np.log(np.exp(z - z.max()).sum()))
            gradient = gradient + f.T @ (p - share)
        return float(value), np.asarray(gradient)

    return minimize(negative, np.zeros(x[0].shape[1]), jac=True, method="L-BFGS-B").x / scale
