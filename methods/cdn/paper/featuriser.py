"""Samples -> what the encoder reads: marginal estimates on batches of k variables, and global
statistics.

Each data set gives T batches of k variables. FCI on each batch (500 rows without replacement, or
all rows if there are fewer) marks the k (k - 1) ordered pairs of the batch, with one token per
pair. Global statistics and moments come from all rows.

The rows of the batches of one data set are windows of one random permutation, with random starts:
each is a uniform subset without replacement, at a fraction of the cost of as many permutations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from cdnbench.methods.cdn.paper.marginals import marginal_estimates, tokens
from cdnbench.methods.cdn.paper.statistics import correlation, covariance, global_statistic
from cdnbench.methods.cdn.samplers import sample_batches_many

VERSION = 1
"""Raise it whenever the same data and random generator would give other features: encodings that
training keeps are then made again."""

BATCH_VARIABLES = 5
BATCH_ROWS = 500


@dataclass(frozen=True, eq=False, kw_only=True)
class Features:
    """Features of B data sets of N variables, from T batches of k variables each.

    tokens: (B, T, P) int64, the edge marks of the P = k (k - 1) ordered pairs of each batch (see
    `marginals`). rows, columns: (B, T, P) int64, i and j of each pair (i, j). statistics:
    (B, N, N, C) float32, a global statistic of C channels. moments: (B, N, 2) float32, raw mean and
    variance.
    """

    tokens: Tensor
    rows: Tensor
    columns: Tensor
    statistics: Tensor
    moments: Tensor

    def __len__(self) -> int:
        return len(self.statistics)

    def to(self, device: torch.device | str) -> Features:
        return Features(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def select(self, index: Sequence[int] | slice | Tensor) -> Features:
        """The features of the data sets that an index chooses."""
        return Features(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def concatenate(features: Sequence[Features]) -> Features:
    """The features of all data sets together. All must have the same N, T and k."""
    return Features(
        **{f.name: torch.cat([getattr(x, f.name) for x in features]) for f in fields(Features)}
    )


def featurise(
    samples: Sequence[np.ndarray],
    n_batches: int,
    rng: np.random.Generator,
    *,
    statistic: str = "precision",
    k: int = BATCH_VARIABLES,
    rows: int = BATCH_ROWS,
    marginals: bool = True,
    device: torch.device | str = "cpu",
) -> Features:
    """Features of B data sets of the same N, each (M_b, N).

    n_batches: T. rng: the generator to draw the batches with; each data set uses a stream of its
    own, spawned in order. statistic: the name of a global statistic, see `statistics`. k: variables
    per batch. rows: the largest number of rows behind a marginal estimate. marginals: False leaves
    the batches out (T = 0).
    """
    n_variables = samples[0].shape[1]
    k = min(k, n_variables)
    if not marginals or k < 2:
        n_batches = 0
    streams = rng.spawn(len(samples))
    covariances = np.stack([covariance(x) for x in samples])
    statistics = np.stack(
        [global_statistic(x, c, statistic) for x, c in zip(samples, covariances, strict=True)]
    )
    uniforms = np.stack([stream.random((n_batches, k)) for stream in streams])
    nodes = sample_batches_many(statistics[..., 0], uniforms)
    correlations, n_rows = _batch_correlations(samples, covariances, nodes, rows, streams)
    first, second = np.nonzero(~np.eye(k, dtype=bool))
    shape = (len(samples), n_batches, len(first))
    if n_batches:
        marks = marginal_estimates(
            torch.from_numpy(correlations).to(device), torch.from_numpy(n_rows).to(device)
        )
        pairs = tokens(marks)[:, first, second].reshape(shape)
    else:
        pairs = torch.zeros(shape, dtype=torch.int64, device=device)
    means = np.stack([x.mean(0, dtype=np.float64) for x in samples])
    moments = np.stack([means, np.diagonal(covariances, axis1=1, axis2=2)], -1)
    return Features(
        tokens=pairs,
        rows=torch.from_numpy(nodes[..., first]).to(device),
        columns=torch.from_numpy(nodes[..., second]).to(device),
        statistics=torch.from_numpy(_single(statistics)).to(device),
        moments=torch.from_numpy(_single(moments)).to(device),
    )


def _single(values: np.ndarray) -> np.ndarray:
    """The values in float32. Variances and inverse variances can lie outside its range even where
    the samples do not; they are clipped to its ends."""
    largest = np.finfo(np.float32).max
    return np.clip(values, -largest, largest).astype(np.float32)


def _batch_correlations(
    samples: Sequence[np.ndarray],
    covariances: np.ndarray,
    nodes: np.ndarray,
    rows: int,
    streams: Sequence[np.random.Generator],
) -> tuple[np.ndarray, np.ndarray]:
    """Correlations (B T, k, k) of the batches with nodes (B, T, k), and the number of rows behind
    each, (B T,)."""
    n_sets, n_batches, k = nodes.shape
    batch_covariances = np.empty((n_sets, n_batches, k, k))
    for b, (x, stream) in enumerate(zip(samples, streams, strict=True)):
        if len(x) <= rows:
            batch_covariances[b] = covariances[b][nodes[b][:, :, None], nodes[b][:, None, :]]
            continue
        window = np.arange(rows) + stream.integers(len(x), size=(n_batches, 1))
        # The rows are doubled so that windows can run over the end, and centred first so that
        # moments lose no digits.
        doubled = np.tile((x - x.mean(0, dtype=np.float64))[stream.permutation(len(x))], (2, 1)).T
        batch = doubled[nodes[b][:, :, None], window[:, None, :]]
        constant = batch.max(-1) == batch.min(-1)
        batch -= batch.mean(-1, keepdims=True)
        batch[constant] = 0
        batch_covariances[b] = batch @ batch.transpose(0, 2, 1) / rows
    n_rows = np.repeat([min(len(x), rows) for x in samples], n_batches)
    return correlation(batch_covariances).reshape(-1, k, k), n_rows
