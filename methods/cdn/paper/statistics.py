"""Global statistics of a data set: what SEA's global stream sees, one N x N matrix per channel.

    precision   inverse covariance: pseudo-inverse below N = 100, inverse of the Ledoit-Wolf
                estimate from there on
    corr        Pearson correlation
    corr+cov    correlation and covariance, two channels (Table 8 of the paper)

Constant columns: covariance and precision 0, correlation 0 with others and 1 with itself. Nothing
is ever NaN.

Ledoit, Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices, J.
Multivariate Analysis 88.
"""

from __future__ import annotations

import numpy as np

CHANNELS = {"precision": 1, "corr": 1, "corr+cov": 2}
"""The number of channels of each statistic."""

SHRINKAGE_FROM = 100
"""Variables from which the covariance is shrunk before it is inverted."""


def covariance(samples: np.ndarray) -> np.ndarray:
    """(N, N) float64 covariance (divided by M) of samples (M, N); exactly 0 for constant
    columns."""
    centred = samples - samples.mean(0, dtype=np.float64)
    centred[:, samples.max(0) == samples.min(0)] = 0
    return centred.T @ centred / len(centred)


def correlation(covariances: np.ndarray) -> np.ndarray:
    """(..., N, N) correlations of covariances (..., N, N); 0 where a variance is 0, 1 on the
    diagonal."""
    deviation = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    inverse = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    result = np.clip(covariances * inverse[..., :, None] * inverse[..., None, :], -1, 1)
    i = np.arange(covariances.shape[-1])
    result[..., i, i] = 1
    return result


def ledoit_wolf(samples: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """The shrunk covariance (N, N) of samples (M, N) whose covariance S is given:
    (1 - s) S + s tr(S)/N I, with the shrinkage s of `sklearn.covariance.ledoit_wolf`."""
    n_rows, n_variables = samples.shape
    squares = np.square(samples - samples.mean(0, dtype=np.float64))
    mean_variance = np.trace(covariances) / n_variables
    distance = (np.square(covariances).sum() - n_variables * mean_variance**2) / n_variables
    # sum over i, j of the variance of x_i x_j, without an N x N x M array
    spread = (np.square(squares.sum(1)).sum() / n_rows - np.square(covariances).sum()) / (
        n_rows * n_variables
    )
    shrinkage = 0.0 if distance <= 0 else min(spread, distance) / distance
    return (1 - shrinkage) * covariances + shrinkage * mean_variance * np.eye(n_variables)


def precision(samples: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """The inverse covariance (N, N) of samples (M, N) whose covariance is given, with 0 in the rows
    and columns of constants."""
    varying = np.flatnonzero(np.diagonal(covariances) > 0)
    result = np.zeros_like(covariances)
    if len(varying) == 0:
        return result
    inner = covariances[np.ix_(varying, varying)]
    if covariances.shape[0] >= SHRINKAGE_FROM:
        inner = ledoit_wolf(samples[:, varying], inner)
    # invert at unit variances: a pseudo-inverse cuts small eigenvalues, which must not depend on
    # the units
    scale = 1 / np.sqrt(np.diagonal(inner))
    inverse = np.linalg.pinv(inner * scale[:, None] * scale, rcond=1e-10, hermitian=True)
    result[np.ix_(varying, varying)] = inverse * scale[:, None] * scale
    return result


def global_statistic(samples: np.ndarray, covariances: np.ndarray, kind: str) -> np.ndarray:
    """The channels (N, N, C) float64 of a statistic for samples (M, N) whose covariance is given.

    Raises
    ------
    ValueError: a statistic that is not among `CHANNELS`.
    """
    if kind == "precision":
        return precision(samples, covariances)[..., None]
    if kind == "corr":
        return correlation(covariances)[..., None]
    if kind == "corr+cov":
        return np.stack([correlation(covariances), covariances], axis=-1)
    raise ValueError(f"There is no statistic {kind!r}; known: {', '.join(CHANNELS)}.")
