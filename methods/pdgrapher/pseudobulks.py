"""Pseudobulks of training tasks over one vocabulary of genes, and their scaling, for PDGrapher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.methods.clusters import cluster
from cdnbench.truth import LabelledTask


@dataclass(frozen=True, eq=False)
class Pseudobulks:
    """P samples over V genes.

    genes (V,): sorted names.
    before, after (P, V): float32 means, 0 where a sample lacks a gene.
    known, targets (P, V): bool.
    group (P,): cell line and cluster of the perturbation.
    """

    genes: np.ndarray
    before: np.ndarray
    after: np.ndarray
    known: np.ndarray
    targets: np.ndarray
    group: np.ndarray

    @staticmethod
    def of(tasks: Sequence[LabelledTask], n: int, rng: np.random.Generator) -> Pseudobulks:
        """Average n samples per regime: over all its cells if n is 1, else over random halves.

        Raises
        ------
        CannotRun: a task without gene symbols.
        """
        rows, groups = [], []
        for number, labelled in enumerate(tasks):
            task = labelled.task
            if task.symbols is None:
                raise CannotRun("a training task has no gene symbols")
            symbols, column = np.unique(task.symbols, return_inverse=True)
            group = cluster(labelled, number)
            for cells, targets in zip(task.regimes, labelled.targets, strict=True):
                target = np.bincount(column, weights=targets) > 0
                for _ in range(n):
                    before, after = (
                        mean(x if n == 1 else x[_half(len(x), rng)], column)
                        for x in (task.observational, cells)
                    )
                    rows.append((symbols, before, after, target))
                    groups.append(group)
        genes = np.unique(np.concatenate([symbols for symbols, *_ in rows]))
        shape = len(rows), len(genes)
        before, after = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        known, targets = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        for p, (symbols, *values) in enumerate(rows):
            at = np.searchsorted(genes, symbols)
            before[p, at], after[p, at], targets[p, at] = values
            known[p, at] = True
        return Pseudobulks(genes, before, after, known, targets, np.array(groups))

    def select(self, samples: np.ndarray, genes: np.ndarray) -> Pseudobulks:
        """Some of the samples and genes, by number."""
        before, after, known, targets = (
            a[np.ix_(samples, genes)] for a in (self.before, self.after, self.known, self.targets)
        )
        return Pseudobulks(self.genes[genes], before, after, known, targets, self.group[samples])


def mean(cells: np.ndarray, column: np.ndarray) -> np.ndarray:
    """(S,) mean over cells (M, N) and over the columns of a symbol; column (N,): number of its
    symbol."""
    means = np.ascontiguousarray(cells).mean(axis=0, dtype=np.float64)
    return np.bincount(column, weights=means) / np.bincount(column)


def _half(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(n)[: max(1, n // 2)]


@dataclass(frozen=True, eq=False)
class Scaling:
    """Scaling per gene.

    low, range (N,): scaled expression is (x - low) / range.
    fill (N,): expression of a gene that a sample lacks.
    """

    low: np.ndarray
    range: np.ndarray
    fill: np.ndarray

    @staticmethod
    def of(bulks: Pseudobulks) -> Scaling:
        low, high = np.inf, -np.inf
        for values in (bulks.before, bulks.after):
            low = np.minimum(low, np.where(bulks.known, values, np.inf).min(axis=0))
            high = np.maximum(high, np.where(bulks.known, values, -np.inf).max(axis=0))
        span = high - low
        fill = np.where(bulks.known, bulks.before, 0).sum(
            axis=0, dtype=np.float64
        ) / bulks.known.sum(axis=0)
        return Scaling(low, np.where(span > 0, span, 1.0), fill)

    def __call__(self, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """(P, N) float32 of values (P, N)."""
        return ((np.where(known, values, self.fill) - self.low) / self.range).astype(np.float32)


def validation_groups(share: float, n: int) -> int:
    """How many of n groups to validate on: a share of them, rounded.

    At least one where the share is not 0, but never all of them.
    """
    return min(max(round(share * n), share > 0), n - 1)
