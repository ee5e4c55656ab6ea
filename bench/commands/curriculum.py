"""What each shipped network is trained on, and the glue between the generator's examples and the
networks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdnbench.datasets.synthetic.training import Laws, batch

if TYPE_CHECKING:
    from torch import Tensor

    from cdnbench.methods.cdn.network import CausalDifferentialNetwork
    from cdnbench.methods.cdn.summary import Summary
    from cdnbench.methods.cdn.trainer import Plan, Trained

EVERYTHING = Laws(
    sizes=((10, 10),) * 3 + ((20, 20),) * 4 + ((5, 30), (30, 60), (60, 100)),
    rows=((50, 200), (200, 1000), (900, 1050), (30, 3000)),
    factors=((1.5, 6.0), (1.5, 6.0), (1.1, 1.5), (1.05, 6.0)),
    many=0.3,
    hidden=0.15,
    uneven=0.2,
    standardised=0.2,
    regimes=(1, 32),
)
"""Everything that is not held out: what `cdn` is trained on."""


@dataclass(frozen=True)
class Batch:
    """Of `cdn`: B tasks. targets: (B, R, N) bool; adjacency: (B, N, N) bool; known: (B,) bool."""

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
    """The batch of a step for `cdn`."""
    import numpy as np
    import torch

    from cdnbench.methods.cdn.summary import stack, summarise

    examples = batch(laws, seed, step, cells=cells)
    return Batch(
        stack([summarise([e.task.observational, *e.task.regimes]) for e in examples]),
        torch.from_numpy(np.stack([e.targets for e in examples])),
        torch.from_numpy(np.stack([e.adjacency for e in examples])),
        torch.tensor([e.graph_known for e in examples]),
    )


def prefetched(make: Callable[[int], Any], workers: int) -> Callable[[int], Iterator[Any]]:
    """`start -> make(start), make(start + 1), ...`, made ahead of time by `workers` processes (0:
    made here, when asked)."""

    def stream(start: int) -> Iterator[Any]:
        step = start
        if not workers:
            while True:
                yield make(step)
                step += 1
        pool = ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_one_thread
        )
        try:
            waiting = [pool.submit(make, step + ahead) for ahead in range(2 * workers)]
            while True:
                ready = waiting.pop(0).result()
                waiting.append(pool.submit(make, step + 2 * workers))
                step += 1
                yield ready
        finally:  # nobody waits for what was made ahead
            pool.shutdown(cancel_futures=True)

    return stream


def _one_thread() -> None:
    """Workers share the cores; the network's threads are `--threads`."""
    import torch

    torch.set_num_threads(1)


class DevelopmentSet:
    """`synthetic-dev`, one dataset of each of its settings under either protocol: mean AP by
    protocol, mechanism and kind of intervention."""

    def __init__(self, n_datasets: int = 24) -> None:
        from cdnbench.registry import load_suite

        self.tasks = []
        for protocol in ("clean", "dcdi"):
            suite = load_suite("synthetic-dev", protocol=protocol)
            for spec in list(suite.specs())[:n_datasets]:
                facts = spec.metadata
                name = f"{protocol} {facts['intervention'].split('-')[0]} {facts['mechanism']}"
                self.tasks.append((name, suite.load(spec)))

    def mean_ap(self, predict: Callable[[Any], Any]) -> dict[str, float]:
        """predict(task) -> (R, N) scores."""
        import numpy as np

        from cdnbench.metrics import evaluate

        found: dict[str, list[float]] = {}
        for name, labelled in self.tasks:
            scores = predict(labelled.task)
            values = evaluate(scores, labelled.targets)["average_precision_tie"]
            found.setdefault(name, []).append(float(np.mean(values)))
        means = {name: float(np.mean(values)) for name, values in found.items()}
        return {"dev mAP": float(np.mean(list(means.values()))), **means}


def train_mechanism(
    folder: Path, plan: Plan, *, seed: int, device: str, workers: int, cells: int
) -> tuple[CausalDifferentialNetwork, Trained, dict[str, Any]]:
    """Train `cdn`. -> network, what came of it, and what the card says of its making."""
    import dataclasses

    import torch

    from cdnbench.methods.cdn.cdn import target_scores
    from cdnbench.methods.cdn.network import CausalDifferentialNetwork, Shape, loss
    from cdnbench.methods.cdn.trainer import check_folder, describe, fit

    shape = Shape()
    making = {
        "model": "cdn",
        "config": dataclasses.asdict(shape),
        "laws": EVERYTHING.plain(),
        "seed": seed,
        "cells_a_step": cells,
        "plan": describe(plan),
    }
    check_folder(folder, making)
    torch.manual_seed(seed)
    network = CausalDifferentialNetwork(shape).to(device)
    development = DevelopmentSet()

    def step_loss(step: int, made: Batch):
        here = made.to(device)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            beliefs = network(here.summary)
        return loss(beliefs, here.targets, here.adjacency, here.known)

    def validate() -> dict[str, float]:
        network.eval()
        return development.mean_ap(lambda task: target_scores(network, task, device))

    trained = fit(
        network,
        step_loss,
        prefetched(partial(mechanism_batch, EVERYTHING, seed, cells), workers),
        folder=folder,
        plan=plan,
        identity=making,
        validate=validate,
    )
    return network, trained, making


def card(making: dict[str, Any], trained: Trained, device: str) -> dict[str, Any]:
    """The card of weights: what was made, how, where, and what it reached on `synthetic-dev`."""
    import torch

    from cdnbench.runners.provenance import provenance

    return {
        **making,
        "command": " ".join(["bench", *sys.argv[1:]]),
        "steps": trained.steps,
        "minutes": round(trained.minutes, 1),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        **provenance(),
        "date": datetime.now(UTC).date().isoformat(),
        "validation": {
            k: round(v, 4) for k, v in trained.curve[-1].items() if k not in ("step", "minutes")
        },
        "held_out": "mechanisms polynomial and sigmoid; every law of synthetic-ood; every seed of "
        "a suite",
    }
