"""The network behind `cdn`: stages of grid layers with mechanism tests between them.

Its state is a grid G (B, R, N, N, d), with one vector for each ordered pair and regime, and nodes V
(B, R, N, c). A stage

    1. tests the mechanisms (`mechanism`) under the edges and targets that the stage before believed
    in,
    2. runs grid layers, in which regimes share what they know of the common graph by their mean,
    3. states edges (one distribution over {none, i -> j, j -> i} per pair and task) and targets
    (one logit per node and regime).

The last stage's target logits are the scores; all stages are trained. What the observational data
says enters through the input features, which are computed once per task.

A grid layer pools the grid to nodes by attention over rows and over columns, with weights that the
entries give themselves. It then updates (i, j) from the nodes i and j, from (j, i), from the mean
over regimes, and from the paths i -> k -> j. It costs N^2 d^2 + N^3 t with t = 8 path channels;
axial attention would cost N^3 d and keep N^3 weights per head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cdnbench.methods.cdn.features import (
    N_GRID,
    N_GRID_SHIFT,
    N_NODE,
    N_NODE_SHIFT,
    set_features,
    shift_features,
)
from cdnbench.methods.cdn.mechanism import N_GRID_TEST, N_NODE_TEST, MechanismTests
from cdnbench.methods.cdn.summary import Summary

ROW_CELLS = 1 << 15
"""Grid entries that a layer updates at once where no gradient is needed: few enough for the cache.
"""


@dataclass(frozen=True)
class Shape:
    """Sizes of the network.

    d: grid width. c: node width. heads: heads of the attention pooling. paths: channels of the path
    product. stages: the number of grid layers of each stage.
    """

    d: int = 48
    c: int = 128
    heads: int = 4
    paths: int = 8
    stages: tuple[int, ...] = (2, 2, 1)


class Beliefs(NamedTuple):
    """What one stage believes.

    targets: (B, R, N) logits. edges: (B, N, N, 3) logits of none, i -> j, j -> i; the entries
    [i, j] and [j, i] say the same.
    """

    targets: Tensor
    edges: Tensor


class CausalDifferentialNetwork(nn.Module):
    """The network: from a summary to the beliefs of every stage."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        d, c = shape.d, shape.c
        self.grid_before, self.grid_after = nn.Linear(N_GRID, d), nn.Linear(N_GRID, d)
        self.grid_shift = nn.Linear(N_GRID_SHIFT, d)
        self.node_before, self.node_after = nn.Linear(N_NODE, c), nn.Linear(N_NODE, c)
        self.node_shift = nn.Linear(N_NODE_SHIFT, c)
        self.tests = nn.ModuleList([MechanismTests() for _ in shape.stages])
        self.grid_tests = nn.ModuleList([nn.Linear(N_GRID_TEST + 1, d) for _ in shape.stages])
        self.node_tests = nn.ModuleList([nn.Linear(N_NODE_TEST + 1, c) for _ in shape.stages])
        self.layers = nn.ModuleList(
            [nn.ModuleList([GridLayer(shape) for _ in range(n)]) for n in shape.stages]
        )
        self.edge_heads = nn.ModuleList([EdgeHead(shape) for _ in shape.stages])
        self.target_heads = nn.ModuleList([TargetHead(shape) for _ in shape.stages])

    def forward(self, summary: Summary) -> list[Beliefs]:
        node, grid = set_features(summary)
        node_shift, grid_shift = shift_features(summary)
        G = (
            self.grid_before(grid[:, :1])
            + self.grid_after(grid[:, 1:])
            + self.grid_shift(grid_shift)
        )
        V = (
            self.node_before(node[:, :1])
            + self.node_after(node[:, 1:])
            + self.node_shift(node_shift)
        )
        n_tasks, n_regimes, n, _ = V.shape
        edge_logits = torch.zeros(n_tasks, n, n, device=V.device)
        # at first only the observational data is trusted
        clean = torch.zeros(n_tasks, n_regimes, n, device=V.device)
        target_logits = clean
        beliefs = []
        for stage, layers in enumerate(self.layers):
            weights = torch.cat([torch.ones_like(clean[:, :1]), clean], dim=1)
            with torch.autocast(V.device.type, enabled=False):
                node_tests, grid_tests = self.tests[stage](summary, edge_logits, weights)
            likely = edge_logits[:, None, :, :, None].expand(-1, n_regimes, -1, -1, -1).float()
            G = G + self.grid_tests[stage](torch.cat([grid_tests, likely.clamp(-8, 8)], dim=-1))
            V = V + self.node_tests[stage](
                torch.cat([node_tests, target_logits[..., None].clamp(-8, 8)], dim=-1)
            )
            for layer in layers:  # type: ignore[union-attr]
                G, V = layer(G, V)
            edges = self.edge_heads[stage](G, V).float()
            target_logits = self.target_heads[stage](G, V).float()
            beliefs.append(Beliefs(target_logits, edges))
            edge_logits = edges[..., 1] - torch.logsumexp(edges[..., ::2], dim=-1)
            clean = torch.sigmoid(-target_logits)
        return beliefs


class GridLayer(nn.Module):
    """One update of grid and nodes, with residuals."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d, c, h, t = shape.d, shape.c, shape.heads, shape.paths
        m = 2 * d
        self.widths = (m, m, 2 * h, t, t)
        self.norm, self.node_norm, self.node_out = nn.LayerNorm(d), nn.LayerNorm(c), nn.LayerNorm(c)
        self.tokens = nn.Linear(d, sum(self.widths))
        self.shared = nn.Linear(d, m, bias=False)
        self.update = nn.Sequential(
            nn.Linear(2 * c + 2 * h * d, 2 * c), nn.GELU(), nn.Linear(2 * c, c)
        )
        self.row_node, self.column_node = nn.Linear(c, m, bias=False), nn.Linear(c, m, bias=False)
        self.path = nn.Linear(t, m, bias=False)
        self.out = nn.Linear(m, d)

    def forward(self, G: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        n = G.shape[-2]
        a = self.norm(G)
        direct, reverse, attention, first, second = self.tokens(a).split(self.widths, dim=-1)
        by_row, by_column = attention.chunk(2, dim=-1)
        outgoing = torch.matmul(by_row.softmax(-2).transpose(-1, -2), a)  # (B, R, N i, heads, d)
        incoming = torch.matmul(
            by_column.transpose(-3, -2).softmax(-2).transpose(-1, -2), a.transpose(-3, -2)
        )
        v = self.node_norm(V)
        pooled = torch.cat(
            [v, v.mean(1, keepdim=True).expand_as(v), outgoing.flatten(-2), incoming.flatten(-2)],
            -1,
        )
        V = V + self.update(pooled)
        v = self.node_out(V)
        paths = torch.matmul(first.movedim(-1, -3), second.movedim(-1, -3)).movedim(-3, -1) / n**0.5
        mean = a.mean(1, keepdim=True)
        row_node, column_node = self.row_node(v), self.column_node(v)[..., None, :, :]
        rows = n if torch.is_grad_enabled() else max(1, ROW_CELLS // (G.shape[0] * G.shape[1] * n))
        pieces = []
        for first_row in range(0, n, rows):
            part = slice(first_row, first_row + rows)
            hidden = direct[..., part, :, :] + reverse[..., :, part, :].transpose(-3, -2)
            hidden += self.shared(mean[..., part, :, :])
            hidden += self.path(paths[..., part, :, :])
            hidden += row_node[..., part, None, :]
            hidden += column_node
            pieces.append(G[..., part, :, :] + self.out(nn.functional.gelu(hidden)))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=-3), V


class EdgeHead(nn.Module):
    """Edge logits (B, N, N, 3) from the mean over regimes."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d, c = shape.d, shape.c
        self.norm, self.node_norm = nn.LayerNorm(d), nn.LayerNorm(c)
        self.forth, self.back = nn.Linear(d, 2 * d), nn.Linear(d, 2 * d, bias=False)
        self.tail, self.head = nn.Linear(c, 2 * d, bias=False), nn.Linear(c, 2 * d, bias=False)
        self.out = nn.Linear(2 * d, 2)

    def forward(self, G: Tensor, V: Tensor) -> Tensor:
        g, v = self.norm(G).mean(1), self.node_norm(V).mean(1)
        hidden = (
            self.forth(g)
            + self.back(g).transpose(1, 2)
            + self.tail(v)[:, :, None]
            + self.head(v)[:, None]
        )
        edge = self.out(nn.functional.gelu(hidden))  # (B, N, N, 2): no edge, i -> j
        none = edge[..., 0] + edge[..., 0].transpose(1, 2)
        return torch.stack([none, edge[..., 1], edge[..., 1].transpose(1, 2)], dim=-1)


class TargetHead(nn.Module):
    """Target logits (B, R, N) from the nodes."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        c = shape.c
        self.net = nn.Sequential(nn.LayerNorm(c), nn.Linear(c, c), nn.GELU(), nn.Linear(c, 1))
        nn.init.constant_(self.net[-1].bias, -2.0)  # type: ignore[arg-type]

    def forward(self, G: Tensor, V: Tensor) -> Tensor:
        return self.net(V)[..., 0]


def loss(
    beliefs: list[Beliefs], targets: Tensor, adjacency: Tensor, known: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of targets and of edges over all stages, of which the last counts most, and the
    last stage's parts of it for the log.

    targets: (B, R, N) bool. adjacency: (B, N, N) bool, [i, j] is i -> j. known: (B,) bool, whether
    the graph may be learnt from, which it may not be where confounders are hidden.
    """
    n = adjacency.shape[-1]
    kinds = adjacency.long() + 2 * adjacency.transpose(1, 2).long()
    upper = torch.triu(torch.ones(n, n, dtype=torch.bool, device=adjacency.device), 1)
    truth = targets.float()
    total = torch.zeros((), device=truth.device)
    parts: dict[str, float] = {}
    for stage, belief in enumerate(beliefs):
        final = stage == len(beliefs) - 1
        target_loss = nn.functional.binary_cross_entropy_with_logits(belief.targets, truth)
        edges = nn.functional.cross_entropy(
            belief.edges[known][:, upper].flatten(0, 1), kinds[known][:, upper].flatten()
        )
        edges = edges if bool(known.any()) else torch.zeros_like(target_loss)
        total = total + (1.0 if final else 0.4) * target_loss + 0.3 * edges
        if final:
            parts = {"targets": float(target_loss.detach()), "edges": float(edges.detach())}
    return total, parts


def build(config: dict[str, Any]) -> CausalDifferentialNetwork:
    """The network of a card's config, with weights yet to be loaded."""
    return CausalDifferentialNetwork(Shape(**{**config, "stages": tuple(config["stages"])}))
