"""A trained method in a package of its own: a small network that reads how each variable changed.

Each variable of each regime is described by numbers that no unit changes: how its mean, its
variance and its quantiles moved, alone and given all other variables (residuals of a linear
regression), how its correlations moved, and the shape of its law. One network scores every variable
from its own numbers and from their mean and largest value over the regime. So any number of
variables will do, and their order means nothing. It is trained by the log-probability of the
targets under a softmax over the variables of a regime.

Parameters: `hidden` units of each of two layers (64), `epochs` over the training regimes (15),
`device` of training and of prediction, "cpu" or "cuda".

Licence: MIT.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench import LabelledTask, MethodInfo, Task
from cdnbench.digest import generator
from cdnbench.errors import InvalidParameter
from cdnbench.method import Trial
from cdnbench.methods.device import check_device
from cdnbench.methods.trained import Trained

BATCH = 64
LEARNING_RATE = 3e-3
LEVELS = np.linspace(0.05, 0.95, 10)
RIDGE = 0.05
"""Is added to the variance of each standardised variable in regressions."""


@dataclass(frozen=True, eq=False)
class ChangeNet(Trained):
    """A network from changes of a variable to how likely it is a target."""

    hidden: int = 64
    epochs: int = 15
    device: str = "cpu"

    info: ClassVar[MethodInfo] = MethodInfo(
        name="change-net",
        summary="A small network from how each variable changed, trained on labelled tasks",
        licence="MIT",
        baseline=True,
        supervised="required",
        stochastic=True,
        devices=("cpu", "cuda"),
        gpu_memory_mb=lambda sizes: 500.0,
        fit_gpu_memory_mb=1000.0,
        min_samples=3,
        max_variables=1000,
        preload=("numpy.ma", "torch"),
        reference="none: an example",
        trial=Trial(parameters={"hidden": 16, "epochs": 60}),
    )

    def __post_init__(self) -> None:
        for name in ("hidden", "epochs"):
            if getattr(self, name) < 1:
                raise InvalidParameter(
                    f"change-net: {name} is at least 1; got {getattr(self, name)!r}."
                )

    def fit(self, tasks: Sequence[LabelledTask], *, seed: int = 0) -> dict[str, np.ndarray]:
        """The layers of the network, and mean and deviation of its inputs."""
        check_device(self.info.name, self.device)
        import torch
        from torch.nn.functional import log_softmax

        described = [(changes(each.task), each.targets) for each in tasks]  # each is made once
        rows = np.concatenate([x.reshape(-1, x.shape[-1]) for x, _ in described])
        centre, scale = rows.mean(axis=0), rows.std(axis=0) + 0.01
        regimes = [
            ((x - centre) / scale, t / t.sum())
            for xs, ts in described
            for x, t in zip(xs, ts, strict=True)
            if t.any()
        ]
        x, y, there = (torch.from_numpy(a).to(self.device) for a in _padded(regimes))
        rng = generator("method", self.info.name, seed)
        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**62)))
            network = _network(x.shape[-1], self.hidden).to(self.device)
        # A large eps keeps rounding, such as that of other units, from changing the model.
        optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, eps=1e-4)
        batches = max(1, len(x) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, LEARNING_RATE, epochs=self.epochs, steps_per_epoch=batches
        )
        for _ in range(self.epochs):
            for chosen in np.array_split(rng.permutation(len(x)), batches):
                logits = network(x[chosen]).squeeze(-1).masked_fill(~there[chosen], -1e9)
                loss = -(y[chosen] * log_softmax(logits, dim=1)).sum(1).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        layers = {f"layer/{k}": v.cpu().numpy() for k, v in network.state_dict().items()}
        return {"centre": centre, "scale": scale, **layers}

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) logits. Higher means more likely a target.

        Raises
        ------
        CannotRun: not fitted.
        """
        model = self.model
        check_device(self.info.name, self.device)
        import torch

        layers = {
            name.removeprefix("layer/"): torch.from_numpy(array)
            for name, array in model.items()
            if name.startswith("layer/")
        }
        with torch.random.fork_rng():  # building draws weights, which are not used
            network = _network(len(model["centre"]), len(layers["0.bias"]))
        network.load_state_dict(layers)
        inputs = torch.from_numpy((changes(task) - model["centre"]) / model["scale"])
        with torch.no_grad():
            return (
                network.double().to(self.device)(inputs.to(self.device)).squeeze(-1).cpu().numpy()
            )


def _network(inputs: int, hidden: int):
    from torch import nn

    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(),
        nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, 1),
    )  # fmt: skip


def _padded(
    regimes: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs (P, N, F) and targets (P, N) of all regimes, float32, filled up with zeros to the
    largest N; and which variables there are, (P, N) bool."""
    n = max(len(t) for _, t in regimes)
    x = np.zeros((len(regimes), n, regimes[0][0].shape[1]), np.float32)
    y, there = np.zeros((len(regimes), n), np.float32), np.zeros((len(regimes), n), bool)
    for p, (inputs, targets) in enumerate(regimes):
        x[p, : len(targets)], y[p, : len(targets)], there[p, : len(targets)] = inputs, targets, True
    return x, y, there


def changes(task: Task) -> np.ndarray:
    """(R, N, F) numbers of each variable, then their mean and their maximum over the regime."""
    before = np.asarray(task.observational, dtype=np.float64)
    centre, scale = before.mean(axis=0), before.std(axis=0)
    scale = np.where(scale > 1e-9 * (1 + np.abs(centre)), scale, 1.0)
    before = (before - centre) / scale
    precision = np.linalg.inv(np.cov(before.T, ddof=0).reshape(2 * [len(centre)]) + _ridge(centre))
    residual = precision / np.diag(precision)  # z @ residual: each variable less its regression
    known = _facts(before, residual)
    found = []
    for regime in task.regimes:
        after = (np.asarray(regime, dtype=np.float64) - centre) / scale
        own = _own(known, _facts(after, residual), len(before), len(after))
        found.append(np.hstack([own, 0 * own + own.mean(axis=0), 0 * own + own.max(axis=0)]))
    return np.stack(found)


def _ridge(values: np.ndarray) -> np.ndarray:
    return RIDGE * np.eye(len(values))


def _facts(z: np.ndarray, residual: np.ndarray) -> Mapping[str, np.ndarray]:
    """What describes the law of each variable in one data set, z (M, N)."""
    e = z @ residual
    variance = z.var(axis=0) + 1e-6
    covariance = np.cov(z.T, ddof=0).reshape(residual.shape)
    inverse = np.linalg.inv(covariance + _ridge(variance))
    return {
        "mean": z.mean(axis=0),
        "log variance": np.log(variance),
        "residual mean": e.mean(axis=0),
        "residual log variance": np.log(e.var(axis=0) + 1e-6),
        "log precision": np.log(np.diag(inverse)),
        "kurtosis": np.log1p(((z - z.mean(axis=0)) ** 4).mean(axis=0) / variance**2),
        "quantiles": np.quantile(z, LEVELS, axis=0),
        "correlations": covariance / np.sqrt(np.outer(variance, variance)),
    }


def _own(
    a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], n_before: int, n_after: int
) -> np.ndarray:
    """(N, F) numbers from the facts before and after: sizes of changes, also in units of about
    their standard errors, and shapes with the signs of changes."""
    error = np.sqrt(1 / n_before + 1 / n_after)
    names = ("mean", "log variance", "residual mean", "residual log variance", "log precision")
    moved = [b[name] - a[name] for name in names]
    moved += [
        np.abs(b["quantiles"] - a["quantiles"]).mean(axis=0),
        np.abs(b["correlations"] - a["correlations"]).mean(axis=0),
    ]
    sizes = np.abs(moved)
    shape = [a["kurtosis"], b["kurtosis"], *moved[1:5]]
    return np.column_stack([*np.log1p(sizes), *np.log1p(sizes / error), *shape])
