"""Training steps of the encoder (SEA) and of the paper's differential networks: arrays in, losses
and metrics out.

Where the data comes from is the caller's business (`bench train`); `trainer.fit` runs the steps.
Randomness within a step (dropout, identities) comes from a generator named by the step, so that a
resumed run is the run that was not interrupted.

SEA is trained on the observational data of a graph, T log-uniform in 10..49 batches of k = 5
variables, by the cross-entropy of {none, i -> j, j -> i} over the pairs i < j.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cdnbench.digest import generator
from cdnbench.methods.cdn.aggregator import (
    EncoderConfig,
    StructureLearner,
    graph_classes,
    graph_loss,
)
from cdnbench.methods.cdn.featuriser import Features, featurise

TRAINING_BATCHES = (10, 49)
"""Range of T when SEA is trained."""

StepLoss = Callable[[int, Any], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """features of B data sets of one size; adjacency: (B, N, N) bool, [i, j] is i -> j."""

    features: Features
    adjacency: Tensor


def graph_batch(
    samples: Sequence[np.ndarray],
    adjacency: np.ndarray,
    config: EncoderConfig,
    rng: np.random.Generator,
    *,
    n_batches: int | None = None,
    device: torch.device | str = "cpu",
) -> GraphBatch:
    """A training batch of SEA from samples B x (M_b, N) and their graphs (B, N, N).

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


def sea_step(model: StructureLearner, seed: int = 0) -> StepLoss:
    """(step, GraphBatch) -> (loss, its parts), for `trainer.fit`."""

    def step_loss(step: int, batch: GraphBatch) -> tuple[Tensor, dict[str, float]]:
        with step_randomness("sea", seed, step) as stream:
            loss = graph_loss(model(batch.features, stream), batch.adjacency)
        return loss, {"graph": float(loss.detach())}

    return step_loss


@torch.no_grad()
def sea_metrics(model: StructureLearner, batches: Sequence[GraphBatch]) -> dict[str, float]:
    """Validation: mean cross-entropy, and mean over graphs of AUROC and average precision of the
    directed edges."""
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


class step_randomness:
    """Within it, torch's global state (which dropout reads) is a function of the axes; on leaving
    it is as before.

    Entering gives a CPU generator for what is drawn explicitly.
    """

    def __init__(self, *axes: Any) -> None:
        self.seed = int(generator("training step", *axes).integers(2**62))

    def __enter__(self) -> torch.Generator:
        self.fork = torch.random.fork_rng()
        self.fork.__enter__()
        torch.manual_seed(self.seed)
        return torch.Generator().manual_seed(self.seed)

    def __exit__(self, *error: Any) -> None:
        self.fork.__exit__(*error)
