"""SEA's aggregator: from marginal estimates and global statistics to one vector for every ordered
pair of variables.

There are two streams. The marginal stream holds one token for each ordered pair of each batch,
T k (k - 1) in all; the public code lays them out as a T x K table that is mostly empty. The global
stream is an N x N grid. A block

    1. lets the pairs of a batch attend to each other (tokens of one batch),
    2. pools the tokens of each pair over the batches that sampled it, with one softmax over those
       tokens per head, and gives the result back to them (a cheap form of attention along the pair,
       whose query is the pair's and not the token's),
    3. runs a feed-forward network on the tokens,
    4. takes the mean of each pair's tokens, or a learned scalar where a pair was not sampled,
       concatenates it with the grid and projects back to d,
    5. runs an axial layer on the grid, and
    6. adds the grid back to the tokens at (i, j).

The network knows where tokens stand in one of two ways. With `identities="relative"` it sees their
slots within the batch, whose order is random, and which entries of the grid are diagonal; the
encoder is then equivariant under relabelling by construction. With `identities="table"`, as in the
paper, there are tables of row, column and edge nodes and of time; the identities are permuted at
random in training and canonical in evaluation.

The paper's sizes are d = 64, 8 heads, 4 blocks and dropout .1. The feed-forward width of the
released configuration is 8, a sign of under-tuning; it is 128 here. Global statistics go through
arcsinh before the first layer, because inverse covariances span decades.

Wu et al. 2024, Sample, estimate, aggregate (arXiv:2402.01929).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cdnbench.methods.cdn.paper.axial import AxialLayer, FeedForward, MLPHead, SequenceAttention
from cdnbench.methods.cdn.paper.featuriser import BATCH_VARIABLES, Features
from cdnbench.methods.cdn.paper.marginals import N_TOKENS
from cdnbench.methods.cdn.paper.statistics import CHANNELS

N_IDENTITIES = 1001
MAX_TIMES = 500


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Sizes and variants of the encoder.

    width: d. n_heads: heads of the grid's axial layers. batch_heads: heads of the attention within
    a batch (8 heads of 8 channels cost twice as much as 4 of 16 on a CPU). hidden: feed-forward
    width. statistic: the global statistic, see `statistics`. marginals, global_statistic: False
    takes away the stream's input, as in Table 7. identities: see the module's docstring. tied:
    whether all rows share one attention map, see `axial`.
    """

    width: int = 64
    n_heads: int = 8
    batch_heads: int = 4
    n_blocks: int = 4
    hidden: int = 128
    dropout: float = 0.1
    statistic: Literal["precision", "corr", "corr+cov"] = "precision"
    marginals: bool = True
    global_statistic: bool = True
    identities: Literal["relative", "table"] = "relative"
    tied: bool = True


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which pair each token belongs to.

    cells: (U,) the sampled cells of the flattened (B, N, N) grids, sorted. inverse: (B T P,) the
    index in `cells` of each token. counts: (U, 1) the number of tokens of each cell.
    """

    cells: Tensor
    inverse: Tensor
    counts: Tensor

    @classmethod
    def of(cls, features: Features) -> Pairs:
        n_sets, n, _, _ = features.statistics.shape
        graph = torch.arange(n_sets, device=features.rows.device)[:, None, None]
        flat = ((graph * n + features.rows) * n + features.columns).flatten()
        cells, inverse, counts = torch.unique(flat, return_inverse=True, return_counts=True)
        return cls(cells, inverse, counts[:, None].float())

    def sum(self, tokens: Tensor) -> Tensor:
        """(B T P, d) -> (U, d)."""
        return tokens.new_zeros(len(self.cells), tokens.shape[-1]).index_add(
            0, self.inverse, tokens
        )

    def mean(self, tokens: Tensor) -> Tensor:
        return self.sum(tokens) / self.counts


class Encoder(nn.Module):
    """From features to encodings (B, N, N, d), whose entry (i, j) is about i -> j."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        d = config.width
        if config.global_statistic:
            self.embed_statistic = nn.Linear(CHANNELS[config.statistic], d)
        self.diagonal = nn.Embedding(2, d)
        if config.marginals:
            self.embed_token = nn.Embedding(N_TOKENS, d)
            self.token_norm = nn.LayerNorm(d)
        if config.identities == "table":
            self.row_nodes = nn.Embedding(N_IDENTITIES, d)
            self.column_nodes = nn.Embedding(N_IDENTITIES, d)
            if config.marginals:
                self.edge_nodes = nn.Embedding(N_IDENTITIES, d)
                self.edges = nn.Sequential(
                    nn.Linear(2 * d, d), nn.GELU(), nn.LayerNorm(d), nn.Linear(d, d)
                )
                self.times = nn.Embedding(MAX_TIMES, d)
        elif config.marginals:
            self.slots = nn.Embedding(BATCH_VARIABLES**2, d)
        self.grid_norm = nn.LayerNorm(d)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_blocks)])
        self.out_norm = nn.LayerNorm(d)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, features: Features, generator: torch.Generator | None = None) -> Tensor:
        """The encodings (B, N, N, d).

        generator: draws the identities in training, where they come from a table.
        """
        config = self.config
        n_sets, n, _, _ = features.statistics.shape
        use_tokens = config.marginals and features.tokens.numel() > 0
        grid = self.diagonal(torch.eye(n, dtype=torch.int64, device=features.statistics.device))
        grid = grid.expand(n_sets, n, n, -1)
        if config.global_statistic:
            grid = grid + self.embed_statistic(torch.asinh(features.statistics))
        identities = (
            self._identities(n_sets, n, generator, features)
            if config.identities == "table"
            else None
        )
        if identities is not None:
            grid = (
                grid
                + self.row_nodes(identities[0])[:, :, None]
                + self.column_nodes(identities[1])[:, None]
            )
        grid = self.dropout(self.grid_norm(grid))
        tokens = pairs = None
        if use_tokens:
            pairs = Pairs.of(features)
            tokens = self.dropout(self.token_norm(self._embed_tokens(features, pairs, identities)))
        for index, block in enumerate(self.blocks, 1):
            tokens, grid = block(tokens, grid, pairs, last=index == len(self.blocks))
        return self.out_norm(grid)

    def _embed_tokens(self, features: Features, pairs: Pairs, identities: Tensor | None) -> Tensor:
        """(B, T, P, d)."""
        tokens = self.embed_token(features.tokens)
        n_batches, n_pairs = tokens.shape[1:3]
        if identities is None:
            return tokens + self.slots(_slots(n_pairs, tokens.device))
        n = features.statistics.shape[1]
        graph, row, column = pairs.cells // (n * n), pairs.cells // n % n, pairs.cells % n
        ends = torch.cat(
            [
                self.edge_nodes(identities[2][graph, row]),
                self.edge_nodes(identities[2][graph, column]),
            ],
            -1,
        )
        edges = self.edges(ends).index_select(0, pairs.inverse).view_as(tokens)
        times = self.times(torch.arange(n_batches, device=tokens.device) % MAX_TIMES)
        return tokens + edges + times[:, None]

    def _identities(
        self, n_sets: int, n: int, generator: torch.Generator | None, features: Features
    ) -> Tensor:
        """(3, B, N) identities of row, column and edge nodes."""
        device = features.statistics.device
        if n > N_IDENTITIES:
            return (torch.arange(n, device=device) % N_IDENTITIES).expand(3, n_sets, n)
        if not self.training:
            return torch.arange(n, device=device).expand(3, n_sets, n)
        draws = torch.rand(3, n_sets, N_IDENTITIES, generator=generator)
        return draws.argsort(-1)[..., :n].to(device)


def _slots(n_pairs: int, device: torch.device) -> Tensor:
    """The slot (P,) of each of the P = k (k - 1) ordered pairs (a, b) of a batch: a k_max + b."""
    k = next(k for k in range(2, BATCH_VARIABLES + 1) if k * (k - 1) == n_pairs)
    first, second = torch.nonzero(~torch.eye(k, dtype=torch.bool, device=device), as_tuple=True)
    return first * BATCH_VARIABLES + second


class Block(nn.Module):
    """One block of both streams. tokens: (B, T, P, d) or None where there are none; grid: (B, N, N,
    d)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        d = config.width
        if config.marginals:
            self.within_batch = SequenceAttention(d, config.batch_heads)
            self.along_pair = PairPooling(d, config.n_heads)
            self.token_feed_forward = FeedForward(d, config.hidden)
            self.unsampled = nn.Parameter(torch.zeros(1))
            self.write = nn.Linear(d, d, bias=False)
        self.carry = nn.Linear(d, d)
        self.axial = AxialLayer(d, config.n_heads, config.hidden, config.dropout, config.tied)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, tokens: Tensor | None, grid: Tensor, pairs: Pairs | None, last: bool = False
    ) -> tuple[Tensor | None, Tensor]:
        d = grid.shape[-1]
        if tokens is None or pairs is None:
            return None, self.axial(self.carry(grid))
        tokens = tokens + self.dropout(self.within_batch(tokens))
        tokens = tokens + self.dropout(self.along_pair(tokens, pairs))
        tokens = tokens + self.dropout(self.token_feed_forward(tokens))
        # Linear(concat(grid, update)), where update is the scalar but at sampled pairs
        written = self.write(pairs.mean(tokens.reshape(-1, d)) - self.unsampled)  # type: ignore
        background = self.unsampled * self.write.weight.sum(1)
        grid = (
            (self.carry(grid) + background)
            .view(-1, d)
            .index_add(0, pairs.cells, written.to(grid.dtype))
            .view_as(grid)
        )
        grid = self.axial(grid)
        if last:  # the tokens are not read again
            return None, grid
        back = grid.reshape(-1, d).index_select(0, pairs.cells).index_select(0, pairs.inverse)
        return tokens + back.view_as(tokens), grid  # type: ignore


class PairPooling(nn.Module):
    """From tokens (B, T, P, d) to the weighted mean over the tokens of the same pair, (B, T, P, d),
    without the residual."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width)
        self.weights_values = nn.Linear(width, n_heads + width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, pairs: Pairs) -> Tensor:
        d = tokens.shape[-1]
        logits, values = (
            self.weights_values(self.norm(tokens))
            .view(-1, self.n_heads + d)
            .split((self.n_heads, d), -1)
        )
        # bounded instead of shifted by the segment's maximum: exact, and one pass less
        weights = (10 * torch.tanh(logits / 10)).exp()
        weighted = (values.view(-1, self.n_heads, d // self.n_heads) * weights[..., None]).view(
            -1, d
        )
        total = pairs.sum(weights).repeat_interleave(d // self.n_heads, dim=-1)
        pooled = self.out(pairs.sum(weighted) / total)
        return pooled.index_select(0, pairs.inverse).view_as(tokens)


class StructureLearner(nn.Module):
    """SEA: the encoder with its graph head, {none, i -> j, j -> i} for each pair i < j."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.graph_head = MLPHead(2 * config.width, 3)

    def forward(self, features: Features, generator: torch.Generator | None = None) -> Tensor:
        """(B, N (N - 1) / 2, 3) logits, pairs in the order of `torch.triu_indices(N, N, 1)`."""
        return graph_logits(self.encoder(features, generator), self.graph_head)


def graph_logits(encoded: Tensor, head: MLPHead) -> Tensor:
    """(B, N (N - 1) / 2, 3) logits of {none, i -> j, j -> i} from encoded (B, N, N, d)."""
    n = encoded.shape[1]
    i, j = torch.triu_indices(n, n, 1, device=encoded.device)
    return head(torch.cat([encoded[:, i, j], encoded[:, j, i]], dim=-1))


def graph_classes(adjacency: Tensor) -> Tensor:
    """The classes (B, N (N - 1) / 2) int64 of the pairs i < j: 0 none, 1 i -> j, 2 j -> i.

    adjacency: (B, N, N) bool, [i, j] is i -> j.
    """
    n = adjacency.shape[1]
    i, j = torch.triu_indices(n, n, 1, device=adjacency.device)
    return adjacency[:, i, j].long() + 2 * adjacency[:, j, i].long()


def graph_loss(logits: Tensor, adjacency: Tensor) -> Tensor:
    """Mean cross-entropy over the pairs of every graph."""
    return F.cross_entropy(logits.flatten(0, 1).float(), graph_classes(adjacency).flatten())
