"""Screens of single cells: counts out of an .h5ad file, and the cases that they make.

h5py reads them in a fraction of the time that a whole AnnData takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy import sparse

from cdnbench.datasets.real.case import Case, control_cases
from cdnbench.errors import InvalidData


@dataclass(frozen=True, eq=False)
class Cells:
    """counts: (cells, genes) CSR. obs: column -> (cells,)."""

    counts: sparse.csr_matrix
    genes: tuple[str, ...]
    obs: dict[str, np.ndarray]

    def log_normalised(self, rows: np.ndarray, total: np.ndarray) -> np.ndarray:
        """(rows, genes) float32 log(1 + 10^4 x / total). rows: (cells,) bool. total: (cells,)
        molecules of each cell over the whole genome, as the file may hold some genes alone."""
        total = np.asarray(total, dtype=np.float64)
        counts = self.counts[np.flatnonzero(rows)].toarray().astype(np.float64)
        return np.log1p(1e4 * counts / total[rows, None]).astype(np.float32)


def read_cells(path: Path, columns: tuple[str, ...]) -> Cells:
    """Counts, gene names and the named columns of obs.

    Raises
    ------
    InvalidData: it is no such file, or lacks a column; the message says which.
    """
    try:
        with h5py.File(path) as file:
            missing = [c for c in columns if c not in file["obs"]]
            if missing:
                raise InvalidData(
                    f"{path}: obs lacks the column {missing[0]}; expected {', '.join(columns)}."
                )
            obs = {c: _column(file["obs"][c]) for c in columns}
            names = file["var"][file["var"].attrs.get("_index", "_index")][:]
            genes = tuple(_text(names))
            shape = (len(obs[columns[0]]), len(genes))
            x = file["X"]
            counts = (
                sparse.csr_matrix((x["data"][:], x["indices"][:], x["indptr"][:]), shape=shape)
                if isinstance(x, h5py.Group)
                else sparse.csr_matrix(x[:])
            )
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, InvalidData):
            raise
        raise InvalidData(f"{path} is no .h5ad file of counts ({error}).") from error
    values = counts.data
    if len(values) and (values.min() < 0 or (values != np.round(values)).any()):
        raise InvalidData(f"{path}: X must hold counts, whole numbers from 0 on.")
    return Cells(counts, genes, obs)


def knock_outs(
    name: str, cells: Cells, kept: np.ndarray, total: np.ndarray, control: str
) -> list[Case]:
    """One case per knock-out of a measured gene, then controls against controls.

    Parameters
    ----------
    name: of the data set.
    kept: (cells,) bool, the cells that are used.
    total: (cells,) molecules of a cell over the whole genome.
    control: what `perturbation`, a column of obs, says of cells that nothing was done to.

    Raises
    ------
    InvalidData: there are no such cells, or no gene that is measured was knocked out.
    """
    perturbation = cells.obs["perturbation"]
    controls = cells.log_normalised(kept & (perturbation == control), total)
    targets = sorted(set(perturbation[kept]) & set(cells.genes))
    if not len(controls) or not targets:
        raise InvalidData(
            f"{name}: no cell is {control!r}."
            if not len(controls)
            else f"{name}: none of the knocked-out genes is measured."
        )
    cases = [
        Case(
            unit=target,
            variables=cells.genes,
            observational=controls,
            perturbed=cells.log_normalised(kept & (perturbation == target), total),
            target=target,
        )
        for target in targets
    ]
    sizes = sorted(len(case.perturbed) for case in cases)
    return cases + control_cases(name, cells.genes, controls, sizes)


def _column(item: h5py.Group | h5py.Dataset) -> np.ndarray:
    if isinstance(item, h5py.Group):  # categorical
        return np.array(_text(item["categories"][:]), dtype=object)[item["codes"][:]]
    values = item[:]
    return np.array(_text(values), dtype=object) if values.dtype.kind in "OS" else values


def _text(values: np.ndarray) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]
