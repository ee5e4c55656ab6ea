"""Terms of genes, such as those of the gene ontology."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cdnbench.errors import InvalidData
from cdnbench.knowledge.tables import numbered, read_json, read_pairs, read_text, renamed, stem

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
        ancestors = _ancestors(obo)
        for gene, term in _gaf(gaf):
            yield from ((gene, t) for t in ancestors.get(term, {term}))
    elif stem(path).endswith(".gaf"):
        yield from _gaf(path)
    elif stem(path).endswith(".json"):
        for gene, terms in read_json(path).items():
            listed = terms.rsplit(". ", 1)[-1].split(";") if isinstance(terms, str) else terms
            yield from ((gene, str(term).strip()) for term in listed if str(term).strip())
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


def _gaf(path: Path) -> Iterator[tuple[str, str]]:
    """Pairs of symbol and term, without those that are said not to hold (NOT)."""
    for line in read_text(path).splitlines():
        fields = line.split("\t")
        if not line.startswith("!") and len(fields) > 4 and "NOT" not in fields[3].split("|"):
            yield fields[2], fields[4]


def _ancestors(obo: Path) -> dict[str, set[str]]:
    """Term -> itself and all terms above it by is_a and part_of."""
    above: dict[str, set[str]] = {}
    for stanza in read_text(obo).split("\n[Term]\n")[1:]:
        stanza = stanza.split("\n[", 1)[0]
        term = re.search(r"^id: (\S+)", stanza, re.MULTILINE)
        if term:
            above[term[1]] = set(
                re.findall(r"^(?:is_a:|relationship: part_of) (\S+)", stanza, re.MULTILINE)
            )
    closed: dict[str, set[str]] = {}

    def close(term: str) -> set[str]:
        if term not in closed:
            closed[term] = {term}
            closed[term] = {term}.union(*(close(parent) for parent in above.get(term, ())))
        return closed[term]

    return {term: close(term) for term in above}
