"""The compiled fully connected likelihood of BaCaDI equals its formula."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from cdnbench.methods.bacadi.compiled import deviations
from cdnbench.methods.bacadi.likelihood import OBSERVATION_VARIANCE, FullyConnected

P, S = 2, 6


def formula(
    likelihood: FullyConnected, samples: list[np.ndarray], theta: Tensor, graphs: Tensor
) -> Tensor:
    """(R + 1, N, P, S) deviations for theta (P, F) and graphs (N, N, P, S), in the dtype of
    theta."""
    by_regime = []
    w1, b1, w2, b2 = likelihood.unpack(theta)
    for x in samples:
        x = torch.as_tensor(x, dtype=theta.dtype)
        units = torch.einsum("rk,kjps,phkj->rhjps", x, graphs.to(theta.dtype), w1)
        units = (units + b1.permute(1, 2, 0)[..., None]).sigmoid()
        means = torch.einsum("rhjps,phj->rjps", units, w2) + b2.T[..., None]
        by_regime.append(((x[:, :, None, None] - means) ** 2).sum(0) / (2 * OBSERVATION_VARIANCE))
    return torch.stack([torch.stack(by_regime).sum(0), *by_regime[1:]])


def rows(counts: list[int], n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(n)
    return [2 * rng.standard_normal((count, n)) for count in counts]


@pytest.fixture(params=[[7, 1, 12, 1, 3], [1, 1], [1, 40], [200, 20, 20]], ids=str)
def counts(request) -> list[int]:
    return request.param


@pytest.fixture(params=[2, 3, 6, 7, 12])
def case(request, counts) -> tuple[FullyConnected, list[np.ndarray], Tensor, Tensor]:
    """Likelihood, rows, theta (P, F), and graphs (N, N, P, S) without self-loops."""
    n = request.param
    samples = rows(counts, n)
    likelihood = FullyConnected([samples])
    rng = np.random.default_rng(0)
    graphs = torch.as_tensor(rng.random((n, n, P, S))) * (1 - torch.eye(n))[..., None, None]
    return (
        likelihood,
        samples,
        torch.as_tensor(2 * rng.standard_normal((P, likelihood.n_parameters))),
        graphs,
    )


@pytest.mark.parametrize("kind", ["soft", "hard", "all draws the same"])
def test_deviations(case, kind):
    likelihood, samples, theta, graphs = case
    if kind != "soft":
        graphs = graphs.round()
    if kind == "all draws the same":
        graphs = graphs[..., :1].expand(graphs.shape)
    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 2e-6)):
        found = likelihood.deviations(theta[None], graphs[None].to(dtype))[0]
        wanted = formula(likelihood, samples, theta, graphs.to(dtype))
        assert found.dtype == dtype
        assert (abs(found - wanted) <= tolerance * (1 + wanted)).all()


def test_screened_densities_are_far_within_their_margin():
    """The error in single precision, relative to `size`, for large weights and rows, and many of
    these."""
    samples = [100 * x for x in rows([3000, 20, 20], 10)]
    likelihood = FullyConnected([samples])
    rng = np.random.default_rng(0)
    theta = torch.as_tensor(5 * rng.standard_normal((P, likelihood.n_parameters)))
    graphs = torch.as_tensor(rng.random((10, 10, P, S)))
    found = likelihood.deviations(theta[None], graphs[None].float())[0]
    error = (found - formula(likelihood, samples, theta, graphs)).abs().sum((0, 1))
    assert (error < 4e-7 * likelihood.size(theta[None])[0, :, None]).all()


def test_units_that_saturate():
    """Inputs of the units from -1000 to 1000."""
    x = np.linspace(-1000, 1000, 4001)[None].repeat(2, axis=0)
    ones, zeros = np.ones((1, 5, 2)), np.zeros((1, 2))
    for dtype, tolerance in ((np.float64, 1e-13), (np.float32, 1e-5)):
        edge = np.zeros((2, 2, 1, 1), dtype)
        edge[0, 1] = 1
        out = np.empty((len(x.T), 2, 1, 1), dtype)
        parts = (y.astype(dtype) for y in (np.ones((1, 5, 2, 2)), 0 * ones, ones / 5, zeros))
        deviations(*parts, edge, x.astype(dtype), np.arange(1, len(x.T) + 1), 2.0, out)
        wanted = (x[1] - torch.as_tensor(x[1]).sigmoid().numpy()) ** 2
        np.testing.assert_allclose(out[1:, 1, 0, 0], wanted[1:], rtol=tolerance)


def test_pull_equals_the_gradient(case):
    likelihood, samples, theta, graphs = case
    draws = [(0, 1), (0, 2), (1, 0)]
    theta = theta[[p for p, _ in draws]]
    graphs = torch.stack([graphs[:, :, p, s] for p, s in draws], dim=-1)
    graphs[..., 0].round_()
    rng = np.random.default_rng(1)
    weights = torch.as_tensor(rng.random((len(samples), len(graphs), len(draws))))
    weights[1:] *= -1  # targets: their rows count less
    theta.requires_grad_(), graphs.requires_grad_()
    density = -(formula(likelihood, samples, theta, graphs[..., None])[..., 0] * weights).sum()
    density = density + likelihood.log_prior(theta[None], graphs[None, ..., None]).sum()
    by_theta, by_graphs = torch.autograd.grad(density, (theta, graphs))
    found = likelihood.pull(theta.detach(), graphs.detach(), weights, 0)
    for x, y in zip(found, (by_graphs.permute(2, 0, 1), by_theta), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-9 * float(y.abs().max()))


def test_the_formulas_of_other_devices_agree(case):
    likelihood, samples, theta, graphs = case
    found = likelihood.deviations(theta[None], graphs[None])[0]
    wanted = torch.empty_like(found)
    likelihood._deviations(theta, graphs, 0, wanted)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    graphs = graphs[..., 0].movedim(-1, 0)
    weights = torch.as_tensor(np.random.default_rng(1).random((P, len(samples), graphs.shape[1])))
    for x, y in zip(
        likelihood._compiled_slopes(theta, graphs, weights, 0),
        likelihood._slopes(theta, graphs, weights, 0),
        strict=True,
    ):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-9 * float(y.abs().max()))


def test_the_linear_likelihood_needs_no_compiler():
    code = (
        "import sys, numpy as np, cdnbench.methods.bacadi.bacadi\n"
        "from cdnbench.methods.bacadi.likelihood import Linear\n"
        "Linear([[np.ones((3, 2)), np.ones((2, 2))]])\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
