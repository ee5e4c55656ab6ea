"""A neural network from the shift of all genes to which of them was the target.

The MLP baseline of Wu et al. 2025, as far as its description goes: like `linear`, with one hidden
layer. Shifts are scaled to a mean square of 1; the output is a softmax over the genes that training
targeted, trained by cross-entropy (several targets share the mass). A tenth of the clusters of
profiles is held out, and the epoch with the lowest loss there is kept. Genes that training never
targeted have no score.

Parameters: `hidden` units (256), `dropout` of inputs and hidden units (.2), `learning_rate` of Adam
(1e-3), `epochs` at most (300), `patience` in epochs (30), `device` of training, "cpu" or "cuda".

Licence: MIT, with this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.digest import generator
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.method import MethodInfo, Trial, added_later
from cdnbench.methods.clusters import held_out
from cdnbench.methods.profiles.profiles import Profiles, embed, of_targeted, unit
from cdnbench.methods.trained import Trained
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

BATCH = 16


@dataclass(frozen=True, eq=False)
class MLP(Trained):
    """Neural map from shifts to targets."""

    hidden: int = 256
    dropout: float = 0.2
    learning_rate: float = 1e-3
    epochs: int = 300
    patience: int = 30
    device: str = added_later("cpu")

    info: ClassVar[MethodInfo] = MethodInfo(
        name="mlp",
        summary="A neural network from the shifts of all genes to the target, on training "
        "perturbations",
        citation="Wu et al. 2025, Predicting perturbation targets with causal differential "
        "networks (its baseline MLP)",
        licence="MIT",
        version="2",
        supervised="required",
        stochastic=True,
        needs_symbols=True,
        min_samples=1,
        depends_on_units=True,
        devices=("cpu", "cuda"),
        gpu_helps=False,  # two layers: it trains within seconds, and predicts with numpy
        gpu_memory_mb=lambda sizes: 0.0,
        fit_gpu_memory_mb=500.0,
        trial=Trial(parameters={"hidden": 32, "epochs": 100}),
    )

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise InvalidParameter(f"mlp: dropout is in [0, 1); got {self.dropout}.")
        for name in ("hidden", "epochs", "patience", "learning_rate"):
            if getattr(self, name) <= 0:
                raise InvalidParameter(f"mlp: {name} is positive; got {getattr(self, name)}.")

    def fit(self, tasks: Sequence[LabelledTask], *, seed: int = 0) -> dict[str, np.ndarray]:
        """Weights of both layers."""
        from cdnbench.methods.device import check_device

        check_device(self.info.name, self.device)
        profiles = Profiles.of(tasks)
        targeted = np.flatnonzero(profiles.targets.any(axis=0))
        if len(profiles.shifts) < 2:
            raise CannotRun("mlp needs at least two training perturbations")
        rng = generator("method", "mlp", seed)
        validation = held_out(profiles.clusters, lambda n: max(1, n // 10), rng)
        y = profiles.targets[:, targeted] / profiles.targets.sum(axis=1, keepdims=True)
        layers = self._train(_inputs(profiles.shifts), y, validation, rng)
        return {"genes": profiles.genes, "targeted": targeted, **layers}

    def _train(
        self, x: np.ndarray, y: np.ndarray, validation: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        import torch
        from torch import nn
        from torch.nn.functional import cross_entropy

        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**62)))
            net = nn.Sequential(
                nn.Dropout(self.dropout),
                nn.Linear(x.shape[1], self.hidden),
                nn.ReLU(),
                nn.Dropout(self.dropout),
                nn.Linear(self.hidden, y.shape[1]),
            ).to(self.device)  # with weights that a CPU has drawn
            optimiser = torch.optim.Adam(net.parameters(), lr=self.learning_rate)
            inputs = torch.from_numpy(x).float().to(self.device)
            outputs = torch.from_numpy(y).float().to(self.device)
            train = np.flatnonzero(~validation)
            best, kept, waited = np.inf, {k: v.clone() for k, v in net.state_dict().items()}, 0
            for _ in range(self.epochs):
                net.train()
                for rows in np.array_split(rng.permutation(train), max(1, len(train) // BATCH)):
                    optimiser.zero_grad()
                    cross_entropy(net(inputs[rows]), outputs[rows]).backward()
                    optimiser.step()
                net.eval()
                with torch.no_grad():
                    value = float(cross_entropy(net(inputs[validation]), outputs[validation]))
                if value < best:
                    best, kept, waited = (
                        value,
                        {k: v.clone() for k, v in net.state_dict().items()},
                        0,
                    )
                else:
                    waited += 1
                    if waited == self.patience:
                        break
        return {
            name: kept[key].cpu().numpy()
            for name, key in (
                ("w1", "1.weight"),
                ("b1", "1.bias"),
                ("w2", "4.weight"),
                ("b2", "4.bias"),
            )
        }

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) probabilities, NaN for genes that were never targeted.

        Raises
        ------
        CannotRun: not fitted, or no gene of the task was ever targeted.
        """
        m = self.model
        hidden = np.maximum(_inputs(embed(task, m["genes"])) @ m["w1"].T + m["b1"], 0)
        logits = hidden @ m["w2"].T + m["b2"]
        probability = np.exp(logits - logits.max(axis=1, keepdims=True))
        probability /= probability.sum(axis=1, keepdims=True)
        return of_targeted(task, m["genes"][m["targeted"]], probability)


def _inputs(shifts: np.ndarray) -> np.ndarray:
    """Shifts with a mean square of 1 over the genes."""
    return unit(shifts) * np.sqrt(shifts.shape[1])
