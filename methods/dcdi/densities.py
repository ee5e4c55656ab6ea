"""The two families of conditional densities of DCDI, with their derivatives by hand.

A density turns n_outputs numbers of a node's network into log p(x | parents). `forward(x, outputs,
log_scale)` takes x (...), outputs (..., n_outputs) and log_scale broadcastable to x, and gives the
log-density (...) and a function from its upstream gradient (...) to the gradients of outputs and of
log_scale (None if the density has no log_scale of its own). The gradient of x
is not needed: data are not parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import softplus

Backward = Callable[[Tensor], tuple[Tensor, Tensor | None]]

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class Density(Protocol):
    """n_outputs: of each node's network. has_scale: whether each node has one log standard
    deviation shared by all regimes."""

    n_outputs: int
    has_scale: bool

    def forward(
        self, x: Tensor, outputs: Tensor, log_scale: Tensor | None
    ) -> tuple[Tensor, Backward]: ...


class Gaussian:
    """DCDI-G: N(mean of the network, exp(log_scale)^2)."""

    n_outputs: int = 1
    has_scale: bool = True

    def forward(
        self, x: Tensor, outputs: Tensor, log_scale: Tensor | None
    ) -> tuple[Tensor, Backward]:
        assert log_scale is not None
        residual = x - outputs[..., 0]
        precision = torch.exp(-2 * log_scale)
        squares = residual.square() * precision
        log_density = -0.5 * squares - log_scale - _LOG_SQRT_2PI

        def backward(gradient: Tensor) -> tuple[Tensor, Tensor | None]:
            return (gradient * residual * precision)[..., None], gradient * (squares - 1)

        return log_density, backward


class SigmoidalFlow:
    """DCDI-DSF: a deep sigmoidal flow (Huang et al. 2018) onto a Gaussian, `n_layers` layers of
    `width` sigmoids.

    A layer maps h to logit(sum_k w_k sigmoid(a_k h + b_k)) with a = softplus, w = softmax of what
    the network gives; its outputs are, layer by layer, the `width` numbers for a, then for b, then
    for w. Constants as in the reference: 1e-6 keeps a and the logit's argument off their bounds,
    and the base density has log-variance 1 (not variance 1).
    """

    has_scale: bool = False

    def __init__(self, n_layers: int = 2, width: int = 16) -> None:
        self.n_layers, self.width = n_layers, width
        self.n_outputs = 3 * n_layers * width

    def forward(
        self, x: Tensor, outputs: Tensor, log_scale: Tensor | None = None
    ) -> tuple[Tensor, Backward]:
        layers = outputs.unflatten(-1, (self.n_layers, 3, self.width))
        h, log_slope, steps = x, torch.zeros_like(x), []
        for i in range(self.n_layers):
            step = _FlowLayer(h, layers[..., i, :, :])
            h, log_slope = step.h, log_slope + step.log_slope
            steps.append(step)
        log_density = log_slope - h.square() / _BASE_SCALE - 0.5 - _LOG_SQRT_2PI

        def backward(gradient: Tensor) -> tuple[Tensor, Tensor | None]:
            of_outputs = torch.empty_like(outputs)
            of_layers = of_outputs.unflatten(-1, (self.n_layers, 3, self.width))
            of_h = -2 / _BASE_SCALE * gradient * h
            for i in reversed(range(self.n_layers)):
                of_h = steps[i].backward(of_h, gradient, of_layers[..., i, :, :])
            return of_outputs, None

        return log_density, backward


_DELTA = 1e-6
_BASE_SCALE = 2 * math.e + 1e-5  # twice the base density's variance


class _FlowLayer:
    """One layer at h (...) with raw parameters (..., 3, width): the new h and the log-derivative,
    both (...)."""

    def __init__(self, h: Tensor, raw: Tensor) -> None:
        self.h_in, self.raw_a = h, raw[..., 0, :]
        self.a = softplus(self.raw_a) + _DELTA
        self.w = torch.softmax(raw[..., 2, :], dim=-1)
        z = torch.addcmul(raw[..., 1, :], self.a, h[..., None])
        self.s = torch.sigmoid(z)
        self.bump = self.s * torch.sigmoid(
            -z
        )  # the sigmoid's derivative, without cancellation for large z
        self.weighted = self.w * self.bump
        # Hundreds of widths from every sigmoid it underflows; the reference goes on falling in log
        # space there.
        self.slope = (self.weighted * self.a).sum(-1).clamp_min(torch.finfo(h.dtype).tiny * 1e4)
        self.p = (self.w * self.s).sum(-1) * (1 - _DELTA) + _DELTA / 2
        log_p, log_1_p = torch.log(self.p), torch.log1p(-self.p)
        self.h = log_p - log_1_p
        # The reference's log-sigmoids are 1e-6 too low, twice.
        self.log_slope = (
            torch.log(self.slope) + (math.log1p(-_DELTA) - 2 * _DELTA) - log_p - log_1_p
        )

    def backward(self, of_h: Tensor, of_log_slope: Tensor, of_raw: Tensor) -> Tensor:
        """Write the gradient of the raw parameters into `of_raw`; return that of the layer's
        input."""
        up, down = 1 / self.p, 1 / (1 - self.p)
        of_p = ((of_h * (up + down) + of_log_slope * (down - up)) * (1 - _DELTA))[..., None]
        of_slope = (of_log_slope / self.slope)[..., None]
        pull = of_slope * self.a
        of_z = self.weighted * torch.addcmul(of_p, pull, 1 - 2 * self.s)
        of_a = torch.addcmul(of_slope * self.weighted, of_z, self.h_in[..., None])
        of_w = torch.addcmul(of_p * self.s, pull, self.bump)
        of_raw[..., 0, :] = of_a * torch.sigmoid(self.raw_a)
        of_raw[..., 1, :] = of_z
        of_raw[..., 2, :] = self.w * (of_w - (self.w * of_w).sum(-1, keepdim=True))
        return (of_z * self.a).sum(-1)
