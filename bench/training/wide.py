"""Training of the network that reads forms, on a mixture of worlds and the suites' own generator,
or on parts of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cdnbench.datasets.worlds.laws import Laws
from cdnbench.datasets.worlds.mixture import mixed_batch
from cdnbench.errors import InvalidParameter
from cdnbench.methods.cdn.forms_network import (
    FORMS,
    FormsNetwork,
    FormsShape,
    build,
    loss,
    read,
    stack,
)
from cdnbench.methods.cdn.inherit import adopt, inherit
from cdnbench.methods.cdn.screening import scores
from cdnbench.methods.cdn.weights import Weights, load_any
from cdnbench.training import loop
from cdnbench.training.beliefs import Batch, fit_beliefs
from cdnbench.training.card import HELD_OUT, HELD_OUT_OF_WORLDS, Product
from cdnbench.training.mixtures import MIXTURES, Mixture, without


def wide_batch(mixture: Mixture, seed: int, step: int, seen: tuple[str, ...] = FORMS) -> Batch:
    """The batch of a step. seen: the forms that the network sees."""
    part, examples = mixed_batch(mixture, seed, step)
    return Batch(
        stack(
            [
                read(
                    [e.task.observational, *e.task.regimes],
                    evidence_only=part.evidence_only,
                    seen=seen,
                )
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
    laws: str = "cdn",
    leave_out: str = "",
    shape: FormsShape | None = None,
) -> Product[FormsNetwork]:
    """Train in a folder, or go on with the run that the folder holds.

    seed: names the training data and the initial weights. workers: processes that make batches.
    cells: grid cells (regimes x N^2) per step. start: weights of `cdn` to go on from or of
    `cdn-suites` to inherit from, by shipped name or path; "" starts from nothing. laws: one of
    `MIXTURES`. leave_out: what the mixture goes without, see `mixtures.without`; "" for nothing.
    shape: sizes, and what the network reads; by default the full network. Whatever it reads, it
    starts from what the full network of this seed or start has.

    Raises
    ------
    InvalidParameter: the folder holds a checkpoint of a run with another identity, the weights
        to start from are missing, or there is nothing to train a part of the network with.
    """
    shape = shape or FormsShape()
    mixture = MIXTURES[laws](cells)
    if leave_out:
        mixture = without(mixture, leave_out)
    if not shape.evidence and any(part.evidence_only for part in mixture):
        raise InvalidParameter(
            "Screens have nothing but evidence, which this network does not see: leave them out."
        )
    before = weights_to_start_from(start)
    network, anew = _started(shape, before, seed)
    identity = {
        "model": "cdn",
        "config": shape.plain(),
        "laws": [part.plain() for part in mixture],
        "seed": seed,
        "cells_a_step": cells,
        "start": ancestry(before) if before else {},
        "plan": loop.describe(plan),
    }
    if anew:
        identity["starts_as_drawn"] = anew
    loop.check_folder(folder, identity)
    network = network.to(device)
    trained = fit_beliefs(
        network,
        partial(wide_batch, mixture, seed, seen=shape.forms),
        loss,
        lambda task: scores(network, task, device),
        folder=folder,
        plan=plan,
        identity=identity,
        device=device,
        workers=workers,
    )
    worldly = any(isinstance(part.laws, Laws) for part in mixture)
    return Product(network, trained, identity, HELD_OUT_OF_WORLDS if worldly else HELD_OUT)


def weights_to_start_from(start: str) -> Weights | None:
    """Weights of `cdn` or `cdn-suites`, by shipped name or path; None for ""."""
    return load_any(start, ("cdn", "cdn-suites")) if start else None


def _started(
    shape: FormsShape, before: Weights | None, seed: int
) -> tuple[FormsNetwork, list[str]]:
    """The network before the first step, and the names of the tensors that weights to start from
    have nothing for. Networks of one seed and start share what they have in common."""
    full_shape = replace(shape, forms=FORMS, evidence=True, contexts=True)
    torch.manual_seed(seed)
    full = FormsNetwork(full_shape)
    anew: list[str] = []
    if before and before.card["model"] == "cdn":
        other = build(before.card["config"])
        other.load_state_dict(before.tensors)
        anew = adopt(full, other)
    elif before:
        inherit(full, before.tensors)
    if shape == full_shape:
        return full, anew
    torch.manual_seed(seed)
    network = FormsNetwork(shape)
    return network, sorted({*anew, *adopt(network, full)} & set(network.state_dict()))


def ancestry(before: Weights) -> dict[str, Any]:
    """Of weights that a run starts from, for its card: what they are, how they were made, and what
    they started from themselves."""
    names = (
        "model", "digest", "command", "seed", "steps", "minutes", "git_sha", "start", "average_of",
    )  # fmt: skip
    return {name: before.card[name] for name in names if name in before.card}
