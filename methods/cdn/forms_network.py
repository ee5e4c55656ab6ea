"""A network that reads each variable in several forms, and may say that nothing moved.

It has the stages of `network`: mechanism tests, grid layers, beliefs. What differs:

- Input. Moments and mechanism tests of two forms of every variable, level and normal score
  (`forms`), and the `evidence` of every variable alone. All of it is free of units. The network
  learns which form to trust from the evidence beside it.
- Variables know what their regime looks like as a whole, and what they do in other regimes
  (`Context`). Everything is equivariant under permutations of variables and of regimes.
- Silence. a is the logit of "some measured variable was hit", u_j that of "j was, given that one
  was". The score of j is the logit of sigmoid(a) sigmoid(u_j): the largest one is small where
  nothing moved, and within a regime the order is that of u.
- Screening. The first belief comes from the evidence alone, at a cost of N per regime. Where there
  are many variables, only the most likely go on to the grid; the others keep it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cdnbench.methods.cdn.evidence import N_EVIDENCE, OF_FORM, evidence
from cdnbench.methods.cdn.features import (
    N_GRID,
    N_GRID_SHIFT,
    N_NODE,
    N_NODE_SHIFT,
    set_features,
    shift_features,
)
from cdnbench.methods.cdn.forms import Forms, forms
from cdnbench.methods.cdn.mechanism import N_GRID_TEST, N_NODE_TEST, MechanismTests
from cdnbench.methods.cdn.network import EdgeHead, GridLayer, Shape
from cdnbench.methods.cdn.summary import Summary, summarise
from cdnbench.methods.cdn.summary import stack as stack_summaries

FORMS = ("level", "score")


@dataclass(frozen=True)
class FormsShape(Shape):
    """Sizes, and what the network reads. The defaults are the full network; the others are for
    studies of what it needs.

    forms: of `FORMS`, those that it sees. evidence: whether it sees the evidence of single
    variables; without, it cannot screen. contexts: whether it has `Context`s.
    """

    forms: tuple[str, ...] = FORMS
    evidence: bool = True
    contexts: bool = True

    def __post_init__(self) -> None:
        if not self.forms or not set(self.forms) <= set(FORMS):
            raise ValueError(f"forms are some of {FORMS}, at least one; got {self.forms}")

    @classmethod
    def of(cls, shape: Shape) -> FormsShape:
        """The shape itself, or the full network of these sizes."""
        return shape if isinstance(shape, cls) else cls(**asdict(shape))

    def plain(self) -> dict[str, Any]:
        """For a card: the sizes, and what differs from the full network."""
        full = FormsShape()
        switches = ("forms", "evidence", "contexts")
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in switches or value != getattr(full, name)
        }


@dataclass(frozen=True, eq=False)
class Reading:
    """What the network sees of B tasks with N variables and R regimes. summaries: of the levels
    and of the normal scores; none where only the screening is asked. evidence: (B, R, N,
    N_EVIDENCE)."""

    summaries: tuple[Summary, ...]
    evidence: Tensor

    def to(self, device: torch.device | str) -> Reading:
        return Reading(tuple(s.to(device) for s in self.summaries), self.evidence.to(device))


def read(
    data_sets: Sequence[np.ndarray],
    device: torch.device | str = "cpu",
    *,
    evidence_only: bool = False,
    seen: Sequence[str] = FORMS,
) -> Reading:
    """The reading of one task (B = 1) from its D data sets, each (rows, N), the observational one
    first. evidence_only: leave the summaries out, whose cost grows with N^2. seen: the forms that
    are summarised."""
    made = forms(data_sets)
    summaries = () if evidence_only else summaries_of(made, device, seen)
    return Reading(summaries, torch.from_numpy(evidence(made))[None].to(device))


def summaries_of(
    made: Forms, device: torch.device | str = "cpu", seen: Sequence[str] = FORMS
) -> tuple[Summary, ...]:
    """Of levels and normal scores, or of one of them."""
    return tuple(summarise(made.split(getattr(made, form)), device) for form in seen)


def stack(readings: Sequence[Reading]) -> Reading:
    """Tasks of equal N and D side by side."""
    return Reading(
        tuple(
            stack_summaries([r.summaries[f] for r in readings])
            for f in range(len(readings[0].summaries))
        ),
        torch.cat([r.evidence for r in readings]),
    )


class Beliefs(NamedTuple):
    """Of one stage. moved: (B, R) logits a that some measured variable was hit. among: (B, R, N)
    logits u given that. edges: (B, N, N, 3) logits of none, i -> j, j -> i, or None before the
    first stage."""

    moved: Tensor
    among: Tensor
    edges: Tensor | None

    @property
    def targets(self) -> Tensor:
        """(B, R, N) logits of sigmoid(moved) sigmoid(among)."""
        a, u = self.moved[..., None], self.among
        return -torch.logsumexp(torch.stack([(-a).expand_as(u), -u, -a - u]), dim=0)


class FormsNetwork(nn.Module):
    """reading -> beliefs from the evidence alone, then of every stage."""

    seen: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape = FormsShape.of(shape)
        d, c, f = shape.d, shape.c, len(shape.forms)
        self.register_buffer("seen", _seen(shape), persistent=False)
        self.evidence = nn.Sequential(
            nn.Linear(N_EVIDENCE, c), nn.GELU(), nn.Linear(c, c), nn.LayerNorm(c)
        )
        self.first_context, self.first_heads = _context(shape), Heads(c)
        self.enter = nn.Linear(c, c)
        nn.init.zeros_(self.enter.weight)
        self.grid_before, self.grid_after = nn.Linear(f * N_GRID, d), nn.Linear(f * N_GRID, d)
        self.grid_shift = nn.Linear(f * N_GRID_SHIFT, d)
        self.node_before, self.node_after = nn.Linear(f * N_NODE, c), nn.Linear(f * N_NODE, c)
        self.node_shift = nn.Linear(f * N_NODE_SHIFT, c)
        stages = shape.stages
        self.tests = nn.ModuleList(
            [nn.ModuleList([MechanismTests() for _ in range(f)]) for _ in stages]
        )
        self.grid_tests = nn.ModuleList([nn.Linear(f * N_GRID_TEST + 1, d) for _ in stages])
        self.node_tests = nn.ModuleList([nn.Linear(f * N_NODE_TEST + 1, c) for _ in stages])
        self.layers = nn.ModuleList(
            [nn.ModuleList([GridLayer(shape) for _ in range(n)]) for n in stages]
        )
        self.contexts = nn.ModuleList([_context(shape) for _ in stages])
        self.edge_heads = nn.ModuleList([EdgeHead(shape) for _ in stages])
        self.heads = nn.ModuleList([Heads(c) for _ in stages])

    def screen(self, evidence: Tensor) -> tuple[Tensor, Beliefs]:
        """States (B, R, N, c) and beliefs from the evidence alone."""
        V = self.evidence(evidence * self.seen)
        V = self.first_context(V)
        return V, Beliefs(*self.first_heads(V), edges=None)

    def forward(self, reading: Reading) -> list[Beliefs]:
        V, first = self.screen(reading.evidence)
        if not reading.summaries:
            return [first]
        return [first, *self.reason(reading.summaries, V, first)]

    def reason(self, summaries: tuple[Summary, ...], V: Tensor, first: Beliefs) -> list[Beliefs]:
        """Beliefs of the stages about the variables of the summaries, given states and beliefs of
        `screen`."""
        sets = [set_features(s) for s in summaries]
        shifts = [shift_features(s) for s in summaries]
        node, grid = (torch.cat([s[i] for s in sets], dim=-1) for i in (0, 1))
        node_shift, grid_shift = (torch.cat([s[i] for s in shifts], dim=-1) for i in (0, 1))
        G = (
            self.grid_before(grid[:, :1])
            + self.grid_after(grid[:, 1:])
            + self.grid_shift(grid_shift)
        )
        V = (
            self.enter(V)
            + self.node_before(node[:, :1])
            + self.node_after(node[:, 1:])
            + self.node_shift(node_shift)
        )
        n_regimes = V.shape[1]
        # No edge is likelier than another yet; which parents are tried first is decided by the
        # correlations, not by the order of the variables.
        correlations = grid[:, 0, :, :, ::N_GRID].abs()  # one per form
        edge_logits = 1e-3 * correlations.sum(-1)
        target_logits = first.targets.float()
        clean = torch.sigmoid(-target_logits)
        found = []
        for stage, layers in enumerate(self.layers):
            weights = torch.cat([torch.ones_like(clean[:, :1]), clean], dim=1)
            with torch.autocast(V.device.type, enabled=False):
                tests = [
                    test(summary, edge_logits, weights)
                    for test, summary in zip(self.tests[stage], summaries, strict=True)  # type: ignore[arg-type]
                ]
            likely = edge_logits[:, None, :, :, None].expand(-1, n_regimes, -1, -1, -1).float()
            G = G + self.grid_tests[stage](
                torch.cat([*(grid for _, grid in tests), likely.clamp(-8, 8)], dim=-1)
            )
            V = V + self.node_tests[stage](
                torch.cat(
                    [*(node for node, _ in tests), target_logits[..., None].clamp(-8, 8)], dim=-1
                )
            )
            for layer in layers:  # type: ignore[union-attr]
                G, V = layer(G, V)
            V = self.contexts[stage](V)
            edges = self.edge_heads[stage](G, V).float()
            moved, among = self.heads[stage](V)
            beliefs = Beliefs(moved, among, edges)
            found.append(beliefs)
            target_logits = beliefs.targets
            edge_logits = edges[..., 1] - torch.logsumexp(edges[..., ::2], dim=-1)
            clean = torch.sigmoid(-target_logits)
        return found


def _seen(shape: FormsShape) -> Tensor:
    """(N_EVIDENCE,) 1 for the statistics that the network sees, 0 for those it does not."""
    seen = torch.full((N_EVIDENCE,), float(shape.evidence))
    for form in set(FORMS) - set(shape.forms):
        seen[list(OF_FORM[form])] = 0.0
    return seen


def _context(shape: FormsShape) -> nn.Module:
    return Context(shape.c) if shape.contexts else nn.Identity()


class Context(nn.Module):
    """States (B, R, N, c), each told of the mean and the largest of its regime, and of the mean of
    its variable over all regimes: a target is what moves here and not everywhere."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(c)
        self.update = nn.Sequential(nn.Linear(4 * c, c), nn.GELU(), nn.Linear(c, c))
        nn.init.zeros_(self.update[-1].weight)  # type: ignore[arg-type]

    def forward(self, V: Tensor) -> Tensor:
        v = self.norm(V)
        told = (v.mean(-2, keepdim=True), v.amax(-2, keepdim=True), v.mean(1, keepdim=True))
        return V + self.update(torch.cat([v, *(part.expand_as(v) for part in told)], dim=-1))


class Heads(nn.Module):
    """States -> logits (B, R) that something moved, and (B, R, N) of what, given that."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(c)
        self.among = nn.Sequential(nn.Linear(c, c), nn.GELU(), nn.Linear(c, 1))
        self.moved = nn.Sequential(nn.Linear(2 * c, c), nn.GELU(), nn.Linear(c, 1))
        nn.init.constant_(self.among[-1].bias, -2.0)  # type: ignore[arg-type]
        nn.init.constant_(self.moved[-1].bias, 2.0)  # type: ignore[arg-type]

    def forward(self, V: Tensor) -> tuple[Tensor, Tensor]:
        v = self.norm(V)
        whole = torch.cat([v.mean(-2), v.amax(-2)], dim=-1)
        return self.moved(whole)[..., 0].float(), self.among(v)[..., 0].float()


def loss(
    beliefs: list[Beliefs], targets: Tensor, adjacency: Tensor, known: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropies of targets, of "something moved", of the first place, and of edges; the last
    stage counts most.

    targets: (B, R, N) bool. adjacency: (B, N, N) bool. known: (B,) bool, whether the graph may be
    learnt from.
    """
    n = adjacency.shape[-1]
    kinds = adjacency.long() + 2 * adjacency.transpose(1, 2).long()
    upper = torch.triu(torch.ones(n, n, dtype=torch.bool, device=adjacency.device), 1)
    any_target = targets.any(-1)
    total = torch.zeros((), device=targets.device)
    parts: dict[str, float] = {}
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    for stage, belief in enumerate(beliefs):
        which = cross_entropy(belief.targets, targets.float())
        moved = cross_entropy(belief.moved, any_target.float())
        place = first_place(belief.among, targets)
        weight = 1.0 if stage == len(beliefs) - 1 else 0.3
        total = total + weight * (which + 0.1 * moved + 0.1 * place)
        if belief.edges is not None and bool(known.any()):
            edges = nn.functional.cross_entropy(
                belief.edges[known][:, upper].flatten(0, 1), kinds[known][:, upper].flatten()
            )
            total = total + 0.3 * edges
            parts["edges"] = float(edges.detach())
        parts |= {
            "targets": float(which.detach()),
            "moved": float(moved.detach()),
            "place": float(place.detach()),
        }
    return total, parts


def first_place(among: Tensor, targets: Tensor) -> Tensor:
    """Mean over targets of -log softmax among the target and everything that is no target."""
    if not bool(targets.any()):
        return torch.zeros((), device=among.device)
    others = torch.logsumexp(among.masked_fill(targets, -torch.inf), dim=-1, keepdim=True)
    return torch.logaddexp(among, others).sub(among)[targets].mean()


def build(config: dict[str, Any]) -> FormsNetwork:
    """The network of a card's config, with weights yet to be loaded."""
    return FormsNetwork(FormsShape(**{k: _as_tuple(value) for k, value in config.items()}))


def _as_tuple(value: Any) -> Any:
    """JSON has lists for tuples."""
    return tuple(value) if isinstance(value, list) else value
