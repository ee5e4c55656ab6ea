"""The two networks of PDGrapher (Gonzalez et al. 2025): what a perturbation does (response), and
which it was (discovery).

They are alike. A node of the graph is a gene, with two inputs that are looked up in tables of its
own, and an embedding of its own:

    x = [first, second, position]                               16 + 16 + 16
    h = ELU(A (x W) + b),  then [first, second, h], batch normalisation: once a layer
    output = linear layers 16 - 16 - 8 - 1 with ELU and batch normalisation between them

A is the adjacency matrix with loops, normalised on both sides. Edges into nodes that are intervened
upon are cut, loops stay, and the normalisation is that of the whole graph.

             first                            second                           cut
    response   bin of expression before         target or not                    targets, mutated
               genes
    discovery  bin of expression before         bin of expression after          mutated genes

Reference: https://github.com/mims-harvard/PDGrapher (MIT), `_models.py`, `_embed.py`,
`_gcn_conv.py`. Layer by layer the same, but for
one thing: its `GCNConv.message` views the messages of B samples over E edges, (B, E), as (E, B)
when it multiplies them by the weights of the edges, so that with B > 1 they get those of other
edges (as of commit 41285f9). Here every edge has its own; one sample at a time, outputs are equal.
The rest that differs is arithmetic:

- One sparse product over a batch, laid out (nodes, batch x features), in place of a message an edge
  and sample; cut nodes are zeroed.
- Batch normalisation and the linear layer after it are one product with scaled weights, with its
  gradient in closed form.
- A table holds rows for the (gene, bin) pairs that occur. Rows that do not occur have no gradient,
  so that Adam leaves them alone.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn.functional import elu, embedding


@dataclass(frozen=True, eq=False)
class Graph:
    """A normalised undirected graph. between (N, N): sparse weights of edges, 0 on the diagonal.
    own (N, 1): weights of loops."""

    between: Tensor
    own: Tensor

    def to(self, device: str) -> Graph:
        return Graph(self.between.to(device), self.own.to(device))

    @staticmethod
    def of(n_nodes: int, edges: np.ndarray, *, loops: bool = True) -> Graph:
        """edges (E, 2): numbers of two different nodes, each pair once. Without edges and loops a
        node gets no message."""
        i, j = np.asarray(edges, dtype=np.int64).reshape(-1, 2).T
        degree = np.bincount(np.r_[i, j], minlength=n_nodes) + float(loops)
        root = np.zeros(n_nodes)
        root[degree > 0] = degree[degree > 0] ** -0.5
        weights = np.tile(root[i] * root[j], 2).astype(np.float32)
        matrix = sparse.csr_matrix((weights, (np.r_[i, j], np.r_[j, i])), shape=(n_nodes, n_nodes))
        first, column = (
            torch.from_numpy(a.astype(np.int64)) for a in (matrix.indptr, matrix.indices)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that torch's support of this form is new
            between = torch.sparse_csr_tensor(
                first, column, torch.from_numpy(matrix.data), (n_nodes, n_nodes)
            )
        return Graph(between, torch.from_numpy(loops * root**2).float()[:, None])


@dataclass(frozen=True)
class Layers:
    """Sizes. dim: of embeddings, of positions and of hidden layers, 16 in the reference."""

    dim: int = 16
    n_layers_gnn: int = 1
    n_layers_nn: int = 1


class Table(nn.Module):
    """Rows of embeddings, each of one node, which adds a bias. weight (U, D). node (U,): whose row
    it is. bias (N, D)."""

    node: Tensor

    def __init__(self, weight: Tensor, node: Tensor, n_nodes: int):
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(n_nodes, weight.shape[1]))
        self.register_buffer("node", node, persistent=False)

    def forward(self, row: Tensor) -> Tensor:
        """(N * B, D) of rows (N, B)."""
        return embedding(row.reshape(-1), self.weight + embedding(self.node, self.bias))


class NormLinear(nn.Module):
    """Batch normalisation of C columns over all rows, then a linear map to O. The columns come in
    parts, (M, C1), (M, C2), ..."""

    def __init__(self, n_in: int, n_out: int, *, bias: bool = True):
        super().__init__()
        self.norm = nn.BatchNorm1d(n_in)
        self.linear = nn.Linear(n_in, n_out, bias=bias)

    def forward(self, *parts: Tensor) -> Tensor:
        """(M, O)"""
        norm, bias = self.norm, self.linear.bias
        if self.training and norm.num_batches_tracked is not None:
            norm.num_batches_tracked += 1
        total: Any = None
        start = 0
        for part in parts:
            columns = slice(start, start := start + part.shape[1])
            mean, inverse = self._moments(part.detach(), columns)
            own = (self.linear.weight[:, columns], norm.weight[columns], norm.bias[columns])
            output = _NormLinear.apply(
                part, *own, bias if total is None else None, mean, inverse, self.training
            )
            total = output if total is None else total.add_(output)
        return total

    def _moments(self, part: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
        """Mean and inverse standard deviation (C,): of the batch in training, which moves the
        running ones, else these."""
        norm = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        mean, variance = norm.running_mean[columns], norm.running_var[columns]
        if self.training:
            rows = len(part)
            running_mean, running_variance = mean, variance
            mean = part.mean(0)
            variance = torch.linalg.vector_norm(part - mean, dim=0).square_().div_(rows)
            running_mean.lerp_(mean, norm.momentum or 0.0)
            running_variance.lerp_(variance * rows / max(rows - 1, 1), norm.momentum or 0.0)
        return mean, (variance + norm.eps).rsqrt()


class _NormLinear(torch.autograd.Function):
    """y = W (gamma z + beta) + b with z = (x - mean) * inverse, without keeping z. With g = W' dy,
    the gradient of x is gamma * inverse * (g - mean(g) - z mean(g z)) where mean and inverse are
    those of the batch, else gamma * inverse * g."""

    @staticmethod
    def forward(ctx, x, weight, gamma, beta, bias, mean, inverse, of_batch):  # type: ignore[override]
        scaled = weight * (gamma * inverse)
        offset = weight @ beta - scaled @ mean
        ctx.save_for_backward(x, weight, gamma, beta, mean, inverse)
        ctx.of_batch = of_batch
        return torch.addmm(offset if bias is None else offset + bias, x, scaled.T)

    @staticmethod
    def backward(ctx, dy):  # type: ignore[override]
        x, weight, gamma, beta, mean, inverse = ctx.saved_tensors
        scale = gamma * inverse
        sums = dy.sum(0)
        if not ctx.of_batch and not any(ctx.needs_input_grad[1:5]):
            return dy @ (weight * scale), *[None] * 7
        products = (dy.T @ x - torch.outer(sums, mean)) * inverse
        d_gamma, d_beta = (weight * products).sum(0), sums @ weight
        dx = None
        if ctx.needs_input_grad[0] and ctx.of_batch:
            slope = scale * inverse * d_gamma / len(x)
            dx = torch.addmm(slope * mean - scale * d_beta / len(x), dy, weight * scale).addcmul_(
                x, slope, value=-1
            )
        elif ctx.needs_input_grad[0]:
            dx = dy @ (weight * scale)
        d_bias = sums if ctx.needs_input_grad[4] else None
        return (
            dx,
            products * gamma + torch.outer(sums, beta),
            d_gamma,
            d_beta,
            d_bias,
            None,
            None,
            None,
        )


class _Propagate(torch.autograd.Function):
    """Messages (N, B * F) along a graph, in each of B samples; `cut` (K,): node * B + sample that
    hears only itself."""

    @staticmethod
    def forward(ctx, h, cut, graph, n_features):  # type: ignore[override]
        ctx.cut, ctx.graph, ctx.n_features = cut, graph, n_features
        heard = graph.between @ h
        heard.view(-1, n_features).index_fill_(0, cut, 0.0)
        return heard.addcmul_(h, graph.own)

    @staticmethod
    def backward(ctx, d):  # type: ignore[override]
        kept = d.reshape(-1, ctx.n_features).index_fill(0, ctx.cut, 0.0).view_as(d)
        return (ctx.graph.between @ kept).addcmul_(d, ctx.graph.own), None, None, None


class Network(nn.Module):
    """What both networks are: two inputs per node, one output."""

    def __init__(self, first: Table, second: Table, layers: Layers):
        super().__init__()
        n_nodes, dim = first.bias.shape
        hidden, inputs = layers.dim, 2 * dim
        self.first, self.second = first, second
        self.position = nn.Parameter(torch.randn(n_nodes, layers.dim))
        self.start = nn.Linear(inputs + layers.dim, hidden, bias=False)
        self.convolutions = nn.ModuleList(
            NormLinear(inputs + hidden, hidden, bias=False) for _ in range(layers.n_layers_gnn - 1)
        )
        self.shifts = nn.Parameter(torch.zeros(layers.n_layers_gnn, hidden))
        sizes = [inputs + hidden, *[hidden] * layers.n_layers_nn, hidden // 2, 1]
        self.head = nn.ModuleList(NormLinear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        for convolution in (self.start, *(c.linear for c in self.convolutions)):
            nn.init.xavier_uniform_(convolution.weight)  # type: ignore[arg-type]

    def forward(self, first: Tensor, second: Tensor, cut: Tensor, graph: Graph) -> Tensor:
        """(N, B) from inputs (N * B, D), nodes first. cut (K,): rows, node * B + sample, whose
        incoming edges are cut."""
        n_nodes, dim = self.first.bias.shape
        of_first, of_second, of_position = self.start.weight.split(
            [dim, dim, self.position.shape[1]], dim=1
        )
        h = torch.addmm(first @ of_first.T, second, of_second.T)
        h = (h.view(n_nodes, -1, h.shape[1]) + (self.position @ of_position.T)[:, None]).view_as(h)
        for layer, shift in enumerate(self.shifts):
            if layer:
                h = self.convolutions[layer - 1](first, second, h)
            heard: Any = _Propagate.apply(h.view(n_nodes, -1), cut, graph, h.shape[1])
            h = elu(heard.view_as(h).add_(shift), inplace=True)
        h = self.head[0](first, second, h)
        for layer in self.head[1:]:  # type: ignore[misc]
            h = layer(elu(h, inplace=True))
        return h.view(n_nodes, -1)


class Response(Network):
    """Expression after, from expression before and targets. `second` has two rows per node: not a
    target, target."""

    def forward(  # type: ignore[override]
        self,
        before: Tensor,
        targets: Tensor,
        graph: Graph,
        scores: Tensor | None = None,
        mutated: Tensor | None = None,
    ) -> Tensor:
        """(N, B) expression.

        before (N, B): rows of `first`. targets, mutated (K,): node * B + sample. scores (N, B): if
        given, they are added to all entries of the embedding of being a target, so that they have a
        gradient.
        """
        numbers = torch.arange(len(before), device=before.device)[:, None]
        target = torch.zeros(before.numel(), dtype=torch.long, device=before.device)
        target.index_fill_(0, targets, 1)
        second = self.second(target.view_as(before) + 2 * numbers)
        if scores is not None:
            second = second + scores.reshape(-1, 1)
        cut = targets if mutated is None else torch.cat([targets, mutated])
        return super().forward(self.first(before), second, cut, graph)


class Discovery(Network):
    """Scores of being a target, from expression before and after."""

    def forward(  # type: ignore[override]
        self, before: Tensor, after: Tensor, graph: Graph, mutated: Tensor | None = None
    ) -> Tensor:
        """(N, B) scores, from rows (N, B) of `first` and `second`. mutated (K,): node * B +
        sample."""
        none = torch.empty(0, dtype=torch.long, device=before.device)
        cut = none if mutated is None else mutated
        return super().forward(self.first(before), self.second(after), cut, graph)
