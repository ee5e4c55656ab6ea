"""Cells as they are published: .h5ad (also the scPerturb layout), 10x .h5, and folders with
matrix.mtx.

Only the genes and the table of cells are held in memory; values are read for a range of cells at a
time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from cdnbench.datasets.cells.screens.market import named_cells, read_market
from cdnbench.datasets.cells.screens.stored import CHUNK, Reader, by_pointers, reader
from cdnbench.errors import InvalidData
from cdnbench.hdf5 import dataset, open_checked, texts
from cdnbench.knowledge import file_digest
from cdnbench.samples import GENES

if TYPE_CHECKING:
    import h5py
    import pandas as pd

MTX = (".mtx", ".mtx.gz")


@dataclass(frozen=True, eq=False)
class RawCells:
    """The M cells x G genes of one file.

    genes: G unique names. obs: a table with one row per cell. read: a function of (low, high) that
    returns the values of cells low .. high - 1, (high - low, G). at_once: how many cells are read
    at once. left_out: how many features of each other type the file has, which are not read.
    about_genes: what the file says of genes, by the names of the columns.
    written: columns of obs as they are written, where obs was read from text. in_memory: whether
    the values are there already, so that a file cannot be at fault.
    beside: files that are read together with an .mtx: the names of its features and barcodes.
    read_as: what was asked of the file by name: the layer, the column of genes and the digest of
    the table of cells. Empty where nothing was.
    """

    path: Path
    genes: list[str]
    obs: pd.DataFrame
    read: Reader
    at_once: int = CHUNK
    left_out: Mapping[str, int] = field(default_factory=dict)
    about_genes: tuple[str, ...] = ()
    written: pd.DataFrame | None = None
    in_memory: bool = False
    beside: tuple[Path, ...] = ()
    read_as: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_cells(self) -> int:
        return len(self.obs)

    def chunks(self) -> Iterator[tuple[slice, sparse.csr_matrix]]:
        """All cells, in order.

        Raises
        ------
        InvalidData: a part of the file that is damaged.
        """
        for low in range(0, self.n_cells, self.at_once):
            high = min(low + self.at_once, self.n_cells)
            try:
                chunk = self.read(low, high)
            except (InvalidData, MemoryError):
                raise
            except Exception as error:  # h5py raises all kinds for a damaged file
                if self.in_memory:
                    raise InvalidData(
                        f"{self.path}: rows {low} to {high - 1} cannot be read ({error}). Give "
                        "numbers as a numpy array or a sparse matrix of scipy."
                    ) from error
                raise InvalidData(
                    f"{self.path}: cells {low} to {high - 1} cannot be read; the file is damaged. "
                    f"Fetch it again. ({error})"
                ) from error
            yield slice(low, high), chunk


def open_raw(
    path: Path, *, genes: str = "", layer: str = "", cells: Path | None = None
) -> RawCells:
    """Open a file of cells. An .mtx file has its names beside it: in place of "matrix.mtx" their
    files' names end in "features.tsv" (or "genes.tsv") and "barcodes.tsv".

    genes: column of an .h5ad's var that names the genes (or "id" for 10x files); "" for its index,
        or the symbols of a 10x file.
    layer: where an .h5ad holds the counts; "" for X.
    cells: .csv with one row per barcode, for 10x files, which say nothing else about their cells.

    Raises
    ------
    InvalidData: a file that is missing, broken or of another kind, or gene names that repeat; the
    message says what to do.
    """
    if not path.exists():
        raise InvalidData(f"{path} does not exist.")
    try:
        if path.is_dir():
            raw = _market(path, genes or "name", cells)
        elif path.name.endswith(MTX):
            raw = _market(path.parent, genes or "name", cells, path)
        elif path.suffix in (".h5ad", ".h5"):
            file = open_checked(path)
            raw = (
                _tenx(path, file, genes or "name", cells)
                if "matrix" in file
                else _h5ad(path, file, genes, layer)
            )
        else:
            raise InvalidData(
                f"{path}: unknown kind of file; give an .h5ad, a 10x .h5, an .mtx, or a folder "
                "with matrix.mtx."
            )
    except (InvalidData, MemoryError):
        raise
    except Exception as error:  # h5py, anndata and pandas raise all kinds for a damaged file
        raise InvalidData(
            f"{path} cannot be read; it may be truncated or of another kind. Fetch it again. "
            f"({error})"
        ) from error
    asked = {"layer": layer, "genes": genes, "cells": file_digest(cells) if cells else ""}
    return checked(replace(raw, read_as={name: what for name, what in asked.items() if what}))


NAMED_ALIKE = "Name the genes by a column without repeats, for example --genes gene_id."


def checked(raw: RawCells, names: str = "gene names", cure: str = NAMED_ALIKE) -> RawCells:
    """The same cells, if there are any, and their genes can be told apart. names: what a file of
    this kind calls them. cure: what to do where some repeat.

    Raises
    ------
    InvalidData: otherwise.
    """
    if not raw.genes or not raw.n_cells:
        raise InvalidData(f"{raw.path} holds {raw.n_cells} cells and {len(raw.genes)} genes.")
    found, counts = np.unique(np.asarray(raw.genes), return_counts=True)
    if (counts > 1).any():
        some = ", ".join(found[counts > 1][:3])
        raise InvalidData(
            f"{raw.path}: {int((counts > 1).sum())} {names} repeat ({some}, ...). {cure}"
        )
    return raw


def _h5ad(path: Path, file: h5py.File, genes: str, layer: str) -> RawCells:
    from anndata.io import read_elem

    if "obs" not in file or "var" not in file:
        raise InvalidData(
            f"{path} has neither the groups obs and var of an .h5ad nor the matrix of a 10x file."
        )
    if layer == "raw" and ("raw/X" not in file or "raw/var" not in file):
        raise InvalidData(f"{path} has no raw/X with its own raw/var; leave --layer raw out.")
    obs, var = read_elem(file["obs"]), read_elem(file["raw/var" if layer == "raw" else "var"])
    if genes and genes not in var:
        raise InvalidData(
            f"{path}: var has no column {genes!r}; it has {_listed(var.columns)}, or leave "
            "--genes out for its index."
        )
    place = f"layers/{layer}" if layer and layer != "raw" else "raw/X" if layer else "X"
    if place not in file:
        raise InvalidData(
            f"{path} has no {place}; it has {'X and ' * ('X' in file)}the layers "
            f"{_listed(file.get('layers', {}))}. Name one of them: --layer NAME."
        )
    names = names_of_genes(path, var, genes)
    read, at_once = reader(path, file[place], place, (len(obs), len(names)))
    types = types_of(var)
    about = tuple(map(str, var.columns))
    return genes_only(RawCells(path, names, obs, read, at_once, about_genes=about), types)


def names_of_genes(path: Path, var: pd.DataFrame, column: str) -> list[str]:
    """The names of an .h5ad's genes from a column of var; "" for its index.

    Raises
    ------
    InvalidData: a gene has none.
    """
    if not column:
        return var.index.astype(str).tolist()
    names = var[column].astype(str)
    missing = (var[column].isna() | (names.str.strip() == "")).to_numpy()
    if missing.any():
        some = ", ".join(map(str, var.index[missing][:3]))
        raise InvalidData(
            f"{path}: {int(missing.sum()):,} of {len(var):,} genes have no name in the column "
            f"{column!r} of var (in the index of var: {some}). Fill them in or leave these genes "
            "out of the file, or name the genes by another column."
        )
    return names.tolist()


def types_of(var: pd.DataFrame) -> list[str]:
    """The types of features of an .h5ad, if they are those of 10x; no other vocabulary can be
    relied on."""
    types = var["feature_types"].astype(str).tolist() if "feature_types" in var else []
    return types if GENES in types else []


def genes_only(raw: RawCells, types: list[str]) -> RawCells:
    """The same cells without features that are no genes. types: of each feature, or none.

    Raises
    ------
    InvalidData: no feature is a gene.
    """
    keep = np.flatnonzero(np.array(types, dtype=object) == GENES)
    if not types or len(keep) == len(types):
        return raw
    others = Counter(t for t in types if t != GENES)
    if not len(keep):
        raise InvalidData(
            f"{raw.path} has no feature of type {GENES!r}; its types are {_listed(sorted(others))}."
        )
    return replace(
        raw,
        genes=[raw.genes[g] for g in keep],
        read=lambda low, high: raw.read(low, high)[:, keep],
        left_out=dict(sorted(others.items())),
    )


def _tenx(path: Path, file: h5py.File, genes: str, cells: Path | None) -> RawCells:
    """Cell Ranger's HDF5 holds features x barcodes by column, which is cell by cell."""
    matrix = file["matrix"]
    n_genes, n_cells = (int(k) for k in dataset(path, matrix, "shape", kinds="iu", ndim=1)[:])
    barcodes = np.array(texts(path, matrix, "barcodes"), dtype=object)
    features = matrix["features"]
    names = texts(path, features, "id" if genes in ("id", "gene_id") else genes)
    types = texts(path, features, "feature_type") if "feature_type" in features else []
    if len(barcodes) != n_cells or len(names) != n_genes or len(types) not in (0, n_genes):
        raise InvalidData(
            f"{path}: the matrix has {n_genes} features and {n_cells} barcodes, but the number of "
            "names or types is another."
        )
    read, at_once = by_pointers(path, matrix, "matrix", (n_cells, n_genes))
    named = named_cells(path, barcodes, cells)
    return genes_only(RawCells(path, names, named.obs, read, at_once, written=named.written), types)


def _market(path: Path, genes: str, cells: Path | None, file: Path | None = None) -> RawCells:
    """A folder with matrix.mtx and the names beside it, which is read into memory; `file` is the
    matrix where it has another name."""
    found = read_market(path, by_id=genes in ("id", "gene_id"), file=file)
    named = named_cells(path, found.barcodes, cells)
    raw = RawCells(
        file or path,
        found.names,
        named.obs,
        lambda low, high: found.rows[low:high],
        written=named.written,
        beside=found.beside,
    )
    return genes_only(raw, found.types)


def _listed(names) -> str:
    names = [str(name) for name in names]
    return (", ".join(names[:8]) + (", ..." if len(names) > 8 else "")) or "none"
