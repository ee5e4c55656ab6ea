"""What training the causal differential networks has in common: they turn what they read into
beliefs on targets and graph, and are validated on `synthetic-dev`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from cdnbench.task import Task
from cdnbench.training import development, loop
from cdnbench.training.prefetch import prefetched


class LabelledBatch(Protocol):
    """A batch of tasks with their answers. reading: what the network sees of them."""

    @property
    def reading(self) -> Any: ...
    @property
    def targets(self) -> Tensor: ...
    @property
    def adjacency(self) -> Tensor: ...
    @property
    def known(self) -> Tensor: ...

    def to(self, device: str) -> LabelledBatch: ...


def fit_beliefs(
    network: nn.Module,
    batch: Callable[[int], LabelledBatch],
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

    def step_loss(step: int, made: LabelledBatch) -> tuple[Tensor, dict[str, float]]:
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
