"""Training of `cdn`, the network that tests the mechanisms of the graph it infers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cdnbench.datasets.synthetic.training import Laws, batch
from cdnbench.methods.cdn.cdn import target_scores
from cdnbench.methods.cdn.network import CausalDifferentialNetwork, Shape, loss
from cdnbench.methods.cdn.summary import Summary, stack, summarise
from cdnbench.training import development, loop
from cdnbench.training.card import Product
from cdnbench.training.curricula import EVERYTHING
from cdnbench.training.prefetch import prefetched


@dataclass(frozen=True, eq=False)
class Batch:
    """B tasks of R regimes and N variables. targets: (B, R, N) bool. adjacency: (B, N, N) bool,
    [i, j] is i -> j. known: (B,) bool, whether the graph may be learnt from."""

    summary: Summary
    targets: Tensor
    adjacency: Tensor
    known: Tensor

    def to(self, device: str) -> Batch:
        return Batch(
            self.summary.to(device),
            self.targets.to(device),
            self.adjacency.to(device),
            self.known.to(device),
        )


def mechanism_batch(laws: Laws, seed: int, cells: int, step: int) -> Batch:
    """The batch of a step, of about `cells` grid cells (regimes x N^2)."""
    examples = batch(laws, seed, step, cells=cells)
    return Batch(
        stack([summarise([e.task.observational, *e.task.regimes]) for e in examples]),
        torch.from_numpy(np.stack([e.targets for e in examples])),
        torch.from_numpy(np.stack([e.adjacency for e in examples])),
        torch.tensor([e.graph_known for e in examples]),
    )


def train_mechanism(
    folder: Path, plan: loop.Plan, *, seed: int, device: str, workers: int, cells: int
) -> Product[CausalDifferentialNetwork]:
    """Train `cdn` in a folder, or go on with the run that the folder holds.

    seed: names the training data and the initial weights. device: "cpu" or "cuda". workers:
    processes that make batches. cells: grid cells (regimes x N^2) per step.

    Raises
    ------
    InvalidParameter: the folder holds a checkpoint of a run with another identity.
    """
    shape = Shape()
    identity = {
        "model": "cdn",
        "config": dataclasses.asdict(shape),
        "laws": EVERYTHING.plain(),
        "seed": seed,
        "cells_a_step": cells,
        "plan": loop.describe(plan),
    }
    loop.check_folder(folder, identity)
    torch.manual_seed(seed)
    network = CausalDifferentialNetwork(shape).to(device)
    development_set = development.all_settings()

    def step_loss(step: int, made: Batch) -> tuple[Tensor, dict[str, float]]:
        here = made.to(device)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            beliefs = network(here.summary)
        return loss(beliefs, here.targets, here.adjacency, here.known)

    def validate() -> dict[str, float]:
        network.eval()
        return development_set.mean_ap(lambda task: target_scores(network, task, device))

    trained = loop.fit(
        network,
        step_loss,
        prefetched(partial(mechanism_batch, EVERYTHING, seed, cells), workers),
        folder=folder,
        plan=plan,
        identity=identity,
        validate=validate,
    )
    return Product(network, trained, identity)
