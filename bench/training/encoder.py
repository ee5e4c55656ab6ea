"""Pretraining of SEA, the encoder of `cdn-axial` and `cdn-mlp`: causal discovery on observational
data.

SEA is trained on the observational data of a graph, summarised by T batches of k = 5 variables with
T log-uniform in 10..49, and learns by the cross-entropy of {none, i -> j, j -> i} over the pairs
i < j. An encoder can start from another one that read another global statistic, as those of the
paper's Table 8 start from the one that reads the inverse covariance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cdnbench.datasets.synthetic.training import Laws, graphs
from cdnbench.digest import generator
from cdnbench.errors import InvalidParameter
from cdnbench.methods.cdn.paper.aggregator import (
    EncoderConfig,
    StructureLearner,
    graph_classes,
    graph_loss,
)
from cdnbench.methods.cdn.paper.featuriser import Features, featurise
from cdnbench.methods.cdn.weights import load_weights
from cdnbench.training import development, loop
from cdnbench.training.card import Product
from cdnbench.training.curricula import GRAPHS
from cdnbench.training.prefetch import prefetched

TRAINING_BATCHES = (10, 49)
"""Range of T, the number of marginal estimates per data set, in training."""

DEVELOPMENT_BATCHES = 50
"""T in validation, as at test time."""

MOST_GRAPHS = 16
"""Graphs per step at most (SEA's batch size); there are fewer where N is large."""

_READS_STATISTIC = "encoder.embed_statistic.weight"


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Features of B data sets of one size, and their graphs. adjacency: (B, N, N) bool, [i, j] is
    i -> j."""

    features: Features
    adjacency: Tensor

    def to(self, device: torch.device | str) -> GraphBatch:
        return GraphBatch(self.features.to(device), self.adjacency.to(device))


def graph_batch(
    samples: Sequence[np.ndarray],
    adjacency: np.ndarray,
    config: EncoderConfig,
    rng: np.random.Generator,
    *,
    n_batches: int | None = None,
    device: torch.device | str = "cpu",
) -> GraphBatch:
    """A batch from the samples of B data sets, each (M_b, N), and their graphs (B, N, N).

    n_batches: T; drawn from `TRAINING_BATCHES` if None.
    """
    low, high = TRAINING_BATCHES
    drawn = int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))
    features = featurise(
        samples,
        drawn if n_batches is None else n_batches,
        rng,
        statistic=config.statistic,
        marginals=config.marginals,
        device=device,
    )
    return GraphBatch(features, torch.from_numpy(np.asarray(adjacency, dtype=bool)).to(device))


def sea_batch(laws: Laws, seed: int, cells: int, config: EncoderConfig, step: int) -> GraphBatch:
    """The batch of a step, of about `cells` grid cells (N^2)."""
    samples, adjacency = zip(*graphs(laws, seed, step, cells=cells, most=MOST_GRAPHS), strict=True)
    return graph_batch(samples, np.stack(adjacency), config, generator("sea features", seed, step))


def sea_step(
    model: StructureLearner, seed: int = 0
) -> Callable[[int, GraphBatch], tuple[Tensor, dict[str, float]]]:
    """The loss of a step and its parts, for `loop.fit`."""

    def step_loss(step: int, batch: GraphBatch) -> tuple[Tensor, dict[str, float]]:
        with loop.step_randomness("sea", seed, step) as stream:
            loss = graph_loss(model(batch.features, stream), batch.adjacency)
        return loss, {"graph": float(loss.detach())}

    return step_loss


@torch.no_grad()
def sea_metrics(model: StructureLearner, batches: Sequence[GraphBatch]) -> dict[str, float]:
    """Mean cross-entropy over batches, and mean AUROC and average precision of the directed edges
    over graphs."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    model.eval()
    losses, precisions, areas = [], [], []
    for batch in batches:
        logits = model(batch.features)
        losses.append(float(graph_loss(logits, batch.adjacency)))
        scores = logits.float().softmax(-1)[..., 1:].transpose(1, 2).flatten(1).cpu().numpy()
        classes = graph_classes(batch.adjacency)
        truth = torch.stack([classes == 1, classes == 2], dim=1).flatten(1).cpu().numpy()
        for true, score in zip(truth, scores, strict=True):
            if 0 < true.sum() < len(true):
                precisions.append(average_precision_score(true, score))
                areas.append(roc_auc_score(true, score))
    return {
        "val_graph": float(np.mean(losses)),
        "val_edge_ap": float(np.mean(precisions)),
        "val_edge_auroc": float(np.mean(areas)),
    }


def development_graphs(config: EncoderConfig) -> dict[str, list[GraphBatch]]:
    """The observational development data by mechanism, in batches of one N each."""
    groups: dict[tuple[str, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    for spec, samples, adjacency in development.observational_settings():
        key = (spec.metadata["mechanism"], spec.n_variables)
        groups.setdefault(key, []).append((samples, adjacency))
    batches: dict[str, list[GraphBatch]] = {}
    for (mechanism, n), members in groups.items():
        samples, adjacency = zip(*members, strict=True)
        rng = generator("sea development", mechanism, n)
        made = graph_batch(samples, np.stack(adjacency), config, rng, n_batches=DEVELOPMENT_BATCHES)
        batches.setdefault(mechanism, []).append(made)
    return batches


def edge_precision(
    network: StructureLearner, batches: Mapping[str, Sequence[GraphBatch]], device: str
) -> dict[str, float]:
    """Average precision of the directed edges by mechanism; the first entry is their mean."""
    found = {
        f"dev edge AP {mechanism}": sea_metrics(network, [b.to(device) for b in members])[
            "val_edge_ap"
        ]
        for mechanism, members in batches.items()
    }
    return {"dev edge AP": sum(found.values()) / len(found), **found}


def start_from(network: StructureLearner, weights: str) -> str:
    """Give a network the tensors of SEA weights, and return the digest of the weights.

    The two may differ in the global statistic. Weights that read it are kept too, except where
    the statistics have different numbers of channels: there they stay as they were drawn.

    Raises
    ------
    InvalidParameter: the weights are missing, or differ in anything else; the message names it.
    """
    card, tensors = load_weights(weights, "sea")
    wanted, found = dataclasses.asdict(network.encoder.config), card["config"]
    other = sorted(n for n in {*wanted, *found} if wanted.get(n) != found.get(n))
    if set(other) - {"statistic"}:
        told = [f"{n}={found.get(n)} where {wanted.get(n)} is wanted" for n in other]
        raise InvalidParameter(
            f"--from {weights}: an encoder with {', '.join(told)}. Only --statistic may differ "
            "from the weights to start from."
        )
    own = network.state_dict()
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if name != _READS_STATISTIC or tensor.shape == own[name].shape
    }
    network.load_state_dict({**own, **kept})
    return card["digest"]


def train_sea(
    folder: Path,
    plan: loop.Plan,
    config: EncoderConfig,
    *,
    seed: int,
    device: str,
    workers: int,
    cells: int,
    start: str = "",
) -> Product[StructureLearner]:
    """Train the encoder in a folder, or go on with the run that the folder holds.

    seed: names the training data and the initial weights. device: "cpu" or "cuda". workers:
    processes that make batches. cells: grid cells (N^2) per step. start: shipped name or path of
    SEA weights to start from, or "" to start from nothing; see `start_from`.

    Raises
    ------
    InvalidParameter: the folder holds a checkpoint of a run with another identity, or the weights
    to start from are missing or of another configuration.
    """
    torch.manual_seed(seed)
    network = StructureLearner(config)
    digest = start_from(network, start) if start else ""
    identity = {
        "model": "sea",
        "config": dataclasses.asdict(config),
        "laws": GRAPHS.plain(),
        "seed": seed,
        "cells_a_step": cells,
        "plan": loop.describe(plan),
        **({"from": digest} if digest else {}),
    }
    loop.check_folder(folder, identity)
    network.to(device)
    step_loss = sea_step(network, seed)
    development_batches = development_graphs(config)

    def on_device(step: int, batch: GraphBatch) -> tuple[Tensor, dict[str, float]]:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return step_loss(step, batch.to(device))

    trained = loop.fit(
        network,
        on_device,
        prefetched(partial(sea_batch, GRAPHS, seed, cells, config), workers),
        folder=folder,
        plan=plan,
        identity=identity,
        validate=lambda: edge_precision(network, development_batches, device),
    )
    return Product(network, trained, identity)
