"""Terms of genes, such as those of the gene ontology."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cdnbench.errors import InvalidData
from cdnbench.knowledge.ontology import ancestors, read_gaf, read_parents
from cdnbench.knowledge.tables import numbered, read_json, read_pairs, renamed, stem, texts_of

if TYPE_CHECKING:
    from scipy import sparse

ROOTS = {
    "molecular_function",
    "cellular_component",
    "biological_process",
    "GO:0003674",
    "GO:0005575",
    "GO:0008150",
}
"""Terms that every gene has: the roots of the gene ontology."""


@dataclass(frozen=True, eq=False)
class Annotations:
    """genes: (G,) names, sorted. terms: (T,) names, sorted. matrix: (G, T) bool, True where a gene
    has a term."""

    genes: np.ndarray
    terms: np.ndarray
    matrix: sparse.csr_matrix


def read_annotations(path: Path, names: Mapping[str, str] | None = None) -> Annotations:
    """Terms of genes from a file of any form, without the roots of the gene ontology.

    names: other name -> name, see `renaming`.

    Raises
    ------
    InvalidData: the file cannot be read as annotations.
    """
    from scipy import sparse

    pairs = {(gene, term) for gene, term in renamed(_annotated(path), names) if term not in ROOTS}
    if not pairs:
        raise InvalidData(
            f"{path} holds no annotation: expected rows of (gene, term), .gaf or .json of gene -> "
            "terms."
        )
    (genes, i), (terms, j) = map(numbered, zip(*pairs, strict=True))
    matrix = sparse.csr_matrix(
        (np.ones(len(i), dtype=bool), (i, j)), shape=(len(genes), len(terms))
    )
    return Annotations(genes, terms, matrix)


def _annotated(path: Path) -> Iterator[tuple[str, str]]:
    """Pairs of gene and term from a file of any form, with repetitions."""
    if path.is_dir():
        gaf, obo = (_only(path, ending) for ending in (".gaf", ".obo"))
        parents = read_parents(obo)
        pairs = read_gaf(gaf)
        terms = {term for _, term in pairs}
        if not any(term in parents for term in terms):
            raise InvalidData(
                f"{obo} has none of the terms of {gaf}, for example {min(terms)}. Fetch both from "
                "one place."
            )
        above = {term: ancestors(term, parents) for term in terms}
        for gene, term in pairs:
            yield from ((gene, t) for t in above[term])
    elif stem(path).endswith(".gaf"):
        yield from read_gaf(path)
    elif stem(path).endswith(".json"):
        for gene, value in read_json(path).items():
            listed = texts_of(path, gene, value)
            if isinstance(value, str):
                listed = value.rsplit(". ", 1)[-1].split(";")
            yield from ((gene, term.strip()) for term in listed if term.strip())
    else:
        for gene, joined in read_pairs(path):
            yield from ((gene, term.strip()) for term in re.split(r"[;|]", joined) if term.strip())


def _only(folder: Path, ending: str) -> Path:
    found = [p for p in sorted(folder.iterdir()) if stem(p).endswith(ending)]
    if len(found) != 1:
        raise InvalidData(
            f"{folder} holds {len(found)} {ending} files; expected one .gaf and one .obo."
        )
    return found[0]
