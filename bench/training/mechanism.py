"""Training of `cdn-suites`, the network that tests the mechanisms of the graph it infers."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cdnbench.datasets.synthetic.training import Laws, batch
from cdnbench.methods.cdn.cdn_suites import target_scores
from cdnbench.methods.cdn.network import CausalDifferentialNetwork, Shape, loss
from cdnbench.methods.cdn.summary import stack, summarise
from cdnbench.training import loop
from cdnbench.training.beliefs import Batch, fit_beliefs
from cdnbench.training.card import Product
from cdnbench.training.curricula import EVERYTHING


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
    """Train `cdn-suites` in a folder, or go on with the run that the folder holds.

    seed: names the training data and the initial weights. device: "cpu" or "cuda". workers:
    processes that make batches. cells: grid cells (regimes x N^2) per step.

    Raises
    ------
    InvalidParameter: the folder holds a checkpoint of a run with another identity.
    """
    shape = Shape()
    identity = {
        "model": "cdn-suites",
        "config": dataclasses.asdict(shape),
        "laws": EVERYTHING.plain(),
        "seed": seed,
        "cells_a_step": cells,
        "plan": loop.describe(plan),
    }
    loop.check_folder(folder, identity)
    torch.manual_seed(seed)
    network = CausalDifferentialNetwork(shape).to(device)
    trained = fit_beliefs(
        network,
        partial(mechanism_batch, EVERYTHING, seed, cells),
        loss,
        lambda task: target_scores(network, task, device),
        folder=folder,
        plan=plan,
        identity=identity,
        device=device,
        workers=workers,
    )
    return Product(network, trained, identity)
