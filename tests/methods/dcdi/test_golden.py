"""Loss, gradients and training runs equal those of the reference (golden/make_dcdi.py says how they were made)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cdnbench.methods.dcdi.densities import Gaussian, SigmoidalFlow
from cdnbench.methods.dcdi.networks import Minibatch, Parameters, Shapes, loss
from cdnbench.methods.dcdi.schedule import Constants
from cdnbench.methods.dcdi.training import Options, Randomness, Rows, _Training

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "dcdi.npz"))
N, E, ROWS, BATCH = 4, 3, 240, 64
DENSITIES = {"g": Gaussian(), "dsf": SigmoidalFlow()}


def parameters(name: str, theirs: dict[str, np.ndarray]) -> Parameters:
    """Ours from the reference's: weights (T, out, in, regimes), edges [j, t], one log-std parameter a node."""
    shapes = Shapes(N, E, 16, DENSITIES[name].n_outputs, DENSITIES[name].has_scale)
    w = [np.moveaxis(theirs[f"weights.{i}"], (0, 3, 2, 1), (0, 1, 2, 3)) for i in range(3)]  # (T, regimes, in, out)
    b = [theirs[f"biases.{i}"].swapaxes(1, 2) for i in range(3)]
    dense = {f"w{i + 1}": w[i][:, 0] for i in range(3)} | {f"b{i + 1}": b[i][:, 0] for i in range(3)}
    dense["edges"], dense["keep"] = theirs["gumbel_adjacency.log_alpha"].T, theirs["gumbel_interv_w.log_alpha"]
    if shapes.has_scale:
        dense["log_scale"] = np.concatenate([theirs[f"extra_params.{i}"] for i in range(N)])
    rows = {f"w{i + 1}": w[i][:, 1:] for i in range(1, 3)} | {f"b{i + 1}": b[i][:, 1:] for i in range(3)}
    return Parameters(
        shapes,
        torch.from_numpy(np.concatenate([dense[k].ravel() for k in shapes.dense]))[None],
        torch.from_numpy(np.concatenate([rows[k].reshape(N * E, -1) for k in shapes.rows], axis=1)),
        torch.from_numpy(w[0][:, 1:].reshape(N * E, N, 16).copy()),
    )


def of(prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): value for key, value in GOLDEN.items() if key.startswith(prefix)}


def uniform(source: np.random.RandomState, *shape: int) -> np.ndarray:
    return source.uniform(size=shape).astype(np.float32)


def masks(source: np.random.RandomState, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise of the reference's masks, drawn in its order, with our axes: (T, B, J) and (T, B)."""
    edges = uniform(source, rows, N, N)
    return edges.transpose(2, 0, 1), uniform(source, 1, N, rows)[0]


def minibatch(rows: np.random.RandomState, noise: np.random.RandomState) -> Minibatch:
    index = rows.choice(ROWS, BATCH, replace=False)
    arrays = GOLDEN["x"][index], GOLDEN["regime"][index], *masks(noise, BATCH)
    x, regime, edge_noise, target_noise = (torch.from_numpy(np.ascontiguousarray(a))[None] for a in arrays)
    return Minibatch(x, regime, edge_noise.double(), target_noise.double())


@pytest.mark.parametrize("name", DENSITIES)
def test_loss_and_gradients(name):
    start = of(f"start/{name}/")
    shake = np.random.RandomState(4)
    theirs = {key: value + 0.3 * shake.normal(size=value.shape) for key, value in start.items()}
    theirs["gumbel_interv_w.log_alpha"] = theirs["gumbel_interv_w.log_alpha"] - 3
    p = parameters(name, theirs)
    gradients, allowed = torch.zeros_like(p.dense), 1 - torch.eye(N).double()[None]
    batch = minibatch(np.random.RandomState(3), np.random.RandomState(1))

    value, of_rows = loss(p, DENSITIES[name], batch, allowed, gradients)

    np.testing.assert_allclose(value.item(), GOLDEN[f"one/{name}/loss"], rtol=1e-10)
    assert 5 < len(of_rows.index) <= N * E
    rows = torch.zeros_like(p.rows)
    rows[of_rows.index] = of_rows.values
    ours = Parameters(p.shapes, gradients, rows, torch.zeros_like(p.first))
    theirs = parameters(name, start | of(f"one/{name}/gradient/"))
    for key, expected in theirs.views().items():
        np.testing.assert_allclose(ours.views()[key], expected, rtol=1e-5, atol=1e-9, err_msg=key)
        assert expected.abs().max() > 1e-6, key
    np.testing.assert_allclose(ours.rows, theirs.rows, rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(ours.first, theirs.first)  # the reference's gradient of them is zero as well


QUICK = Options(
    learning_rate=1e-2,
    constants=Constants(mu_init=1000.0, h_threshold=1e-3, train_patience=1, train_patience_post=1),
)


class Replay(Randomness):
    """Draws what the reference drew."""

    def __init__(self):
        self.rng, self.masks, self.validation, self.rows = (np.random.RandomState(i) for i in (0, 1, 2, 3))

    def minibatches(self, n_rows, shape):
        return np.stack([self.rows.choice(n_rows, shape[1], replace=False) for _ in range(shape[0])])

    def uniform(self, out):
        source, rows = (self.masks, BATCH) if out.ndim == 2 else (self.validation, out.numel() // (N * (N + 1)))
        for one in out.view(-1, rows * N * (N + 1)):
            one.copy_(torch.from_numpy(np.concatenate([a.ravel() for a in masks(source, rows)])))
        return out


def training_run(name: str) -> _Training:
    x, regime = GOLDEN["x"], GOLDEN["regime"]
    data = Rows(x[:ROWS], regime[:ROWS], x[ROWS:], regime[ROWS:])
    training = _Training([data], E, DENSITIES[name], QUICK, [Replay()])
    training.parameters = parameters(name, of(f"start/{name}/"))
    return training


@pytest.mark.parametrize(("name", "iterations"), [("g", 3100), ("dsf", 1000)])
def test_training_run(name, iterations):
    """Multipliers, constraint and validation Lagrangian at each check.

    Rounding errors grow: 1e-16 is 1e-6 after 3,000 iterations with g, when the constraint has been reached.
    """
    log, training = GOLDEN[f"run/{name}/log"], training_run(name)
    schedule, ours = training.schedules[0], []
    for iteration in range(iterations):
        multipliers = schedule.mu, schedule.gamma
        training.step(iteration)
        if iteration % 100 == 0:
            shift = (
                schedule.lagrangians[-1] if (schedule.mu, schedule.gamma) == multipliers else log[iteration // 100, 6]
            )
            ours.append([iteration, *multipliers, schedule.h, shift])
    np.testing.assert_allclose(ours, log[: len(ours), [0, 1, 2, 3, 6]], rtol=1e-5)
    assert name == "dsf" or (schedule.stage == "patience" and schedule.updates == 1)


@pytest.mark.slow
def test_whole_training_run():
    """Every phase at the reference's iteration, and the masks at the end."""
    training, phases, stage = training_run("g"), [], "subproblem"
    for iteration in range(8000):
        ended = training.step(iteration)
        if training.schedules[0].stage != stage:
            stage = training.schedules[0].stage
            phases.append((stage, iteration))
        if ended:
            break
    # "First stop at 2957" is the first iteration with a small constraint; ours looks where something can follow from it.
    assert phases == [("patience", 3000), ("refit", 4001), ("finished", 6001)]
    assert GOLDEN["run/g/log"][-1, 0] == 6000
    edges = GOLDEN["run/g/end/gumbel_adjacency.log_alpha"] > 0
    np.testing.assert_array_equal(ended[0].adjacency, edges & ~np.eye(N, dtype=bool))
    targets = GOLDEN["run/g/end/gumbel_interv_w.log_alpha"]
    np.testing.assert_allclose(
        ended[0].probability, 1 / (1 + np.exp(targets)), atol=0.15
    )  # noisy, at this learning rate
