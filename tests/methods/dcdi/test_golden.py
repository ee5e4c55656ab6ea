"""Loss, gradients and training runs equal those of the reference (golden/make_dcdi.py says how they
were made)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cdnbench.methods.dcdi import batched, kernels, single
from cdnbench.methods.dcdi.data import Options, Randomness, Rows
from cdnbench.methods.dcdi.densities import Gaussian, SigmoidalFlow
from cdnbench.methods.dcdi.networks import Minibatch, Parameters, loss
from cdnbench.methods.dcdi.schedule import Constants, Schedule
from cdnbench.methods.dcdi.shapes import Shapes

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "dcdi.npz"))
N, E, ROWS, BATCH = 4, 3, 240, 64
DENSITIES = {"g": Gaussian(), "dsf": SigmoidalFlow()}
FAMILIES = {"g": "gaussian", "dsf": "flow"}


def parameters(name: str, theirs: dict[str, np.ndarray]) -> Parameters:
    """Ours from the reference's: weights (T, out, in, regimes), edges [j, t], one log-std parameter
    a node."""
    shapes = Shapes(N, E, 16, DENSITIES[name].n_outputs, DENSITIES[name].has_scale)
    w = [
        np.moveaxis(theirs[f"weights.{i}"], (0, 3, 2, 1), (0, 1, 2, 3)) for i in range(3)
    ]  # (T, regimes, in, out)
    b = [theirs[f"biases.{i}"].swapaxes(1, 2) for i in range(3)]
    dense = {f"w{i + 1}": w[i][:, 0] for i in range(3)} | {
        f"b{i + 1}": b[i][:, 0] for i in range(3)
    }
    dense["edges"], dense["keep"] = (
        theirs["gumbel_adjacency.log_alpha"].T,
        theirs["gumbel_interv_w.log_alpha"],
    )
    if shapes.has_scale:
        dense["log_scale"] = np.concatenate([theirs[f"extra_params.{i}"] for i in range(N)])
    rows = {f"w{i + 1}": w[i][:, 1:] for i in range(1, 3)} | {
        f"b{i + 1}": b[i][:, 1:] for i in range(3)
    }
    return Parameters(
        shapes,
        torch.from_numpy(np.concatenate([dense[k].ravel() for k in shapes.dense]))[None],
        torch.from_numpy(np.concatenate([rows[k].reshape(N * E, -1) for k in shapes.rows], axis=1)),
        torch.from_numpy(w[0][:, 1:].reshape(N * E, N, 16).copy()),
    )


def of(prefix: str) -> dict[str, np.ndarray]:
    return {
        key.removeprefix(prefix): value for key, value in GOLDEN.items() if key.startswith(prefix)
    }


def uniform(source: np.random.RandomState, *shape: int) -> np.ndarray:
    return source.uniform(size=shape).astype(np.float32)


def masks(source: np.random.RandomState, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise of the reference's masks, drawn in its order, with our axes: (T, B, J) and (T, B)."""
    edges = uniform(source, rows, N, N)
    return edges.transpose(2, 0, 1), uniform(source, 1, N, rows)[0]


def minibatch(rows: np.random.RandomState, noise: np.random.RandomState) -> Minibatch:
    index = rows.choice(ROWS, BATCH, replace=False)
    arrays = GOLDEN["x"][index], GOLDEN["regime"][index], *masks(noise, BATCH)
    x, regime, edge_noise, target_noise = (
        torch.from_numpy(np.ascontiguousarray(a))[None] for a in arrays
    )
    return Minibatch(x, regime, edge_noise.double(), target_noise.double())


def kernel_gradients(name: str, p: Parameters, batch: Minibatch) -> tuple[float, Parameters]:
    """Loss and gradients by the compiled iteration, which are read off the mean squares of its
    step: square = 0.01 gradient^2."""
    training = single.Training(
        data(), E, FAMILIES[name], Options(edge_penalty=0.0, target_penalty=0.0), Replay()
    )
    training.start(p.dense.numpy().copy(), p.rows.numpy().copy(), p.first.numpy())
    index = np.random.RandomState(3).choice(ROWS, BATCH, replace=False)[None]
    noise = (
        batch.edge_noise.numpy().astype(np.float32),
        batch.target_noise.numpy().astype(np.float32),
    )
    before = training.intervened.rows.copy()
    value, _, _ = kernels.iterate(
        training.network,
        training.intervened,
        training.allowed,
        training.work,
        training.of_network,
        training.dense,
        training.gradient,
        training.square,
        training.rows.train,
        training.rows.train_regime,
        index,
        *noise,
        0,
        0.0,
        0.0,
        0.0,
        1.0,
        1.0,
        0.0,
        1e-3,
    )
    of_rows = np.sqrt(training.intervened.square / 0.01) * np.sign(
        before - training.intervened.rows
    )
    dense = torch.from_numpy(training.gradient)[None]
    return value, Parameters(p.shapes, dense, torch.from_numpy(of_rows), torch.zeros_like(p.first))


def torch_gradients(name: str, p: Parameters, batch: Minibatch) -> tuple[float, Parameters]:
    gradients, allowed = torch.zeros_like(p.dense), 1 - torch.eye(N).double()[None]
    value, of_rows = loss(p, DENSITIES[name], batch, allowed, gradients)
    assert of_rows is not None and 5 < len(of_rows.index) <= N * E
    rows = torch.zeros_like(p.rows)
    rows[of_rows.index] = of_rows.values
    return value.item(), Parameters(p.shapes, gradients, rows, torch.zeros_like(p.first))


@pytest.mark.parametrize("engine", [kernel_gradients, torch_gradients])
@pytest.mark.parametrize("name", DENSITIES)
def test_loss_and_gradients(name, engine):
    start = of(f"start/{name}/")
    shake = np.random.RandomState(4)
    theirs = {key: value + 0.3 * shake.normal(size=value.shape) for key, value in start.items()}
    theirs["gumbel_interv_w.log_alpha"] = theirs["gumbel_interv_w.log_alpha"] - 3
    p = parameters(name, theirs)

    value, ours = engine(name, p, minibatch(np.random.RandomState(3), np.random.RandomState(1)))

    np.testing.assert_allclose(value, GOLDEN[f"one/{name}/loss"], rtol=1e-10)
    theirs = parameters(name, start | of(f"one/{name}/gradient/"))
    for key, expected in theirs.views().items():
        np.testing.assert_allclose(ours.views()[key], expected, rtol=1e-5, atol=1e-9, err_msg=key)
        assert expected.abs().max() > 1e-6, key
    np.testing.assert_allclose(ours.rows, theirs.rows, rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(
        ours.first, theirs.first
    )  # the reference's gradient of them is zero as well


QUICK = Options(
    learning_rate=1e-2,
    constants=Constants(mu_init=1000.0, h_threshold=1e-3, train_patience=1, train_patience_post=1),
)


class Replay(Randomness):
    """Draws what the reference drew."""

    def __init__(self):
        self.rng, self.training, self.validation, self.rows = (
            np.random.RandomState(i) for i in (0, 1, 2, 3)
        )

    def minibatches(self, n_rows, shape):
        return np.stack(
            [self.rows.choice(n_rows, shape[1], replace=False) for _ in range(shape[0])]
        )

    def masks(self, iterations, n, n_rows):
        source = self.training if n_rows == BATCH else self.validation
        edges, targets = zip(*(masks(source, n_rows) for _ in range(iterations)), strict=True)
        return np.stack(edges), np.stack(targets)

    words = masks  # numbers stand for themselves


def data() -> Rows:
    x, regime = GOLDEN["x"], GOLDEN["regime"]
    return Rows(x[:ROWS], regime[:ROWS], x[ROWS:], regime[ROWS:])


class Run:
    """A training run with either engine."""

    def __init__(self, name: str, engine: str):
        start = parameters(name, of(f"start/{name}/"))
        if engine == "torch":
            self.training = batched.Training([data()], E, DENSITIES[name], QUICK, [Replay()])
            self.training.parameters = start
        else:
            self.training = single.Training(data(), E, FAMILIES[name], QUICK, Replay())
            self.training.start(*(a.numpy().copy() for a in (start.dense, start.rows, start.first)))

    @property
    def schedule(self) -> Schedule:
        return (
            self.training.schedules[0]
            if isinstance(self.training, batched.Training)
            else self.training.schedule
        )

    def step(self, iteration: int):
        """How it ended, or nothing."""
        if isinstance(self.training, batched.Training):
            return next(iter(self.training.step(iteration)), None)
        return self.training.run(iteration + 1)


@pytest.mark.parametrize("engine", ["compiled", "torch"])
@pytest.mark.parametrize(("name", "iterations"), [("g", 3100), ("dsf", 1000)])
def test_training_run(name, iterations, engine):
    """Multipliers, constraint and validation Lagrangian at each check.

    Rounding errors grow: with g, 1e-16 is 1e-8 after 2,600 iterations, and 1e-5 after 3,000, when
    the constraint has been reached.
    """
    log, run = GOLDEN[f"run/{name}/log"], Run(name, engine)
    schedule, ours = run.schedule, []
    for iteration in range(iterations):
        multipliers = schedule.mu, schedule.gamma
        run.step(iteration)
        if iteration % 100 == 0:
            shift = (
                schedule.lagrangians[-1]
                if (schedule.mu, schedule.gamma) == multipliers
                else log[iteration // 100, 6]
            )
            ours.append([iteration, *multipliers, schedule.h, shift])
    for row, theirs in zip(ours, log[: len(ours), [0, 1, 2, 3, 6]], strict=True):
        np.testing.assert_allclose(row, theirs, rtol=1e-6 if row[0] <= 2600 else 1e-3)
    assert name == "dsf" or (schedule.stage == "patience" and schedule.updates == 1)


@pytest.mark.parametrize("engine", ["compiled", pytest.param("torch", marks=pytest.mark.slow)])
def test_whole_training_run(engine):
    """Every phase at the reference's iteration, and the masks at the end."""
    run, phases, stage = Run("g", engine), [], "subproblem"
    ended = None
    for iteration in range(8000):
        ended = run.step(iteration)
        if run.schedule.stage != stage:
            stage = run.schedule.stage
            phases.append((stage, iteration))
        if ended:
            break
    # "First stop at 2957" is the first iteration with a small constraint; ours looks where
    # something can follow from it.
    assert phases == [("patience", 3000), ("refit", 4001), ("finished", 6001)]
    assert GOLDEN["run/g/log"][-1, 0] == 6000
    edges = GOLDEN["run/g/end/gumbel_adjacency.log_alpha"] > 0
    np.testing.assert_array_equal(ended.adjacency, edges & ~np.eye(N, dtype=bool))
    targets = GOLDEN["run/g/end/gumbel_interv_w.log_alpha"]
    np.testing.assert_allclose(
        ended.probability, 1 / (1 + np.exp(targets)), atol=0.15
    )  # noisy, at this learning rate
