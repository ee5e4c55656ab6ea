"""Summary: what `cdn` keeps of the samples, namely second moments of a polynomial basis, quantiles,
and row counts. Everything that the network sees is computed from it, so that the network's cost
does not grow with the number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

N_BASES = 3
LEVELS = (0.0, 0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975, 1.0)

# Values are winsorised at this many observational standard deviations, and at fewer in the
# quadratic and cubic basis, so that no single row decides a moment.
_FAR = 40.0
_NEAR = 3.0
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Summary:
    """A summary of B tasks with N variables and D data sets each, the observational one first.

    With z the values in units of the observational mean and standard deviation, the basis is
    psi = (1, z, (z^2 - 1) / sqrt 2, (z^3 - 3 z) / sqrt 6). These are F = 1 + 3 N functions: the
    constant, then all z, all squares and all cubes.

    moments: (B, D, F, F) float64, E[psi psi^T]. quantiles: (B, D, N, 9) float32, quantiles of z at
    `LEVELS`. mean, scale: (B, D, N) float32, mean and standard deviation of the raw values. rows:
    (B, D) float32.
    """

    moments: Tensor
    quantiles: Tensor
    mean: Tensor
    scale: Tensor
    rows: Tensor

    @property
    def n_variables(self) -> int:
        return self.mean.shape[-1]

    def to(self, device: torch.device | str) -> Summary:
        return Summary(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def sets(self, chosen: slice | Sequence[int]) -> Summary:
        """The same tasks with only the chosen data sets."""
        return Summary(*(getattr(self, name)[:, chosen] for name in self.__dataclass_fields__))


def summarise(data_sets: Sequence[np.ndarray], device: torch.device | str = "cpu") -> Summary:
    """The summary of one task (B = 1) from its D data sets, each (rows, N), the observational one
    first.

    A variable that is constant in the observational data is measured in units of its standard
    deviation over all data sets, and in raw units where it never varies.
    """
    observational = _tensor(data_sets[0], device)
    centre, scale = observational.mean(0), observational.std(0, correction=0)
    resolution = 1e-6 * (centre.abs() + 1e-30)
    if bool((scale <= resolution).any()):
        everything = torch.cat([_tensor(x, device) for x in data_sets])
        pooled = everything.std(0, correction=0)
        scale = torch.where(
            scale > resolution,
            scale,
            torch.where(pooled > resolution, pooled, torch.ones_like(scale)),
        )
    parts = [_data_set(_tensor(x, device), centre, scale) for x in data_sets]
    moments, quantiles, mean, spread = (
        torch.stack(part)[None] for part in zip(*parts, strict=True)
    )
    rows = torch.tensor([[len(x) for x in data_sets]], dtype=torch.float32, device=device)
    return Summary(moments, quantiles, mean, spread, rows)


def stack(summaries: Sequence[Summary]) -> Summary:
    """Tasks of equal N and D side by side."""
    return Summary(
        *(torch.cat([getattr(s, name) for s in summaries]) for name in Summary.__dataclass_fields__)
    )


def _tensor(samples: np.ndarray, device: torch.device | str) -> Tensor:
    return torch.from_numpy(np.array(samples, dtype=np.float64)).to(device)


def _data_set(raw: Tensor, centre: Tensor, scale: Tensor) -> tuple[Tensor, ...]:
    z = (raw - centre) / scale
    total = None
    for block in z.split(_ROWS_AT_ONCE):
        psi = _basis(block)
        product = psi.T @ psi
        total = product if total is None else total + product
    assert total is not None
    ordered = z.float().sort(0).values
    position = torch.tensor(LEVELS, device=z.device) * (len(z) - 1)
    low = position.floor().long()
    high = torch.clamp(low + 1, max=len(z) - 1)
    share = (position - low)[:, None]
    quantiles = ordered[low] * (1 - share) + ordered[high] * share
    mean = raw.mean(0)
    spread = (raw - mean).square().mean(0).sqrt()
    return total / len(z), quantiles.T.clamp(-_FAR, _FAR), mean.float(), spread.float()


def _basis(z: Tensor) -> Tensor:
    near = z.clamp(-_NEAR, _NEAR)
    square = (near.square() - 1) / 2**0.5
    cube = (near**3 - 3 * near) / 6**0.5
    return torch.cat([torch.ones_like(z[:, :1]), z.clamp(-_FAR, _FAR), square, cube], dim=1)
