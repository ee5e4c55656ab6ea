"""Derivatives written by hand equal autograd's of the obvious formula."""

import math

import pytest
import torch
from torch.nn.functional import log_softmax, logsigmoid, softplus

from cdnbench.methods.dcdi.densities import Gaussian, SigmoidalFlow


def flow_log_density(x, outputs, n_layers=2, width=16, delta=1e-6):
    """In log space, layer by layer, as Huang et al. write it."""
    h, total = x, torch.zeros_like(x)
    for raw in outputs.unflatten(-1, (n_layers, 3, width)).unbind(-3):
        a, z = softplus(raw[..., 0, :]) + delta, None
        z = a * h[..., None] + raw[..., 1, :]
        slope = (
            log_softmax(raw[..., 2, :], -1) + logsigmoid(z) + logsigmoid(-z) - 2 * delta + a.log()
        )
        p = (raw[..., 2, :].softmax(-1) * z.sigmoid()).sum(-1) * (1 - delta) + delta / 2
        h = p.log() - (1 - p).log()
        total = total + slope.logsumexp(-1) + math.log(1 - delta) - p.log() - (1 - p).log()
    return total - h**2 / (2 * math.e + 1e-5) - 0.5 - 0.5 * math.log(2 * math.pi)


def inputs(n_outputs, scale=2.0):
    torch.manual_seed(0)
    x = scale * torch.randn(3, 4, 7, dtype=torch.float64)
    outputs = torch.randn(3, 4, 7, n_outputs, dtype=torch.float64, requires_grad=True)
    return x, outputs, torch.randn(3, 4, 7, dtype=torch.float64)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_flow(scale):
    x, outputs, upstream = inputs(96, scale)
    expected = flow_log_density(x, outputs)
    (gradient,) = torch.autograd.grad(expected, outputs, upstream)
    value, backward = SigmoidalFlow().forward(x, outputs.detach())
    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(backward(upstream)[0], gradient, rtol=1e-7, atol=1e-9)


def test_gaussian():
    x, outputs, upstream = inputs(1)
    log_scale = torch.randn(3, 4, 1, dtype=torch.float64, requires_grad=True)
    expected = torch.distributions.Normal(outputs[..., 0], log_scale.exp()).log_prob(x)
    of_outputs, of_scale = torch.autograd.grad(expected, [outputs, log_scale], upstream)
    value, backward = Gaussian().forward(x, outputs.detach(), log_scale.detach())
    torch.testing.assert_close(value, expected.detach())
    gradient, by_row = backward(upstream)
    torch.testing.assert_close(gradient, of_outputs)
    torch.testing.assert_close(by_row.sum(2, keepdim=True), of_scale)
