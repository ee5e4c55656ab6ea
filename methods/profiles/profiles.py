"""Shifts of genes as vectors over one vocabulary, for methods that learn from perturbations whose
targets are known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.methods.clusters import cluster
from cdnbench.task import Task
from cdnbench.truth import LabelledTask


def shift(task: Task) -> np.ndarray:
    """(R, N) mean of each regime minus the mean of the observational samples."""
    before = task.observational.mean(axis=0, dtype=np.float64)
    return np.stack([x.mean(axis=0, dtype=np.float64) for x in task.regimes]) - before


@dataclass(frozen=True, eq=False)
class Profiles:
    """P labelled shifts over V genes.

    genes (V,): sorted names.
    shifts, targets (P, V): 0 and False where a task lacks a gene.
    known (P, V): whether the task has the gene.
    clusters (P,): cell line and cluster of each perturbation, for `clusters.held_out`.
    """

    genes: np.ndarray
    shifts: np.ndarray
    targets: np.ndarray
    known: np.ndarray
    clusters: np.ndarray

    @staticmethod
    def of(tasks: Iterable[LabelledTask]) -> Profiles:
        """Collect the shifts of all regimes. Each task is made and dropped in turn.

        Raises
        ------
        CannotRun: a task without gene symbols.
        """
        rows: list[tuple[Sequence[str], np.ndarray, np.ndarray]] = []
        clusters: list[str] = []
        for number, labelled in enumerate(tasks):
            if labelled.task.symbols is None:
                raise CannotRun("a training task has no gene symbols")
            clusters += [cluster(labelled, number)] * labelled.task.n_regimes
            rows += [
                (labelled.task.symbols, s, t)
                for s, t in zip(shift(labelled.task), labelled.targets, strict=True)
            ]
        genes = np.array(sorted({gene for symbols, _, _ in rows for gene in symbols}))
        shifts, targets, known = (
            np.zeros((len(rows), len(genes)), dtype) for dtype in (float, bool, bool)
        )
        for p, (symbols, s, t) in enumerate(rows):
            places = np.searchsorted(genes, np.array(symbols))
            shifts[p, places], targets[p, places], known[p, places] = s, t, True
        return Profiles(genes, shifts, targets, known, np.array(clusters, dtype=str))

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that `fit` may return."""
        return {
            "genes": self.genes,
            "shifts": self.shifts,
            "targets": self.targets,
            "known": self.known,
        }


def places(known: np.ndarray, wanted: Sequence[str] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place (N,) of each wanted value among the known ones, and whether it is there (N,).

    known: sorted, for example names of genes. wanted (N,): for example the symbols of a task.
    """
    wanted = np.asarray(wanted)
    found = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return found, known[found] == wanted


def embed(task: Task, genes: np.ndarray) -> np.ndarray:
    """(R, V) shifts of a task over sorted genes, 0 where the task lacks a gene."""
    assert task.symbols is not None
    at, there = places(genes, task.symbols)
    vectors = np.zeros((task.n_regimes, len(genes)))
    vectors[:, at[there]] = shift(task)[:, there]
    return vectors


def of_targeted(task: Task, names: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(R, N) scores of a task's genes, from those of the genes that training targeted.

    names (T,): the targeted genes, sorted. predicted (R, T): their scores. Other genes get NaN.

    Raises
    ------
    CannotRun: the task has none of them.
    """
    at, there = places(names, task.symbols or ())
    if not there.any():
        raise CannotRun("no gene of the task was a target in training")
    return np.where(there, predicted[:, at], np.nan)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (R, V) divided by their norms."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def standardised(vectors: np.ndarray) -> np.ndarray:
    """Vectors (R, V) minus their means, divided by their norms: products are correlations."""
    return unit(vectors - vectors.mean(axis=1, keepdims=True))
