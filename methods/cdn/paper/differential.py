"""The paper's differential networks: from the encodings of both data sets to one logit per
variable.

    axial   one axial layer on the N x N grid of both encodings, mean over the incoming edges of
            each node, Linear -> 1
    mlp     Linear - GELU - LayerNorm - Linear on each entry, mean over incoming edges, Linear -> 1

Entry (i, j) is about i -> j, so the incoming edges of j are column j: the mean runs over i, as the
paper says (the public code averages the outgoing ones).

Variants: The encodings are concatenated, or their difference is taken. Node statistics (raw mean
and variance of each variable, through Linear - GELU - LayerNorm - Linear) can be one more entry of
the average, as in the paper's final version. The encoder is frozen, or trained jointly with a loss
on the observational graph.

Wu, Padia, Murphy, Barzilay, Jaakkola 2025, Identifying biological perturbation targets through
causal differential networks, ICML (arXiv:2410.03380), and its first version (2024), Predicting
perturbation targets with causal differential networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cdnbench.methods.cdn.paper.aggregator import Encoder, EncoderConfig, graph_logits
from cdnbench.methods.cdn.paper.axial import AxialLayer, MLPHead, chunks
from cdnbench.methods.cdn.paper.featuriser import Features


@dataclass(frozen=True, kw_only=True)
class DifferentialConfig:
    """Sizes and variants of a network.

    encoder: the encoder of both data sets. head, combination, node_statistics: see the module's
    docstring. joint: whether the encoder is trained too. pretrained: whether the encoder starts
    from SEA (False is an ablation of Table 7). hidden: feed-forward width of the axial head.
    dropout: dropout of the head.
    """

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    head: Literal["axial", "mlp"] = "axial"
    combination: Literal["concat", "difference"] = "concat"
    node_statistics: bool = False
    joint: bool = False
    pretrained: bool = True
    hidden: int = 256
    dropout: float = 0.1

    def plain(self) -> dict[str, Any]:
        """The configuration as a card stores it; `from_plain` reads it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> DifferentialConfig:
        return cls(**{**values, "encoder": EncoderConfig(**values["encoder"])})


@dataclass(frozen=True, eq=False)
class Encoded:
    """B encoded data sets. grid: (B, N, N, d). moments: (B, N, 2), raw mean and variance."""

    grid: Tensor
    moments: Tensor

    def __len__(self) -> int:
        return len(self.grid)

    def select(self, index: Any) -> Encoded:
        return Encoded(self.grid[index], self.moments[index])

    def expand(self, n_sets: int) -> Encoded:
        """One data set, repeated n_sets times without a copy."""
        return Encoded(
            self.grid.expand(n_sets, *self.grid.shape[1:]),
            self.moments.expand(n_sets, *self.moments.shape[1:]),
        )


class DifferentialNetwork(nn.Module):
    """From two encoded data sets to logits (B, N) of "is a target"."""

    def __init__(self, config: DifferentialConfig) -> None:
        super().__init__()
        self.config = config
        d = config.encoder.width
        width = 2 * d if config.combination == "concat" else d
        self.encoder = Encoder(config.encoder)
        self.graph_head = MLPHead(2 * d, 3)
        if config.node_statistics:
            self.nodes = nn.Sequential(nn.Linear(2, d), nn.GELU(), nn.LayerNorm(d), nn.Linear(d, d))
        if config.head == "axial":
            self.axial = AxialLayer(
                width, config.encoder.n_heads, config.hidden, config.dropout, config.encoder.tied
            )
            self.out = nn.Linear(width, 1)
        else:
            self.entries = MLPHead(width, d)
            self.out = nn.Linear(d, 1)
        if not config.joint:
            for module in (self.encoder, self.graph_head):
                module.requires_grad_(False)

    def load_encoder(self, tensors: Mapping[str, Tensor]) -> None:
        """Start from the tensors of a `StructureLearner`."""
        for name, module in (("encoder", self.encoder), ("graph_head", self.graph_head)):
            prefix = name + "."
            module.load_state_dict(
                {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            )

    def train(self, mode: bool = True) -> DifferentialNetwork:
        """A frozen encoder stays in evaluation mode."""
        super().train(mode)
        if not self.config.joint:
            self.encoder.eval()
        return self

    def encode(self, features: Features, generator: torch.Generator | None = None) -> Encoded:
        return Encoded(self.encoder(features, generator), features.moments)

    def forward(self, before: Encoded, after: Encoded) -> Tensor:
        """(B, N) logits."""
        grid = self._combine(before.grid, after.grid)
        if self.config.node_statistics:
            # signed logarithms: raw means and variances span decades
            old, new = (self.nodes(torch.asinh(x.moments.to(grid.dtype))) for x in (before, after))
            grid = torch.cat([grid, self._combine(old, new)[:, None]], dim=1)
        if self.config.head == "axial":
            return self.out(self.axial(grid).mean(1))[..., 0]
        total = sum(self.entries(rows).sum(1) for rows in chunks(grid))
        return self.out(total / grid.shape[1])[..., 0]

    def graph(self, before: Encoded) -> Tensor:
        """Logits of the observational graph, see `aggregator.graph_logits`."""
        return graph_logits(before.grid, self.graph_head)

    def _combine(self, before: Tensor, after: Tensor) -> Tensor:
        return (
            torch.cat([before, after], dim=-1)
            if self.config.combination == "concat"
            else after - before
        )


def target_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy over the nodes of every item; logits and targets are (B, N)."""
    return F.binary_cross_entropy_with_logits(logits.float(), targets.float())
