"""The forward pass of the authors' public SEA and CDN code in our own modules, so that their
weights can be run.

Our networks (see `cdnbench.methods.cdn.paper`) use a sparse token layout and mend the points below.
Here everything is computed as the public code does for one pair of data sets (github.com/rmwu/cdn
at 14fa0aa, rmwu/sea at bfb507b; our code):

- The T marginal estimates lie in a dense (T, K) grid over the K ordered pairs that any of them
  holds, with token 0 elsewhere.
- Attention is tied: there is one map per head for all rows (columns) of a grid. Queries of empty
  cells are zero, and the keys that are hidden are those that are empty *in the first row (column)*.
  Values are never hidden.
- Maps are not divided by anything, except those between pairs: by sqrt(d_head T).
- A trial has an identity only if it holds the first pair, and these are counted 1, 2, ...; the
  others share identity 0.
- Row and column identities of the N x N statistic count its non-zero entries in the first row and
  column.
- Nodes, as rows, as columns and in pairs, take their identity through three independent random
  permutations.
- The grid takes the mean over *all* T trials at each sampled pair, also over those that do not hold
  it.
- h_ij is the ordered pair i -> j, and targets pool over j: outgoing edges.
- A cell whose first channel is exactly 0 counts as empty in the differential network (`AxialHead`).

There are only batches of one, so the public code's mix-up between the graphs of a larger batch does
not arise.

Axes: T trials, K pairs, N nodes, d channels. All weights are float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = -10_000.0  # the score of a hidden key


@dataclass(frozen=True)
class PublicConfig:
    """Sizes and parts of a public network.

    head: "axial" or "mlp" for targets, "none" for SEA alone. combination: what the head sees of the
    two encodings. node_statistics: whether the head sees the mean and variance of each node.
    edge_head: whether there is a head for graphs. n_nodes: largest number of variables. n_trials:
    largest T. head_layers, head_hidden: number and feed-forward width of the axial head's layers.
    """

    dim: int = 64
    n_heads: int = 8
    n_blocks: int = 4
    hidden: int = 8
    n_tokens: int = 8
    n_nodes: int = 1000
    n_trials: int = 500
    head: Literal["axial", "mlp", "none"] = "axial"
    combination: Literal["concat", "difference"] = "concat"
    node_statistics: bool = True
    edge_head: bool = True
    head_layers: int = 1
    head_hidden: int = 256

    @property
    def head_dim(self) -> int:
        """Channels that the head sees."""
        return self.dim * (2 if self.combination == "concat" else 1)


@dataclass(frozen=True)
class Identities:
    """Permutations (n_nodes + 1,) int64 of the identities 0..n_nodes: of nodes in pairs, as rows,
    and as columns."""

    pairs: Tensor
    rows: Tensor
    columns: Tensor

    def to(self, device: str) -> Identities:
        return Identities(self.pairs.to(device), self.rows.to(device), self.columns.to(device))


@dataclass(frozen=True)
class Side:
    """What the network sees of one data set.

    tokens: (T, K) int64, 0 where the trial does not hold the pair. pairs: (K, 2) int64 node
    indices, sorted. statistic: (N, N) float32. nodes: (N, 2) float32, mean and variance.
    """

    tokens: Tensor
    pairs: Tensor
    statistic: Tensor
    nodes: Tensor

    def to(self, device: str) -> Side:
        parts = (self.tokens, self.pairs, self.statistic, self.nodes)
        return Side(*(part.to(device) for part in parts))


class TiedAttention(nn.Module):
    """Pre-normalised self-attention along axis 1 of an (A, L, d) grid, with one (L, L) map per head
    for all A, and residual."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, x: Tensor, empty: Tensor | None, scale: float = 1.0) -> Tensor:
        """x (A, L, d), empty (A, L) bool or None -> (A, L, d)."""
        shared, length, dim = x.shape
        normed = self.norm(x)
        query = self.query(normed) * scale
        if empty is not None:
            query = query.masked_fill(empty[..., None], 0.0)
        scores = self._by_head(query) @ self._by_head(self.key(normed)).transpose(1, 2)
        if empty is not None:
            scores = scores.masked_fill(empty[0], HIDDEN)
        mixed = scores.softmax(dim=-1) @ self._by_head(self.value(normed))
        mixed = (
            mixed.view(self.n_heads, length, shared, -1)
            .permute(2, 1, 0, 3)
            .reshape(shared, length, dim)
        )
        return x + self.output(mixed)

    def _by_head(self, x: Tensor) -> Tensor:
        """(A, L, d) -> (heads, L, A d / heads): the sum over the shared axis becomes part of one
        inner product."""
        shared, length, dim = x.shape
        return (
            x.view(shared, length, self.n_heads, -1)
            .permute(2, 1, 0, 3)
            .reshape(self.n_heads, length, -1)
        )


class FeedForward(nn.Module):
    """Pre-normalised Linear - GELU - Linear with residual."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, hidden)
        self.narrow = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(F.gelu(self.widen(self.norm(x))))


class AxialLayer(nn.Module):
    """Attention between the columns of an (R, C, d) grid, between its rows, and a feed-forward
    layer."""

    def __init__(self, dim: int, n_heads: int, hidden: int, *, scaled: bool = False) -> None:
        super().__init__()
        self.between_columns = TiedAttention(dim, n_heads)
        self.between_rows = TiedAttention(dim, n_heads)
        self.feed_forward = FeedForward(dim, hidden)
        self.head_scale = (dim // n_heads) ** -0.5 if scaled else None

    def forward(self, x: Tensor, empty: Tensor | None = None) -> Tensor:
        """x (R, C, d), empty (R, C) bool or None -> (R, C, d)."""
        scale = 1.0 if self.head_scale is None else self.head_scale / math.sqrt(len(x))
        x = self.between_columns(x, empty, scale)
        x = self.between_rows(x.transpose(0, 1), None if empty is None else empty.T).transpose(0, 1)
        return self.feed_forward(x)


class Projection(nn.Module):
    """Linear - GELU - layer norm - Linear."""

    def __init__(self, n_in: int, hidden: int, n_out: int) -> None:
        super().__init__()
        self.inner = nn.Linear(n_in, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.outer = nn.Linear(hidden, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.norm(F.gelu(self.inner(x))))


class Block(nn.Module):
    """One round between the marginal estimates (T, K, d) and the grid (N, N, d)."""

    def __init__(self, config: PublicConfig) -> None:
        super().__init__()
        self.marginal = AxialLayer(config.dim, config.n_heads, config.hidden, scaled=True)
        self.grid = AxialLayer(config.dim, config.n_heads, config.hidden)
        self.unsampled = nn.Parameter(torch.zeros(1))
        self.merge = nn.Linear(2 * config.dim, config.dim)

    def forward(
        self,
        x: Tensor,
        grid: Tensor,
        pairs: Tensor,
        empty: Tensor | None,
        empty_grid: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        x = self.marginal(x, empty)
        summary = self.unsampled.expand(grid.shape).clone()
        summary[pairs[:, 0], pairs[:, 1]] = x.mean(dim=0)
        grid = self.grid(self.merge(torch.cat([grid, summary], dim=-1)), empty_grid)
        return x + grid[pairs[:, 0], pairs[:, 1]], grid


class PublicEncoder(nn.Module):
    """SEA's aggregator: from marginal estimates and a global statistic to one vector per ordered
    pair of nodes.

    `marginal_norm_out` has weights in the checkpoints but no effect on the result.
    """

    def __init__(self, config: PublicConfig) -> None:
        super().__init__()
        dim = config.dim
        self.token_table = nn.Embedding(config.n_tokens, dim)
        self.statistic = nn.Linear(1, dim)
        self.node_table = nn.Embedding(config.n_nodes + 1, dim)
        self.pair_table = nn.Embedding(config.n_nodes + 1, dim)
        self.pair = Projection(2 * dim, dim, dim)
        self.trial_table = nn.Embedding(config.n_trials + 1, dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_blocks))
        self.marginal_norm_in = nn.LayerNorm(dim)
        self.marginal_norm_out = nn.LayerNorm(dim)
        self.grid_norm_in = nn.LayerNorm(dim)
        self.grid_norm_out = nn.LayerNorm(dim)

    def forward(
        self, side: Side, identities: Identities, *, zeros_are_empty: bool = False
    ) -> Tensor:
        """(N, N, d): entry (i, j) encodes i -> j.

        zeros_are_empty: SEA's own code hides the exact zeros of the statistic; CDN's does not.
        """
        nodes = self.pair_table(identities.pairs[side.pairs + 1]).flatten(1)
        trials = self.trial_table(_counted(side.tokens[:, 0] != 0))
        empty = side.tokens == 0
        x = self.token_table(side.tokens) + self.pair(nodes) + trials[:, None]
        x = self.marginal_norm_in(x).masked_fill(empty[..., None], 0.0)

        rows = self.node_table(identities.rows[_counted(side.statistic[0] != 0)])
        columns = self.node_table(identities.columns[_counted(side.statistic[:, 0] != 0)])
        grid = self.grid_norm_in(
            self.statistic(side.statistic[..., None]) + rows[:, None] + columns
        )
        empty_grid = side.statistic == 0 if zeros_are_empty else None
        if empty_grid is not None:
            grid = grid.masked_fill(empty_grid[..., None], 0.0)

        for block in self.blocks:
            x, grid = block(x, grid, side.pairs, empty, empty_grid)
        grid = self.grid_norm_out(grid)
        return grid if empty_grid is None else grid.masked_fill(empty_grid[..., None], 0.0)


class AxialHead(nn.Module):
    """From (N, C, w) to logits (N,): axial layers, mean over the columns, Linear."""

    def __init__(self, config: PublicConfig) -> None:
        super().__init__()
        width = config.head_dim
        self.layers = nn.ModuleList(
            AxialLayer(width, config.n_heads, config.head_hidden) for _ in range(config.head_layers)
        )
        self.out = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        empty = x[..., 0] == 0
        for layer in self.layers:
            x = layer(x, empty)
        return self.out(x.mean(dim=1)).squeeze(1)


class MLPHead(nn.Module):
    """From (N, N, 2d) to logits (N,): a projection of each entry, mean over the columns, Linear."""

    def __init__(self, config: PublicConfig) -> None:
        super().__init__()
        self.entry = Projection(config.head_dim, config.head_dim, config.dim)
        self.out = nn.Linear(config.dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.entry(x).mean(dim=1)).squeeze(1)


class PublicNetwork(nn.Module):
    """Encoder and heads of a public checkpoint."""

    def __init__(self, config: PublicConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = PublicEncoder(config)
        if config.edge_head:
            self.edges = Projection(2 * config.dim, 2 * config.dim, 3)
        if config.node_statistics:
            self.nodes = Projection(2, config.dim, config.dim)
        if config.head != "none":
            self.targets = AxialHead(config) if config.head == "axial" else MLPHead(config)

    def encode(self, side: Side, identities: Identities) -> Tensor:
        """(N, C, d): the encoding of one data set, with its node statistics as column N where the
        network has them."""
        encoded = self.encoder(side, identities)
        if self.config.node_statistics:
            encoded = torch.cat([encoded, self.nodes(side.nodes)[:, None]], dim=1)
        return encoded

    def target_logits(self, observational: Tensor, interventional: Tensor) -> Tensor:
        """(N,) logits of being a target, from two results of `encode`."""
        if self.config.combination == "difference":
            return self.targets(interventional - observational)
        return self.targets(torch.cat([observational, interventional], dim=-1))

    def edge_logits(self, encoded: Tensor) -> Tensor:
        """(N (N - 1) / 2, 3) logits of {no edge, i -> j, j -> i} for i < j in row order, from the
        encoder's (N, N, d)."""
        i, j = torch.triu_indices(len(encoded), len(encoded), 1, device=encoded.device)
        return self.edges(torch.cat([encoded[i, j], encoded[j, i]], dim=-1))


def build(config: PublicConfig) -> PublicNetwork:
    """A network in evaluation mode, with weights yet to be loaded. The global random state stays as
    it is."""
    with torch.random.fork_rng(devices=[]):
        return PublicNetwork(config).eval().requires_grad_(False)


def _counted(present: Tensor) -> Tensor:
    """Counts (L,) int64 of what is present (L,) so far: 1, 2, ... there, and 0 elsewhere."""
    return torch.cumsum(present.long(), dim=0) * present
