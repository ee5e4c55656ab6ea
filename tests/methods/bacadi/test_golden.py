"""One step of BaCaDI equals the reference's, for both likelihoods: `golden/one_step.npz` (see
`golden/make_bacadi.py`)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from cdnbench.methods.bacadi.likelihood import FullyConnected, Linear, Regimes
from cdnbench.methods.bacadi.posterior import Noise, Particles, Posterior, Prior, edge_scores
from cdnbench.methods.bacadi.svgd import Bandwidths, RMSprop, kernels, stein_direction

HERE = Path(__file__).parent
SCRIPT = HERE / "golden" / "make_bacadi.py"


@pytest.fixture(scope="module")
def golden():
    spec = importlib.util.spec_from_file_location("make_bacadi", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(HERE / "golden" / "one_step.npz") as stored:
        return dict(stored)


def flat_theta(likelihood: str, parts: dict[str, np.ndarray], prefix: str = "") -> np.ndarray:
    """(P, F) of the reference's parameters or gradients, whose first axis after the particle's is
    the child."""
    if likelihood == "linear":
        return parts[f"{prefix}theta"].reshape(len(parts[f"{prefix}theta"]), -1)
    w1, b1 = parts[f"{prefix}w1"].transpose(0, 3, 2, 1), parts[f"{prefix}b1"].transpose(0, 2, 1)
    w2, b2 = parts[f"{prefix}w2"][..., 0].transpose(0, 2, 1), parts[f"{prefix}b2"]
    return np.concatenate([x.reshape(len(x), -1) for x in (w1, b1, w2, b2)], axis=1)


def setting(golden, likelihood: str) -> tuple[Posterior, Particles, Noise]:
    x = golden.golden_inputs(likelihood)
    put = lambda a: torch.as_tensor(np.ascontiguousarray(a))[None]  # noqa: E731
    samples = [np.split(x["rows"], np.cumsum(golden.ROWS)[:-1])]
    model = (Linear if likelihood == "linear" else FullyConnected)(samples)
    particles = Particles(
        put(x["z"]), put(flat_theta(likelihood, x)), put(x["means"]), put(x["gamma"])
    )
    noise = Noise(*(put(x[f"{name}_words"]) for name in ("graph", "target", "cycle", "sparsity")))
    return Posterior(model, Regimes.of(samples, "cpu"), Prior()), particles, noise


@pytest.fixture(params=["linear", "fc"])
def likelihood(request) -> str:
    return request.param


def close(actual: torch.Tensor, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(
        actual.numpy().reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max()
    )


def test_log_joint(golden, expected, likelihood):
    posterior, particles, _ = setting(golden, likelihood)
    scores, gamma = edge_scores(particles.z), particles.gamma
    off = 1 - torch.eye(golden.N, dtype=torch.float64)
    alpha = 0.01 * golden.STEP
    for kind, graphs, targets in (
        ("hard", (scores > 0) * off, (gamma > 0).double()),
        ("soft", (alpha * scores).sigmoid() * off, (alpha / 2 * gamma).sigmoid()),
    ):
        found = posterior.log_joint(
            particles.theta,
            particles.means,
            graphs.movedim(1, 3)[..., None],
            targets.movedim(1, 3)[..., None],
        )
        close(found, expected[f"{likelihood}_log_joint_{kind}"])


def test_gradients(golden, expected, likelihood):
    posterior, particles, noise = setting(golden, likelihood)
    found = posterior.gradients(particles, golden.STEP, noise)
    wanted = {
        name.removeprefix(f"{likelihood}_"): x
        for name, x in expected.items()
        if name.startswith(likelihood)
    }
    close(found.z, wanted["grad_z"])
    close(found.gamma, wanted["grad_gamma"])
    close(found.means, wanted["grad_means"])
    close(found.theta, flat_theta(likelihood, wanted, "grad_"))


def test_kernel_and_direction(golden, expected, likelihood):
    _, particles, _ = setting(golden, likelihood)
    wanted = {
        name.removeprefix(f"{likelihood}_"): x
        for name, x in expected.items()
        if name.startswith(likelihood)
    }
    put = lambda a: torch.as_tensor(np.ascontiguousarray(a))[None]  # noqa: E731
    h = Bandwidths()
    close(sum(kernels(particles, h)), wanted["kernel"])
    gradients = Particles(
        put(wanted["grad_z"]),
        put(flat_theta(likelihood, wanted, "grad_")),
        put(wanted["grad_means"]),
        put(wanted["grad_gamma"]),
    )
    direction = stein_direction(particles, gradients, h)
    close(direction.z, wanted["phi_z"])
    close(direction.theta, flat_theta(likelihood, wanted, "phi_"))
    close(direction.means, wanted["phi_means"])
    close(direction.gamma, wanted["phi_gamma"])
    optimiser = RMSprop(0.005)
    for _ in range(2):
        particles = optimiser.ascend(particles, direction)
    close(particles.z, wanted["z_after_two_steps"])
