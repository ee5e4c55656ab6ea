"""Mechanism tests: given how likely each edge is, fit each variable's mechanism on everything that
is not suspected, and see where it fails.

Each variable j has a penalised regression of z_j on the basis of its K likeliest parents, over the
observational data and all regimes, each weighted by the probability that j is no target there:

    beta_j = argmin sum_d w_dj n_d E_d (z_j - beta . psi_pa)^2 + sum_i lambda_ij beta_i^2
    lambda_ij = kappa_basis (1 + exp(shift - logit_ij))

so that an unlikely parent is shrunk to zero. If i's parents are right and j is no target, the
residual in regime d has mean 0, the pooled variance, and no correlation with any parent. These
three are the features, and all of them follow from the moments.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cdnbench.methods.cdn.features import capped
from cdnbench.methods.cdn.summary import N_BASES, Summary

N_NODE_TEST = 7
N_GRID_TEST = 6
MOST_PARENTS = 20
_TINY = 1e-6


class MechanismTests(nn.Module):
    """The features of the tests, differentiable in the edge logits and the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.log_kappa = nn.Parameter(torch.tensor([0.0, 1.0, 1.0]))
        self.shift = nn.Parameter(torch.tensor(2.0))

    def forward(
        self, summary: Summary, edge_logits: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Node features (B, R, N, N_NODE_TEST) and grid features (B, R, N, N, N_GRID_TEST) of the
        R = D - 1 regimes.

        edge_logits: (B, N, N), [i, j] for i -> j. weights: (B, D, N) in [0, 1], how much each data
        set counts in the regression of each variable.
        """
        weights = weights.double()
        residual = self.residual_maker(
            summary, edge_logits.double(), weights
        )  # (B, N, F), z_j - beta . psi
        n = summary.n_variables
        covered = torch.matmul(residual[:, None], summary.moments)  # (B, D, N, F), E[e_j psi]
        mean = covered[..., 0]
        second = (covered * residual[:, None]).sum(-1)
        variance = (second - mean.square()).clamp(min=_TINY)
        share = weights * summary.rows[..., None]
        share = share / share.sum(1, keepdim=True)
        reference = (share * second).sum(1, keepdim=True).clamp(min=_TINY)
        means = summary.moments[..., 0, 1:]
        basis_mean = means[..., : 2 * n]
        with_basis = (
            covered[..., 1 : 1 + 2 * n] - mean[..., None] * basis_mean[..., None, :]
        )  # (B, D, N j, 2 N i)
        basis_variance = (
            summary.moments.diagonal(dim1=-2, dim2=-1)[..., 1 : 1 + 2 * n] - basis_mean.square()
        ).clamp(min=_TINY)
        with_residual = (
            torch.matmul(covered, residual[:, None].transpose(-1, -2))
            - mean[..., None] * mean[..., None, :]
        )
        rows = capped(summary.rows)[:, 1:, None]
        mean, variance, with_basis = mean[:, 1:], variance[:, 1:], with_basis[:, 1:]
        basis_variance, with_residual = basis_variance[:, 1:], with_residual[:, 1:]
        log_ratio = torch.log(variance / reference)
        node = torch.stack(
            [
                torch.asinh(mean / reference.sqrt()),
                torch.asinh(mean * torch.sqrt(rows / reference)),
                torch.asinh(mean * torch.sqrt(rows / variance)),
                log_ratio,
                torch.asinh(log_ratio * torch.sqrt(rows / 2)),
                0.5 * torch.log(reference).expand_as(mean),
                0.5 * torch.log(variance),
            ],
            dim=-1,
        )
        size = torch.sqrt(variance[..., :, None] * basis_variance[..., None, :])
        correlation = with_basis / size
        effect = with_basis / torch.sqrt(reference[..., :, None] * basis_variance[..., None, :])
        both = with_residual / torch.sqrt(variance[..., :, None] * variance[..., None, :])
        root = rows.sqrt()[..., None]
        grid = torch.stack(
            [
                torch.asinh(correlation[..., :n] * root).transpose(-1, -2),
                torch.asinh(correlation[..., n:] * root).transpose(-1, -2),
                torch.asinh(effect[..., :n]).transpose(-1, -2),
                torch.asinh(effect[..., n:]).transpose(-1, -2),
                torch.asinh(both * root),
                both,
            ],
            dim=-1,
        )
        diagonal = torch.eye(n, dtype=torch.bool, device=grid.device)[..., None]
        return node.float(), grid.masked_fill(diagonal, 0.0).float()

    def residual_maker(self, summary: Summary, edge_logits: Tensor, weights: Tensor) -> Tensor:
        """(B, N, F): row j holds the coefficients of the residual of variable j on the basis."""
        n_tasks, n_sets, size, _ = summary.moments.shape
        n = summary.n_variables
        k = min(n - 1, MOST_PARENTS)
        own = torch.eye(n, dtype=torch.bool, device=edge_logits.device)
        chosen = (
            edge_logits.masked_fill(own, -torch.inf).transpose(1, 2).topk(k, dim=-1).indices
        )  # (B, N j, K)
        logits = edge_logits.transpose(1, 2).gather(-1, chosen)
        columns = torch.cat(
            [torch.zeros_like(chosen[..., :1])] + [1 + b * n + chosen for b in range(N_BASES)],
            dim=-1,
        )
        width = columns.shape[-1]
        with_own = torch.cat(
            [columns, 1 + torch.arange(n, device=columns.device)[:, None].expand(n_tasks, n, 1)],
            dim=-1,
        )
        share = weights * summary.rows[..., None]
        total = share.sum(1)  # (B, N)
        index = (with_own[..., :, None] * size + with_own[..., None, :]).reshape(n_tasks, n, -1)
        share = share / total[:, None]
        flat = summary.moments.reshape(n_tasks, n_sets, -1)
        pooled = torch.zeros(n_tasks, n, index.shape[-1], dtype=flat.dtype, device=flat.device)
        for task in range(n_tasks):
            if n <= MOST_PARENTS + 1:  # every other variable is a candidate: pool first, then pick
                pooled[task] = (share[task].T @ flat[task]).gather(-1, index[task])
            else:
                for d in range(n_sets):
                    pooled[task] = (
                        pooled[task] + share[task, d, :, None] * flat[task, d][index[task]]
                    )
        pooled = pooled.reshape(n_tasks, n, width + 1, width + 1)
        penalty = (
            self.log_kappa.exp()[:, None]
            * (1 + torch.exp((self.shift - logits).clamp(max=12.0)))[..., None, :]
        )
        penalty = penalty.flatten(-2) / total[..., None]
        penalty = torch.cat([torch.zeros_like(penalty[..., :1]), penalty], dim=-1) + 1e-5
        left = pooled[..., :width, :width] + torch.diag_embed(penalty)
        beta = torch.cholesky_solve(pooled[..., :width, width:], torch.linalg.cholesky(left))[
            ..., 0
        ]
        residual = torch.zeros(n_tasks, n, size, dtype=flat.dtype, device=flat.device)
        residual = residual.scatter(-1, columns, -beta)
        return residual + nn.functional.one_hot(1 + torch.arange(n, device=flat.device), size).to(
            flat.dtype
        )
