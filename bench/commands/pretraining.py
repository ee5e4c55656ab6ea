"""Training of the encoder, SEA: what it is trained on, and the glue between generated graphs and
the network."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdnbench.datasets.synthetic.training import Laws, graphs

if TYPE_CHECKING:
    from cdnbench.methods.cdn.aggregator import EncoderConfig, StructureLearner
    from cdnbench.methods.cdn.pretrain import GraphBatch
    from cdnbench.methods.cdn.trainer import Plan, Trained

GRAPHS = Laws(
    sizes=((10, 10),) * 3 + ((20, 20),) * 4 + ((5, 30), (30, 100)),
    densities=(1, 2, 3, 4),
    rows=((300, 1500), (900, 1050), (50, 300)),
)
"""Of the encoder: densities and graph laws of SEA, both noise protocols, mechanisms linear, nn and
nn_add."""

MOST_GRAPHS = 16
"""Graphs a step (SEA's batch size), fewer where N is large."""


def sea_batch(laws: Laws, seed: int, cells: int, config: EncoderConfig, step: int) -> GraphBatch:
    """The batch of a step."""
    import numpy as np

    from cdnbench.digest import generator
    from cdnbench.methods.cdn.pretrain import graph_batch

    samples, adjacency = zip(*graphs(laws, seed, step, cells=cells, most=MOST_GRAPHS), strict=True)
    return graph_batch(samples, np.stack(adjacency), config, generator("sea features", seed, step))


def development_graphs(config: EncoderConfig) -> dict[str, list[GraphBatch]]:
    """Mechanism -> the observational data of `synthetic-dev` under both protocols, 50 marginal
    estimates each."""
    import numpy as np

    from cdnbench.datasets.synthetic.generate import simulate
    from cdnbench.datasets.synthetic.tasks import task
    from cdnbench.digest import generator
    from cdnbench.methods.cdn.pretrain import graph_batch
    from cdnbench.registry import load_suite

    groups: dict[tuple[str, int], list[Any]] = {}
    for protocol in ("clean", "dcdi"):
        for spec in load_suite("synthetic-dev", protocol=protocol).specs()[:24]:
            simulation = simulate(spec.recipe)
            found = task(simulation).observational, simulation.adjacency
            groups.setdefault((spec.metadata["mechanism"], spec.n_variables), []).append(found)
    batches: dict[str, list[GraphBatch]] = {}
    for (mechanism, n), members in groups.items():
        samples, adjacency = zip(*members, strict=True)
        rng = generator("sea development", mechanism, n)
        batches.setdefault(mechanism, []).append(
            graph_batch(samples, np.stack(adjacency), config, rng, n_batches=50)
        )
    return batches


def train_sea(
    folder: Path,
    plan: Plan,
    config: EncoderConfig,
    *,
    seed: int,
    device: str,
    workers: int,
    cells: int,
) -> tuple[StructureLearner, Trained, dict[str, Any]]:
    """Train the encoder. -> network, what came of it, and what the card says of its making."""
    import torch

    from cdnbench.commands.curriculum import prefetched
    from cdnbench.methods.cdn.aggregator import StructureLearner
    from cdnbench.methods.cdn.pretrain import sea_metrics, sea_step
    from cdnbench.methods.cdn.trainer import check_folder, describe, fit

    making = {
        "model": "sea", "config": dataclasses.asdict(config), "laws": GRAPHS.plain(), "seed": seed,
        "cells_a_step": cells, "plan": describe(plan),
    }  # fmt: skip
    check_folder(folder, making)
    torch.manual_seed(seed)
    network = StructureLearner(config).to(device)
    step_loss = sea_step(network, seed)
    development = development_graphs(config)

    def on_device(step: int, batch: GraphBatch):
        moved = dataclasses.replace(
            batch, features=batch.features.to(device), adjacency=batch.adjacency.to(device)
        )
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return step_loss(step, moved)

    def validate() -> dict[str, float]:
        found: dict[str, float] = {}
        for mechanism, batches in development.items():
            moved = [
                dataclasses.replace(
                    b, features=b.features.to(device), adjacency=b.adjacency.to(device)
                )
                for b in batches
            ]
            found[f"dev edge AP {mechanism}"] = sea_metrics(network, moved)["val_edge_ap"]
        return {"dev edge AP": sum(found.values()) / len(found), **found}

    trained = fit(
        network,
        on_device,
        prefetched(partial(sea_batch, GRAPHS, seed, cells, config), workers),
        folder=folder,
        plan=plan,
        identity=making,
        validate=validate,
    )
    return network, trained, making
