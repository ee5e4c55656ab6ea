"""Features: what a summary says about every variable and every ordered pair, before and after the
intervention, and how far each of these moved.

Grid features at (i, j) are read as "i -> j". Every change is measured twice: as an effect, and in
standard errors, which asinh compresses.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cdnbench.methods.cdn.summary import LEVELS, Summary

N_NODE = 7 + 2 * len(LEVELS)
N_GRID = 8
N_NODE_SHIFT = 5 + len(LEVELS)
N_GRID_SHIFT = 9

# Standard errors no longer shrink beyond this many rows, because training has seen no more.
_MOST_ROWS = 4000.0
_TINY = 1e-6


def set_features(summary: Summary) -> tuple[Tensor, Tensor]:
    """Features of each data set by itself: nodes (B, D, N, N_NODE) and grid
    (B, D, N, N, N_GRID)."""
    blocks = _Blocks(summary)
    correlation = blocks.correlation
    rows = capped(summary.rows)[..., None]
    precision = _precision(correlation, summary.rows)
    spread = precision.diagonal(dim1=-2, dim2=-1).rsqrt()
    partial = -precision * spread[..., :, None] * spread[..., None, :]
    slope = blocks.covariance / blocks.variance[..., :, None]  # of j on i
    grid = torch.stack(
        [
            correlation,
            partial,
            torch.asinh(slope),
            torch.asinh(
                partial * spread[..., None, :] / spread[..., :, None]
            ),  # of j on i, all others held fixed
            blocks.square_linear,
            blocks.square_linear.transpose(-1, -2),
            blocks.square_square,
            blocks.cube_linear,
        ],
        dim=-1,
    )
    node = torch.cat(
        [
            torch.stack(
                [
                    torch.asinh(summary.mean),
                    torch.log(summary.scale + _TINY),
                    blocks.mean,
                    0.5 * torch.log(blocks.variance),
                    torch.log(spread),
                    blocks.kurtosis,
                    (torch.log(rows) - 6).expand_as(summary.mean),
                ],
                dim=-1,
            ),
            torch.asinh(summary.quantiles),
            torch.asinh(_raw_quantiles(summary)),
        ],
        dim=-1,
    )
    return node.float(), _without_diagonal(grid).float()


def shift_features(summary: Summary) -> tuple[Tensor, Tensor]:
    """Features of each of the R = D - 1 regimes against the observational data: nodes
    (B, R, N, N_NODE_SHIFT) and grid (B, R, N, N, N_GRID_SHIFT)."""
    blocks = _Blocks(summary)
    before, after = blocks.at(slice(0, 1)), blocks.at(slice(1, None))
    n0, n1 = (capped(rows)[..., None] for rows in (summary.rows[:, :1], summary.rows[:, 1:]))
    pooled = torch.sqrt(n0 * n1 / (n0 + n1))
    mean_shift = after.mean - before.mean
    log_ratio = torch.log(after.variance / before.variance)
    quantile_shift = summary.quantiles[:, 1:] - summary.quantiles[:, :1]
    node = torch.cat(
        [
            torch.stack(
                [
                    mean_shift,
                    torch.asinh(
                        mean_shift / torch.sqrt(before.variance / n0 + after.variance / n1)
                    ),
                    log_ratio,
                    torch.asinh(log_ratio / torch.sqrt(2 / n0 + 2 / n1)),
                    (torch.log(pooled) - 3).expand_as(mean_shift),
                ],
                dim=-1,
            ),
            torch.asinh(quantile_shift * pooled[..., None]),
        ],
        dim=-1,
    )
    scale = pooled[..., None]

    def fisher(a: Tensor, b: Tensor) -> Tensor:
        return torch.asinh(
            (torch.atanh(a.clamp(-0.999, 0.999)) - torch.atanh(b.clamp(-0.999, 0.999))) * scale
        )

    slope, slope_after = (s.covariance / s.variance[..., :, None] for s in (before, after))
    rest, rest_after = (s.residual_variance(slope) for s in (before, after))
    intercept = mean_shift[..., None, :] - slope * mean_shift[..., :, None]
    error = rest / n0[..., None] + rest_after / n1[..., None]
    slope_error = (
        rest / (n0 * before.variance)[..., None] + rest_after / (n1 * after.variance)[..., None]
    )
    grid = torch.stack(
        [
            fisher(after.correlation, before.correlation),
            fisher(after.square_linear, before.square_linear),
            fisher(after.square_linear, before.square_linear).transpose(-1, -2),
            fisher(after.square_square, before.square_square),
            torch.asinh(intercept / error.sqrt()),
            torch.asinh((slope_after - slope) / slope_error.sqrt()),
            torch.asinh(torch.log(rest_after / rest) / torch.sqrt(2 / n0 + 2 / n1)[..., None]),
            torch.log(rest_after / rest),
            torch.asinh(intercept),
        ],
        dim=-1,
    )
    return node.float(), _without_diagonal(grid).float()


def capped(rows: Tensor) -> Tensor:
    """Row counts that standard errors use."""
    return rows.clamp(max=_MOST_ROWS)


class _Blocks:
    """Means, variances and standardised covariances between the linear, quadratic and cubic parts
    of the basis."""

    def __init__(self, summary: Summary) -> None:
        n = summary.n_variables
        moments = summary.moments
        means = moments[..., 0, 1:]
        linear, square, cube = slice(1, 1 + n), slice(1 + n, 1 + 2 * n), slice(1 + 2 * n, 1 + 3 * n)
        self.mean, mean_square, mean_cube = means.split(n, dim=-1)
        self.covariance = moments[..., linear, linear] - _outer(self.mean, self.mean)
        self.variance = self.covariance.diagonal(dim1=-2, dim2=-1).clamp(min=_TINY)
        sd = self.variance.sqrt()
        square_square = moments[..., square, square] - _outer(mean_square, mean_square)
        sd_square = square_square.diagonal(dim1=-2, dim2=-1).clamp(min=_TINY).sqrt()
        self.correlation = (self.covariance / _outer(sd, sd)).clamp(-1, 1)
        self.square_square = (square_square / _outer(sd_square, sd_square)).clamp(-1, 1)
        square_linear = moments[..., square, linear] - _outer(mean_square, self.mean)
        self.square_linear = (square_linear / _outer(sd_square, sd)).clamp(-1, 1)
        cube_linear = moments[..., cube, linear] - _outer(mean_cube, self.mean)
        self.cube_linear = torch.asinh(cube_linear / _outer(torch.ones_like(sd), sd))
        self.kurtosis = torch.asinh(sd_square)

    def at(self, sets: slice) -> _Blocks:
        chosen = object.__new__(_Blocks)
        for name, value in self.__dict__.items():
            setattr(chosen, name, value[:, sets])
        return chosen

    def residual_variance(self, slope: Tensor) -> Tensor:
        """The moments of j minus slope[i, j] times i."""
        full = (
            self.variance[..., None, :]
            - 2 * slope * self.covariance
            + slope.square() * self.variance[..., :, None]
        )
        return full.clamp(min=_TINY)


def _outer(a: Tensor, b: Tensor) -> Tensor:
    return a[..., :, None] * b[..., None, :]


def _precision(correlation: Tensor, rows: Tensor) -> Tensor:
    """Inverse of the correlation, shrunk the more the fewer rows there are for each variable."""
    n = correlation.shape[-1]
    ridge = (1e-3 + 0.2 * n / rows)[..., None, None]
    eye = torch.eye(n, dtype=correlation.dtype, device=correlation.device)
    # by Cholesky: positive definite, and LU of a batch fails in some builds of MKL where two
    # threads share it
    return torch.cholesky_inverse(torch.linalg.cholesky(correlation + ridge * eye))


def _raw_quantiles(summary: Summary) -> Tensor:
    """Quantiles in raw units, from those in observational units."""
    centre, scale = summary.mean[:, :1, :, None], summary.scale[:, :1, :, None]
    return summary.quantiles * scale + centre


def _without_diagonal(grid: Tensor) -> Tensor:
    n = grid.shape[-2]
    return grid.masked_fill(torch.eye(n, dtype=torch.bool, device=grid.device)[..., None], 0.0)
