"""Vectors of genes, made by somebody else's model."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdnbench.arrays import read_arrays
from cdnbench.errors import InvalidData
from cdnbench.knowledge.tables import read_bytes, read_rows, readable, stem
from cdnbench.knowledge.vectors import vectors_in_pickle
from cdnbench.task import repeated_names

GENEPT = "GenePT_gene_protein_embedding_model_3_text.pickle"
"""The file that the authors of GenePT recommend among those of their archive."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """genes: (G,) names, sorted. vectors: (G, D) float32."""

    genes: np.ndarray
    vectors: np.ndarray


def read_embeddings(path: Path, names: Mapping[str, str] | None = None) -> Embeddings:
    """Vectors of genes from a file of any form; nothing in a .pickle is executed.

    names: other name -> name, see `renaming`. A vector under a gene's own name is preferred to one
    under another name.

    Raises
    ------
    InvalidData: the file cannot be read as embeddings.
    """
    names = names or {}
    with readable(path):
        listed, vectors = _embedded(path)
        with np.errstate(over="ignore"):  # told below as values that are not finite
            vectors = np.asarray(vectors, dtype=np.float32)
    if repeated := repeated_names(listed):
        raise InvalidData(f"{path} holds two vectors of {repeated[0]!r}; keep one.")
    genes = np.array([names.get(gene, gene) for gene in listed])
    if vectors.ndim != 2 or len(vectors) != len(genes) or not len(genes):
        raise InvalidData(
            f"{path} holds {len(genes)} genes and vectors of shape {vectors.shape}; expected "
            "(genes, D)."
        )
    if not np.isfinite(vectors).all():
        raise InvalidData(f"{path} holds values that are not finite numbers; drop their genes.")
    own_first = np.argsort([gene in names for gene in listed], kind="stable")
    genes, first = np.unique(genes[own_first], return_index=True)
    return Embeddings(genes, vectors[own_first[first]])


def _embedded(path: Path) -> tuple[list[str], object]:
    """Names of genes and their vectors, as the file has them."""
    ending = stem(path).rstrip(".")
    if ending.endswith((".pickle", ".pkl", ".zip")):
        content = _member(path) if ending.endswith(".zip") else read_bytes(path)
        return vectors_in_pickle(content)
    if ending.endswith(".npz"):
        arrays = read_arrays(path)
        if not {"genes", "vectors"} <= set(arrays):
            raise InvalidData(
                f"{path} holds {sorted(arrays)}; expected the arrays genes and vectors."
            )
        if arrays["genes"].ndim != 1 or arrays["vectors"].dtype.kind not in "biuf":
            raise InvalidData(f"{path}: genes must be a list of names, and vectors numbers.")
        return list(map(str, arrays["genes"])), arrays["vectors"]
    if ending.endswith(".parquet"):
        import pandas as pd

        frame = pd.read_parquet(path)
        frame = (
            frame
            if pd.api.types.is_string_dtype(frame.index)
            else frame.set_index(frame.columns[0])
        )
        return list(map(str, frame.index)), frame.to_numpy()
    rows = list(read_rows(path))
    rows = rows[1:] if rows and not _is_number(rows[0][-1]) else rows
    try:
        return [row[0] for row in rows], np.array([row[1:] for row in rows], dtype=np.float32)
    except ValueError as error:
        raise InvalidData(f"{path} is no table of vectors: {error}.") from error


def _member(path: Path) -> bytes:
    """The only pickle in an archive, or the one that GenePT's authors recommend."""
    with zipfile.ZipFile(path) as archive:
        names = [
            name for name in archive.namelist() if name.rstrip(".").endswith((".pickle", ".pkl"))
        ]
        chosen = [name for name in names if name.rstrip(".").endswith(GENEPT)] or names
        if len(chosen) != 1:
            raise InvalidData(
                f"{path} holds {len(names)} pickles; unpack it and name one: {', '.join(names)}"
            )
        return archive.read(chosen[0])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
