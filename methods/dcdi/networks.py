"""The networks of DCDI for D data sets side by side: loss and gradients of a minibatch, by hand.

Axes: D data sets, T nodes, J candidate parents (T = J = N), E interventional regimes (numbered
1..E; 0 is observational), B rows, H hidden units, P outputs of a node's network. For each row, node
t sees the row times a sampled mask of parents, and its density is that of its observational network
unless a second mask, sampled too, says that the row's regime intervened on t. Then the reference
(unknown, perfect interventions) sets the input of regime e's own network to zero, so that its
output is one number
per (node, regime), or P of them: it is computed once for each (node, regime) that a minibatch
meets. Only the gradient of the target mask looks at the first layer of that network, which
therefore stays as it was initialised.

Both masks are straight-through Gumbel-sigmoids: hard in the forward pass, with the derivative of
the soft value. With u uniform, sigmoid(l + logit u) = e^l u / (e^l u + 1 - u), so no logarithm is
taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cdnbench.methods.dcdi.densities import Density
from cdnbench.methods.dcdi.shapes import LARGEST_LOGIT, LEAK, Shapes, initial


class Parameters:
    """All parameters of D data sets in three arrays, and views into them.

    dense (D, .): of the observational networks and masks. rows (D * T * E, .): of the networks of
    each (node, regime).
    first (D * T * E, J, H): the untrained first layers of the latter.
    """

    def __init__(self, shapes: Shapes, dense: Tensor, rows: Tensor, first: Tensor) -> None:
        self.shapes, self.dense, self.rows, self.first = shapes, dense, rows, first

    @staticmethod
    def initial(
        shapes: Shapes, rngs: Sequence[np.random.Generator], dtype: torch.dtype, device: str
    ) -> Parameters:
        made = [initial(shapes, rng) for rng in rngs]
        dense, rows, first = (
            torch.from_numpy(np.concatenate(arrays)).to(device, dtype)
            for arrays in zip(*made, strict=True)
        )
        return Parameters(shapes, dense, rows, first)

    @property
    def n_data_sets(self) -> int:
        return len(self.dense)

    def views(self, flat: Tensor | None = None) -> dict[str, Tensor]:
        """Name -> (D, *shape) view of the dense parameters, or of another array laid out alike."""
        return _split(self.dense if flat is None else flat, self.shapes.dense)

    def take(self, keep: Sequence[int]) -> Parameters:
        """The parameters of some of the data sets."""
        rows = self.rows.unflatten(0, (self.n_data_sets, -1))[keep].flatten(0, 1)
        first = self.first.unflatten(0, (self.n_data_sets, -1))[keep].flatten(0, 1)
        return Parameters(self.shapes, self.dense[keep], rows, first)


def _split(flat: Tensor, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    sizes = [math.prod(shape) for shape in shapes.values()]
    parts = flat.split(sizes, dim=-1)
    return {
        name: part.unflatten(-1, shape)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }


@dataclass(frozen=True)
class Minibatch:
    """x (D, B, J). regime (D, B) int64, 0 = observational. edge_noise (D, T, B, J), target_noise
    (D, T, B): uniform on (0, 1)."""

    x: Tensor
    regime: Tensor
    edge_noise: Tensor
    target_noise: Tensor


@dataclass(frozen=True)
class RowGradients:
    """Gradients of the networks of the (node, regime) pairs that were met: index (U,) into
    `Parameters.rows`, values (U, .)."""

    index: Tensor
    values: Tensor


def loss(
    parameters: Parameters,
    density: Density,
    batch: Minibatch,
    allowed: Tensor,
    gradients: Tensor | None = None,
) -> tuple[Tensor, RowGradients | None]:
    """Mean negative log-likelihood over rows and nodes: (D,), and its gradients if there is room
    for them.

    allowed: (D, T, J), 1 where j may be a parent of t at all. gradients: an array like
        `parameters.dense`, to write into.
    """
    p = parameters.views()
    n_data, n, n_rows = batch.target_noise.shape

    # Masks
    odds = torch.exp(p["edges"].clamp(-LARGEST_LOGIT, LARGEST_LOGIT)) * allowed
    soft_edges = _gumbel_sigmoid(odds[:, :, None, :], batch.edge_noise)
    inputs = (soft_edges > 0.5) * batch.x[:, None]
    regime = batch.regime[:, None, :].expand(-1, n, -1)
    keep = torch.cat([torch.full_like(p["keep"][..., :1], LARGEST_LOGIT), p["keep"]], dim=2).gather(
        2, regime
    )
    soft_keep = _gumbel_sigmoid(torch.exp(keep), batch.target_noise)
    intervened = (
        ((soft_keep <= 0.5) & (regime > 0)).flatten().nonzero()[:, 0]
    )  # places in (D, T, B)

    # Networks of the observational mechanisms, for all rows
    w1, w2, w3 = (p[name].flatten(0, 1) for name in ("w1", "w2", "w3"))
    b1, b2, b3 = (p[name].flatten(0, 1)[:, None] for name in ("b1", "b2", "b3"))
    flat_inputs = inputs.flatten(0, 1)
    h1 = _leaky_(torch.bmm(flat_inputs, w1).add_(b1))
    h2 = _leaky_(torch.bmm(h1, w2).add_(b2))
    outputs = torch.bmm(h2, w3).add_(b3).flatten(0, 1)

    # Networks of the intervened ones, for the (node, regime) pairs met
    row = torch.div(intervened, n_rows, rounding_mode="floor") * parameters.shapes.n_regimes
    index, which = torch.unique(row + regime.reshape(-1)[intervened] - 1, return_inverse=True)
    constants = _Constants(parameters, index)
    outputs.index_copy_(0, intervened, constants.outputs[which])
    outputs = outputs.view(n_data, n, n_rows, -1)

    log_scale = p["log_scale"][:, :, None] if parameters.shapes.has_scale else None
    log_density, backward = density.forward(batch.x.mT.contiguous(), outputs, log_scale)
    losses = -log_density.sum((1, 2)) / (n * n_rows)
    if gradients is None:
        return losses, None

    # Backward
    g = parameters.views(gradients)
    of_outputs, of_scale = backward(torch.full_like(log_density, -1 / (n * n_rows)))
    if of_scale is not None:
        g["log_scale"].copy_(of_scale.sum(2))
    of_places = of_outputs.flatten(0, 2)
    of_constants = of_places[intervened]
    of_places.index_fill_(0, intervened, 0)
    g3 = of_outputs.flatten(0, 1)
    g["w3"].copy_(torch.bmm(h2.mT, g3).view_as(g["w3"]))
    g["b3"].copy_(g3.sum(1).view_as(g["b3"]))
    # An outer product, if there is one output only, which batched multiplication is slow at.
    g2 = _through_leaky_(g3 * w3.mT if g3.shape[2] == 1 else torch.bmm(g3, w3.mT), h2)
    g["w2"].copy_(torch.bmm(h1.mT, g2).view_as(g["w2"]))
    g["b2"].copy_(g2.sum(1).view_as(g["b2"]))
    g1 = _through_leaky_(torch.bmm(g2, w2.mT), h1)
    g["w1"].copy_(torch.bmm(flat_inputs.mT, g1).view_as(g["w1"]))
    g["b1"].copy_(g1.sum(1).view_as(g["b1"]))
    of_inputs = torch.bmm(g1, w1.mT).view_as(inputs)

    # An edge's mask multiplies an input, and so does the mask of targets (all inputs of a node).
    of_keep = torch.linalg.vecdot(of_inputs, inputs).flatten()
    pull = of_inputs.mul_(batch.x[:, None]).mul_(soft_edges).mul_(1 - soft_edges)
    torch.sum(pull, 2, out=g["edges"])
    of_keep[intervened] = constants.of_inputs_dot(
        inputs.flatten(0, 2)[intervened], of_constants, which
    )
    of_keep = of_keep.view_as(soft_keep).mul_(soft_keep).mul_(1 - soft_keep)
    by_regime = torch.zeros(
        n_data, n, parameters.shapes.n_regimes + 1, dtype=of_keep.dtype, device=of_keep.device
    )
    g["keep"].copy_(by_regime.scatter_add_(2, regime, of_keep)[..., 1:])
    return losses, RowGradients(index, constants.gradients(of_constants, which))


class _Constants:
    """The networks of U (node, regime) pairs at input zero."""

    def __init__(self, parameters: Parameters, index: Tensor) -> None:
        self.shapes = parameters.shapes
        self.first = parameters.first[index]
        self.p = _split(parameters.rows[index], self.shapes.rows)
        self.h1 = _leaky_(self.p["b1"].clone())
        self.h2 = _leaky_(
            torch.baddbmm(self.p["b2"][:, None], self.h1[:, None], self.p["w2"])[:, 0]
        )
        self.outputs = torch.baddbmm(self.p["b3"][:, None], self.h2[:, None], self.p["w3"])[:, 0]

    def gradients(self, of_outputs: Tensor, which: Tensor) -> Tensor:
        """(U, .) from the gradients (n, P) at the places that show output `which` (n,)."""
        g3 = torch.zeros_like(self.outputs).index_add_(0, which, of_outputs)
        g2, g1 = self._back(g3, self.p["w3"], self.p["w2"], self.h2, self.h1)
        parts = {
            "b1": g1,
            "w2": (self.h1[:, :, None] * g2[:, None]).flatten(1),
            "b2": g2,
            "w3": (self.h2[:, :, None] * g3[:, None]).flatten(1),
            "b3": g3,
        }
        return torch.cat([parts[name] for name in self.shapes.rows], dim=1)

    def of_inputs_dot(self, inputs: Tensor, of_outputs: Tensor, which: Tensor) -> Tensor:
        """(n,): inputs (n, J), as they were before they were set to zero, times the gradient with
        respect to them."""
        if self.shapes.n_outputs == 1:  # all gradients are multiples of one vector a network
            _, one = self._back(
                torch.ones_like(self.outputs), self.p["w3"], self.p["w2"], self.h2, self.h1
            )
            by_input = torch.bmm(self.first, one[:, :, None])[:, :, 0]
            return of_outputs[:, 0] * torch.linalg.vecdot(inputs, by_input[which])
        parts = (self.p["w3"], self.p["w2"], self.h2, self.h1)
        _, g1 = self._back(of_outputs, *(part[which] for part in parts))
        return torch.linalg.vecdot(torch.bmm(inputs[:, None], self.first[which])[:, 0], g1)

    @staticmethod
    def _back(g3: Tensor, w3: Tensor, w2: Tensor, h2: Tensor, h1: Tensor) -> tuple[Tensor, Tensor]:
        g2 = _through_leaky_(torch.bmm(g3[:, None], w3.mT)[:, 0], h2)
        return g2, _through_leaky_(torch.bmm(g2[:, None], w2.mT)[:, 0], h1)


def _gumbel_sigmoid(odds: Tensor, noise: Tensor) -> Tensor:
    scaled = odds * noise
    return scaled.div_((1 - noise).add_(scaled))


def _leaky_(z: Tensor) -> Tensor:
    """Leaky ReLU, in place."""
    return torch.nn.functional.leaky_relu_(z, LEAK)


def _through_leaky_(gradient: Tensor, h: Tensor) -> Tensor:
    """The gradient before a leaky ReLU that gave h, in place: h has the sign of what went in."""
    return torch.ops.aten.leaky_relu_backward.grad_input(
        gradient, h, LEAK, True, grad_input=gradient
    )
