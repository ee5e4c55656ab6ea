"""Development sets: what a network is validated on while it is trained.

They come from `synthetic-dev`, whose seeds no other suite shares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cdnbench.registry import load_suite
from cdnbench.task import Task

if TYPE_CHECKING:
    from cdnbench.suite import TaskSpec

PROTOCOLS = ("clean", "dcdi")
N_SETTINGS = 24
"""The first tasks of `synthetic-dev` are one dataset of each of its settings."""


@dataclass(frozen=True, eq=False)
class DevelopmentSet:
    """Labelled tasks in groups. tasks: triples of the group's name, the task, and its targets
    (R, N)."""

    tasks: tuple[tuple[str, Task, np.ndarray], ...]

    def mean_ap(self, predict: Callable[[Task], np.ndarray]) -> dict[str, float]:
        """Average precision (ties in expectation), averaged over the tasks of each group; the
        first entry is the mean over groups.

        predict: from a task to its scores (R, N).
        """
        from cdnbench.metrics import evaluate

        found: dict[str, list[float]] = {}
        for name, task, targets in self.tasks:
            values = evaluate(predict(task), targets)["average_precision_tie"]
            found.setdefault(name, []).append(float(np.mean(values)))
        means = {name: float(np.mean(values)) for name, values in found.items()}
        return {"dev mAP": float(np.mean(list(means.values()))), **means}


def all_settings() -> DevelopmentSet:
    """One dataset of each setting under either protocol, in groups of one protocol, kind of
    intervention and mechanism."""
    tasks = []
    for protocol in PROTOCOLS:
        suite = load_suite("synthetic-dev", protocol=protocol)
        for spec in list(suite.specs())[:N_SETTINGS]:
            facts = spec.metadata
            name = f"{protocol} {facts['intervention'].split('-')[0]} {facts['mechanism']}"
            labelled = suite.load(spec)
            tasks.append((name, labelled.task, labelled.targets))
    return DevelopmentSet(tuple(tasks))


def hard_settings(n_regimes: int = 10) -> DevelopmentSet:
    """Two datasets of each setting with hard interventions under either protocol, the first
    `n_regimes` regimes of each, in groups of one protocol and mechanism."""
    tasks = []
    for protocol in PROTOCOLS:
        suite = load_suite("synthetic-dev", protocol=protocol)
        hard = [s for s in suite.specs() if s.metadata["intervention"] == "hard-uniform"]
        for spec in hard[:N_SETTINGS]:
            labelled = suite.load(spec)
            task = dataclasses.replace(
                labelled.task,
                regimes=labelled.task.regimes[:n_regimes],
                candidates=labelled.task.candidates[:n_regimes],  # type: ignore[index]
            )
            name = f"dev mAP {protocol} {spec.metadata['mechanism']}"
            tasks.append((name, task, labelled.targets[:n_regimes]))
    return DevelopmentSet(tuple(tasks))


def observational_settings() -> list[tuple[TaskSpec, np.ndarray, np.ndarray]]:
    """Observational samples (M, N) and graph (N, N) of one dataset of each setting under either
    protocol, with their specs. `adjacency[i, j]` is true where i -> j."""
    from cdnbench.datasets.synthetic.generate import simulate
    from cdnbench.datasets.synthetic.tasks import task

    found = []
    for protocol in PROTOCOLS:
        for spec in load_suite("synthetic-dev", protocol=protocol).specs()[:N_SETTINGS]:
            simulation = simulate(spec.recipe)
            found.append((spec, task(simulation).observational, simulation.adjacency))
    return found
