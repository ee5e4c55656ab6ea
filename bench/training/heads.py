"""Training of `cdn-axial` and `cdn-mlp` by the paper's recipe: a head on the frozen encoder, or a
head and its encoder together.

Under a frozen encoder the items come from a collection that is encoded once (`encodings`). Trained
jointly, a collection of the same size is featurised anew for each step.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cdnbench.digest import generator
from cdnbench.errors import InvalidParameter
from cdnbench.methods.cdn.paper.aggregator import EncoderConfig, graph_loss
from cdnbench.methods.cdn.paper.differential import (
    DifferentialConfig,
    DifferentialNetwork,
    Encoded,
    target_loss,
)
from cdnbench.methods.cdn.paper.featuriser import Features
from cdnbench.methods.cdn.paper.methods import target_scores
from cdnbench.methods.cdn.weights import load_weights
from cdnbench.relabelling import task_generator
from cdnbench.training import development, encodings, loop
from cdnbench.training.card import HELD_OUT, HELD_OUT_OF_WORLDS, Product
from cdnbench.training.curricula import HARD, Curriculum, batch, plain, with_regimes
from cdnbench.training.mixtures import encodable
from cdnbench.training.prefetch import prefetched

CURRICULA: dict[str, Curriculum] = {"paper": HARD, "cdn": encodable(encodings.SHARD_CELLS)}
"""What `bench train cdn-axial --laws` takes."""

VALIDATION_BATCHES = 50
"""T, marginal estimates per data set, in validation: the paper's number at test time."""


@dataclass(frozen=True, eq=False)
class JointBatch:
    """Features of D datasets before, and of their D K regimes after. targets: (D K, N) bool.
    adjacency: (D, N, N) bool, [i, j] is i -> j. known: (D,) bool, whether the graph may be learnt
    from."""

    before: Features
    after: Features
    targets: Tensor
    adjacency: Tensor
    known: Tensor


def joint_batch(
    laws: Curriculum, seed: int, n_datasets: int, config: EncoderConfig, step: int
) -> JointBatch:
    """The batch of a step of joint training: about `encodings.ITEMS` items, with three regimes per
    dataset, from a collection by the same laws and of the same size as the encoded one."""
    few = with_regimes(laws, 3)
    rng = generator("cdn joint items", seed, step)
    index = int(rng.integers(max(1, n_datasets // 4)))
    examples = batch(few, seed, index, cells=encodings.ITEMS * 400, most=4)
    before, after = encodings.featurised(examples, config, seed, step)
    return JointBatch(
        before,
        after,
        torch.from_numpy(np.concatenate([e.targets for e in examples])),
        torch.from_numpy(np.stack([e.adjacency for e in examples])),
        torch.tensor([e.graph_known for e in examples]),
    )


def train_differential(
    folder: Path,
    plan: loop.Plan,
    config: DifferentialConfig,
    encoder: str,
    *,
    seed: int,
    device: str,
    workers: int,
    n_datasets: int,
    laws: Curriculum = HARD,
) -> Product[DifferentialNetwork]:
    """Train a differential network in a folder, or go on with the run that the folder holds.

    encoder: shipped name or path of SEA weights, or "" to start from nothing. seed: names the
    training data and the initial weights. device: "cpu" or "cuda". workers: processes that make
    batches of joint training. n_datasets: size of the collection. laws: what it is drawn from.

    Raises
    ------
    InvalidParameter: the encoder's weights are missing or of another configuration, or the folder
    holds a checkpoint of a run with another identity.
    """
    torch.manual_seed(seed)
    network = DifferentialNetwork(config)
    digest = _load_encoder(network, encoder) if encoder else ""
    network.to(device)
    identity = {
        "model": f"cdn-{config.head}",
        "config": config.plain(),
        "laws": plain(laws),
        "seed": seed,
        "n_datasets": n_datasets,
        "encoder": digest or "none",
        "plan": loop.describe(plan),
    }
    loop.check_folder(folder, identity)
    if config.joint:
        batches = prefetched(partial(joint_batch, laws, seed, n_datasets, config.encoder), workers)
        step_loss = partial(_joint_loss, network, seed, device)
    else:
        shared = folder.parent / "encodings" / encodings.folder_name(digest, laws, seed)
        data = encodings.EncodedDatasets(shared, network, laws, seed, n_datasets)
        batches = partial(data.items, seed)
        step_loss = partial(_head_loss, network, seed, device)
    development_set = development.hard_settings()

    def validate() -> dict[str, float]:
        network.eval()
        return development_set.mean_ap(
            lambda task: target_scores(
                network,
                task,
                VALIDATION_BATCHES,
                task_generator(task, "cdn features", 0),
                device,
            )
        )

    trained = loop.fit(
        network,
        step_loss,
        batches,
        folder=folder,
        plan=plan,
        identity=identity,
        validate=validate,
    )
    held_out = HELD_OUT if laws == HARD else HELD_OUT_OF_WORLDS
    return Product(network, trained, identity, held_out)


def _load_encoder(network: DifferentialNetwork, encoder: str) -> str:
    """Put SEA weights into a network, and return their digest.

    Raises
    ------
    InvalidParameter: they are missing, or were trained with another configuration.
    """
    card, tensors = load_weights(encoder, "sea")
    wanted = json.loads(json.dumps(dataclasses.asdict(network.config.encoder)))
    if card["config"] != wanted:
        raise InvalidParameter(
            f"The encoder {encoder} is of another configuration ({card['config']}). Train one with "
            "`bench train sea` and the same --statistic, --marginals and --global."
        )
    network.load_encoder(tensors)
    return card["digest"]


def _head_loss(
    network: DifferentialNetwork,
    seed: int,
    device: str,
    step: int,
    items: tuple[Encoded, Encoded, Tensor],
) -> tuple[Tensor, dict[str, float]]:
    """The loss on the targets of encoded items, and its value for the log."""
    before, after = (Encoded(x.grid.to(device), x.moments.to(device)) for x in items[:2])
    with loop.step_randomness("cdn", seed, step):
        loss = target_loss(network(before, after), items[2].to(device))
    return loss, {"targets": float(loss.detach())}


def _joint_loss(
    network: DifferentialNetwork, seed: int, device: str, step: int, items: JointBatch
) -> tuple[Tensor, dict[str, float]]:
    """The loss on the targets of every regime (the observational data against itself included) and
    on the observational graph, and its parts for the log."""
    with (
        loop.step_randomness("cdn joint", seed, step) as stream,
        torch.autocast(device, torch.bfloat16, enabled=device == "cuda"),
    ):
        before = network.encode(items.before.to(device), stream)
        after = network.encode(items.after.to(device), stream)
        k = len(after) // len(before)
        owner = torch.arange(len(before), device=after.grid.device).repeat_interleave(k)
        old = before.select(torch.cat([owner, owner[::k]]))
        new = Encoded(
            torch.cat([after.grid, before.grid]), torch.cat([after.moments, before.moments])
        )
        nothing = torch.zeros_like(items.targets[: len(before)])
        targets = torch.cat([items.targets, nothing]).to(device)
        targets_loss = target_loss(network(old, new), targets)
        edges_loss = torch.zeros((), device=targets.device)
        if bool(items.known.any()):
            graphs = network.graph(before)[items.known.to(device)]
            edges_loss = graph_loss(graphs, items.adjacency[items.known].to(device))
    return targets_loss + edges_loss, {
        "targets": float(targets_loss.detach()),
        "graph": float(edges_loss.detach()),
    }
