"""Screens of single cells: counts out of an .h5ad file, and the cases that they make.

h5py reads them in a fraction of the time that a whole AnnData takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import sparse

from cdnbench.datasets.real.case import Case, control_cases
from cdnbench.datasets.real.files import refusing
from cdnbench.errors import InvalidData
from cdnbench.hdf5 import (
    check_numbers,
    computable,
    dataset,
    opened,
    pointers,
    rows_of,
    stored_shape,
    summed,
    texts,
)


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


@refusing
def read_cells(path: Path, columns: tuple[str, ...]) -> Cells:
    """Counts, gene names and the named columns of obs.

    Raises
    ------
    InvalidData: it is no such file, or lacks a column; the message says which.
    """
    with opened(path) as file:
        if not all(isinstance(file.get(part), h5py.Group) for part in ("obs", "var")):
            raise InvalidData(f"{path} is no .h5ad file: it lacks obs or var.")
        missing = [c for c in columns if c not in file["obs"]]
        if missing:
            raise InvalidData(
                f"{path}: obs lacks the column {missing[0]}; expected {', '.join(columns)}."
            )
        obs = {c: _column(path, file["obs"], c) for c in columns}
        index = file["var"].attrs.get("_index", "_index")
        genes = tuple(texts(path, file["var"], str(index)))
        shape = (len(obs[columns[0]]), len(genes))
        if any(len(column) != shape[0] for column in obs.values()):
            raise InvalidData(f"{path}: the columns of obs have different lengths.")
        if "X" not in file:
            raise InvalidData(f"{path} has no X.")
        counts = _matrix(path, file["X"], shape)
    values = counts.data
    whole = np.isfinite(values).all() and (values == np.round(values)).all()
    if len(values) and (not whole or values.min() < 0):
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


def _matrix(path: Path, x: Any, shape: tuple[int, int]) -> sparse.csr_matrix:
    """X as rows of cells, repeated entries summed."""
    kind, stored = stored_shape(x)
    if stored != shape:
        raise InvalidData(
            f"{path}: X has the shape {stored}, for {shape[0]} cells and {shape[1]} genes."
        )
    if isinstance(x, h5py.Dataset):
        check_numbers(path, x, "X")
        return sparse.csr_matrix(computable(x[:]))
    if kind == "csr_matrix":
        start = pointers(path, x, "X", shape[0])
        return summed(rows_of(path, x, "X", start, 0, *shape))
    if kind == "csc_matrix":
        start = pointers(path, x, "X", shape[1])
        return summed(rows_of(path, x, "X", start, 0, shape[1], shape[0]).T.tocsr())
    raise InvalidData(f"{path}: X is stored as {kind!r}; store it as csr_matrix or as an array.")


def _column(path: Path, obs: h5py.Group, name: str) -> np.ndarray:
    item = obs[name]
    if isinstance(item, h5py.Group):  # categorical
        codes = dataset(path, item, "codes", kinds="iu", ndim=1)[:]
        labels = np.array(texts(path, item, "categories"), dtype=object)
        if len(codes) and not -1 <= int(codes.min()) <= int(codes.max()) < len(labels):
            raise InvalidData(f"{path}: the column {name} has codes without a category.")
        if len(codes) and codes.min() < 0:
            raise InvalidData(f"{path}: the column {name} has missing values.")
        return labels[codes]
    values = dataset(path, obs, name, ndim=1)
    if values.dtype.kind in "OS":
        return np.array(texts(path, obs, name), dtype=object)
    if values.dtype.kind not in "biuf":
        raise InvalidData(f"{path}: the column {name} holds {values.dtype} values.")
    return values[:]
