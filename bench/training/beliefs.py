"""What training the causal differential networks has in common: they turn what they read into
beliefs on targets and graph, and are validated on `synthetic-dev`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cdnbench.task import Task
from cdnbench.training import development, loop
from cdnbench.training.prefetch import prefetched


@dataclass(frozen=True, eq=False)
class Batch:
    """B tasks of R regimes and N variables, with their answers. reading: what the network sees of
    them, which `to` moves to a device. targets: (B, R, N) bool. adjacency: (B, N, N) bool,
    [i, j] is i -> j. known: (B,) bool, whether the graph may be learnt from."""

    reading: Any
    targets: Tensor
    adjacency: Tensor
    known: Tensor

    def to(self, device: str) -> Batch:
        return Batch(
            self.reading.to(device),
            self.targets.to(device),
            self.adjacency.to(device),
            self.known.to(device),
        )


def fit_beliefs(
    network: nn.Module,
    batch: Callable[[int], Batch],
    loss: Callable[..., tuple[Tensor, dict[str, float]]],
    scores: Callable[[Task], np.ndarray],
    *,
    folder: Path,
    plan: loop.Plan,
    identity: dict[str, Any],
    device: str,
    workers: int,
) -> loop.Trained:
    """Train a network on the batches of steps 0, 1, ...

    loss: of beliefs, targets, adjacency and which graphs may be learnt from. scores: (R, N) of a
    task, by the network in evaluation mode. The others are those of `loop.fit` and `prefetched`.
    """
    development_set = development.all_settings()

    def step_loss(step: int, made: Batch) -> tuple[Tensor, dict[str, float]]:
        here = made.to(device)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            beliefs = network(here.reading)
        return loss(beliefs, here.targets, here.adjacency, here.known)

    def validate() -> dict[str, float]:
        network.eval()
        return development_set.mean_ap(scores)

    return loop.fit(
        network,
        step_loss,
        prefetched(batch, workers),
        folder=folder,
        plan=plan,
        identity=identity,
        validate=validate,
    )
