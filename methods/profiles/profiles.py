"""Shifts of genes as vectors over one vocabulary, for methods that learn from perturbations whose
targets are known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.task import LabelledTask, Task


def shift(task: Task) -> np.ndarray:
    """(R, N) mean of each regime minus the mean of the observational samples."""
    before = task.observational.mean(axis=0, dtype=np.float64)
    return np.stack([x.mean(axis=0, dtype=np.float64) for x in task.regimes]) - before


@dataclass(frozen=True, eq=False)
class Profiles:
    """P labelled shifts over V genes. genes (V,): sorted names. shifts, targets (P, V): 0 and False
    where a task lacks a gene. known (P, V): whether it has it. clusters (P,): cell line and cluster
    of each, for splits of one's own."""

    genes: np.ndarray
    shifts: np.ndarray
    targets: np.ndarray
    known: np.ndarray
    clusters: np.ndarray

    @staticmethod
    def of(tasks: Iterable[LabelledTask]) -> Profiles:
        """Of all regimes of the tasks, each made and dropped in turn.

        Raises
        ------
        CannotRun: a task without gene symbols.
        """
        rows: list[tuple[Sequence[str], np.ndarray, np.ndarray]] = []
        clusters: list[str] = []
        for labelled in tasks:
            if labelled.task.symbols is None:
                raise CannotRun("a training task has no gene symbols")
            where = labelled.task.metadata.get("cell_line", "")
            clusters += [
                f"{where}/{labelled.facts.get('cluster', len(clusters))}"
            ] * labelled.task.n_regimes
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
        """For `fit` to give."""
        return {
            "genes": self.genes,
            "shifts": self.shifts,
            "targets": self.targets,
            "known": self.known,
        }


def places(genes: np.ndarray, symbols: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Where each symbol stands among sorted genes (N,), and whether it does (N,)."""
    found = np.minimum(np.searchsorted(genes, np.array(symbols)), len(genes) - 1)
    return found, genes[found] == np.array(symbols)


def embed(task: Task, genes: np.ndarray) -> np.ndarray:
    """(R, V) shifts of a task over sorted genes, 0 where it lacks one."""
    assert task.symbols is not None
    at, there = places(genes, task.symbols)
    vectors = np.zeros((task.n_regimes, len(genes)))
    vectors[:, at[there]] = shift(task)[:, there]
    return vectors


def of_targeted(task: Task, names: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(R, N) scores of a task's genes from those of the genes that training targeted: sorted names
    (T,), predicted (R, T). NaN for others.

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
