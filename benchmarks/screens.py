"""Synthetic screens of any size for the other benchmarks: negative-binomial counts, made and
written a range of cells at a time.

Counts are geometric (negative binomial of size 1): a uniform number u of a gene and cell is the
count floor(log u / log q). Its mean q / (1 - q) is lognormal over genes (standard deviation 1.2)
and over cells (0.3), scaled to the density that is asked for, times what the
perturbation of the cell does: its target is lowered to a fifth, 40 other genes of the more
expressed half go 2 to 8 times up or down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import sparse

CONTROL = "non-targeting"
AT_ONCE = 16_000_000  # counts, zeros included, that are drawn at once
SHIFTED, LEFT_OF_TARGET = 40, 0.2
GENE_SPREAD, CELL_SPREAD = 1.2, 0.3


@dataclass(frozen=True)
class Screen:
    """density: share of non-zero counts. controls: share of cells. Every perturbation has a target
    of its own."""

    cells: int
    genes: int
    perturbations: int
    density: float = 0.1
    controls: float = 0.1
    seed: int = 0

    @cached_property
    def names(self) -> list[str]:
        return [f"G{g:05d}" for g in range(self.genes)]

    @cached_property
    def base(self) -> np.ndarray:
        """(G,) mean of each gene in a cell of depth 1."""
        rng = np.random.default_rng([self.seed, 0])
        base = np.exp(GENE_SPREAD * rng.normal(size=self.genes))
        depth = np.exp(CELL_SPREAD * rng.normal(size=64))[:, None]
        low, high = 1e-6, 1e6
        for _ in range(60):
            middle = np.sqrt(low * high)
            mean = middle * depth * base
            low, high = (
                (middle, high) if (mean / (1 + mean)).mean() < self.density else (low, middle)
            )
        return (low * base).astype(np.float32)

    @cached_property
    def expressed(self) -> np.ndarray:
        """The more expressed half of the genes; more where there are more perturbations."""
        return np.argsort(-self.base)[: max(self.genes // 2, self.perturbations)]

    @cached_property
    def targets(self) -> np.ndarray:
        """(P,) genes."""
        return np.random.default_rng([self.seed, 1]).permutation(self.expressed)[
            : self.perturbations
        ]

    @cached_property
    def effects(self) -> np.ndarray:
        """(P + 1, G) factors of the means, the last row for controls."""
        rng = np.random.default_rng([self.seed, 2])
        effects = np.ones((self.perturbations + 1, self.genes), dtype=np.float32)
        for p, target in enumerate(self.targets):
            shifted = rng.choice(self.expressed, min(SHIFTED, len(self.expressed)), replace=False)
            effects[p, shifted] = 2.0 ** (
                rng.choice([-1, 1], len(shifted)) * rng.uniform(1, 3, len(shifted))
            )
            effects[p, target] = LEFT_OF_TARGET
        return effects

    @cached_property
    def labels(self) -> np.ndarray:
        """(M,) perturbation of each cell, -1 for controls, in random order."""
        rng = np.random.default_rng([self.seed, 3])
        labels = np.arange(self.cells) % self.perturbations
        labels[: round(self.controls * self.cells)] = -1
        return rng.permutation(labels)

    @cached_property
    def perturbation(self) -> np.ndarray:
        """(M,) name of the perturbation of each cell: its target."""
        return np.array([*(self.names[t] for t in self.targets), CONTROL], dtype=object)[
            self.labels
        ]

    def counts(self) -> Iterator[sparse.csr_matrix]:
        """Counts of all cells in order, float32, some cells at a time."""
        size = max(1, AT_ONCE // self.genes)
        for low in range(0, self.cells, size):
            some = self.labels[low : low + size]
            rng = np.random.default_rng([self.seed, 4, low])
            depth = np.exp(CELL_SPREAD * rng.standard_normal(len(some), dtype=np.float32))
            mean = self.effects[some]
            mean *= self.base
            mean *= depth[:, None]
            chance = mean / (1 + mean)
            u = 1 - rng.random(mean.shape, dtype=np.float32)
            row, column = np.nonzero(u < chance)
            values = np.floor(np.log(u[row, column]) / np.log(chance[row, column]))
            first = np.searchsorted(row, np.arange(len(some) + 1))
            yield sparse.csr_matrix((values, column.astype(np.int32), first), shape=mean.shape)

    def write(self, path: Path, dtype: str = "float32", compression: str | None = None) -> int:
        """An .h5ad with csr counts, never held as a whole; returns the number of non-zero counts.
        Needs h5py, pandas, anndata."""
        import h5py
        import pandas as pd
        from anndata.io import write_elem

        obs = pd.DataFrame(
            {"perturbation": self.perturbation}, index=[f"cell{i}" for i in range(self.cells)]
        )
        with h5py.File(path, "w") as file:
            file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
            write_elem(file, "obs", obs)
            write_elem(file, "var", pd.DataFrame(index=self.names))
            x = file.create_group("X")
            x.attrs.update(
                {
                    "encoding-type": "csr_matrix",
                    "encoding-version": "0.1.0",
                    "shape": np.array([self.cells, self.genes]),
                }
            )
            kinds = {"data": dtype, "indices": "int32"}
            for name, kind in kinds.items():
                x.create_dataset(
                    name, (0,), kind, maxshape=(None,), chunks=(2**17,), compression=compression
                )
            pointers = [np.zeros(1, dtype=np.int64)]
            for counts in self.counts():
                end = int(pointers[-1][-1])
                for name, values in (("data", counts.data), ("indices", counts.indices)):
                    x[name].resize((end + counts.nnz,))
                    x[name][end:] = values.astype(kinds[name])
                pointers.append(end + counts.indptr[1:].astype(np.int64))
            x["indptr"] = np.concatenate(pointers)
        return int(pointers[-1][-1])
