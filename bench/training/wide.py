"""Training of the network that reads forms, on worlds and on the suites' own generator."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cdnbench.datasets.worlds.laws import WIDE
from cdnbench.datasets.worlds.mixture import Part, mixed_batch
from cdnbench.methods.cdn.forms_network import FormsNetwork, Reading, loss, read, stack
from cdnbench.methods.cdn.inherit import inherit
from cdnbench.methods.cdn.network import Shape
from cdnbench.methods.cdn.screening import scores
from cdnbench.methods.cdn.weights import Weights, load_any
from cdnbench.training import loop
from cdnbench.training.beliefs import fit_beliefs
from cdnbench.training.card import Product
from cdnbench.training.curricula import EVERYTHING

HELD_OUT = (
    "mechanisms polynomial, sigmoid, fourier and sigmix; every family of synthetic-far; the "
    "simulator of cells; every seed of a suite. Noise and interventions of synthetic-ood are in "
    "training."
)

SCREENS = replace(
    WIDE, sizes=((10, 30), (30, 120), (200, 1500)), regimes=(1, 12), rows_at_once=16_000
)
"""Worlds of up to many variables, on which the screening alone is trained: it costs little."""


def mixture(cells: int) -> tuple[Part, ...]:
    """Worlds, the laws of `cdn`, and screens. cells: grid cells (regimes x N^2)
    per step of the first two."""
    return (
        Part(share=0.50, laws=WIDE, cells=cells),
        Part(share=0.20, laws=EVERYTHING, cells=cells),
        Part(share=0.30, laws=SCREENS, cells=3_000_000, most=4, evidence_only=True),
    )


@dataclass(frozen=True, eq=False)
class Batch:
    """B tasks of R regimes and N variables. targets: (B, R, N) bool. adjacency: (B, N, N) bool,
    [i, j] is i -> j. known: (B,) bool, whether the graph may be learnt from."""

    reading: Reading
    targets: Tensor
    adjacency: Tensor
    known: Tensor

    def to(self, device: str) -> Batch:
        parts = (self.reading, self.targets, self.adjacency, self.known)
        return Batch(*(part.to(device) for part in parts))  # type: ignore[arg-type]


def wide_batch(seed: int, cells: int, step: int) -> Batch:
    """The batch of a step."""
    part, examples = mixed_batch(mixture(cells), seed, step)
    return Batch(
        stack(
            [
                read([e.task.observational, *e.task.regimes], evidence_only=part.evidence_only)
                for e in examples
            ]
        ),
        torch.from_numpy(np.stack([e.targets for e in examples])),
        torch.from_numpy(np.stack([e.adjacency for e in examples])),
        torch.tensor([e.graph_known for e in examples]),
    )


def train_wide(
    folder: Path,
    plan: loop.Plan,
    *,
    seed: int,
    device: str,
    workers: int,
    cells: int,
    start: str = "",
) -> Product[FormsNetwork]:
    """Train in a folder, or go on with the run that the folder holds.

    seed: names the training data and the initial weights. workers: processes that make batches.
    cells: grid cells (regimes x N^2) per step. start: weights of `cdn` to go on from or of
    `cdn-suites` to inherit from, by shipped name or path; "" starts from nothing.

    Raises
    ------
    InvalidParameter: the folder holds a checkpoint of a run with another identity, or the weights
        to start from are missing.
    """
    shape = Shape()
    before = load_any(start, ("cdn", "cdn-suites")) if start else None
    identity = {
        "model": "cdn",
        "config": asdict(shape),
        "laws": [part.plain() for part in mixture(cells)],
        "seed": seed,
        "cells_a_step": cells,
        "start": ancestry(before) if before else {},
        "plan": loop.describe(plan),
    }
    loop.check_folder(folder, identity)
    torch.manual_seed(seed)
    network = FormsNetwork(shape)
    if before and before.card["model"] == "cdn":
        network.load_state_dict(before.tensors)
    elif before:
        inherit(network, before.tensors)
    network = network.to(device)
    trained = fit_beliefs(
        network,
        partial(wide_batch, seed, cells),
        loss,
        lambda task: scores(network, task, device),
        folder=folder,
        plan=plan,
        identity=identity,
        device=device,
        workers=workers,
    )
    return Product(network, trained, identity, HELD_OUT)


def ancestry(before: Weights) -> dict[str, Any]:
    """Of weights that a run starts from, for its card: what they are, how they were made, and what
    they started from themselves."""
    names = ("model", "digest", "command", "seed", "steps", "minutes", "git_sha", "start")
    return {name: before.card[name] for name in names if name in before.card}
