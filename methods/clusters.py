"""Clusters of training perturbations, and which of them a method holds out to validate on.

Perturbations of one cluster do much the same to a cell, so a method that validates on a cluster of
which it has trained on another member would measure how well it remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cdnbench.truth import LabelledTask


def cluster(labelled: LabelledTask, number: int) -> str:
    """Cell line and cluster of a training task.

    number: the place of the task among all. A task whose cluster is not known is one by itself.
    """
    line = labelled.task.metadata.get("cell_line", "")
    return f"{line}/{labelled.facts.get('cluster', f'task {number}')}"


def held_out(
    clusters: Sequence[str] | np.ndarray, number: Callable[[int], int], rng: np.random.Generator
) -> np.ndarray:
    """(P,) bool: which perturbations to keep from training, whole clusters at a time.

    clusters (P,): the cluster of each perturbation. number: number of different clusters -> how
    many to hold out. If that is all of them, the second half of the perturbations is held out
    instead.
    """
    names = np.unique(np.asarray(clusters, dtype=str))
    held = np.isin(clusters, rng.permutation(names)[: number(len(names))])
    if held.all():
        held[: len(held) // 2] = False
    return held
