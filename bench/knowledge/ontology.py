"""Files of the gene ontology: .gaf (a gene and its term) and .obo (a term and those above it).

Formats: geneontology.org/docs/go-annotation-file-gaf-format-2.2, and the OBO flat file format 1.4,
owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from cdnbench.errors import InvalidData
from cdnbench.knowledge.tables import lines_of, shortened

_LEAST_COLUMNS = 5
_TERM = re.compile(r"\S+")
_TAG = re.compile(r"[\w-]+:")
_AGAIN = "If the file is not whole, fetch it again."


def read_gaf(path: Path) -> list[tuple[str, str]]:
    """Pairs of symbol and term, without those that are said not to hold (NOT).

    Raises
    ------
    InvalidData: a line that is no annotation, or has another number of columns than the first.
    """
    pairs, width = [], 0
    for number, line in enumerate(lines_of(path), start=1):
        if line.startswith("!") or not line.strip():
            continue
        fields = line.split("\t")
        width = width or max(len(fields), _LEAST_COLUMNS)
        symbol, qualifiers, term = (fields + [""] * _LEAST_COLUMNS)[2:5]
        if len(fields) != width or not symbol.strip() or not _TERM.fullmatch(term.strip()):
            raise InvalidData(
                f"{path}: line {number} is no annotation: it has {len(fields)} columns in place of "
                f"{width}, or lacks a symbol or a term ({shortened(line)}). {_AGAIN}"
            )
        if "NOT" not in (q.strip() for q in qualifiers.split("|")):
            pairs.append((symbol.strip(), term.strip()))
    if not pairs:
        raise InvalidData(f"{path} holds no annotation. {_AGAIN}")
    return pairs


def read_parents(path: Path) -> dict[str, set[str]]:
    """Term -> the terms directly above it, by is_a and part_of.

    Raises
    ------
    InvalidData: a line that is no tag with a value, a term that is described twice, or above which
    stands one that the file lacks.
    """
    parents: dict[str, set[str]] = {}
    found: set[str] | None = None  # parents of the term that is being read, None outside of terms
    number = 0
    above: set[str] = set()
    named = True  # whether the term that is being read has been
    for number, line in enumerate(lines_of(path), start=1):
        line = line.strip()
        if not line or line.startswith("!"):
            continue
        if line.startswith("["):
            if not named:
                break
            named = not line.startswith("[Term]")
            found = None if named else set()
            continue
        tag, _, value = line.partition(":")
        if not _TAG.match(line):
            raise InvalidData(
                f"{path}: line {number} is no tag with a value ({shortened(line)}). {_AGAIN}"
            )
        if found is None:
            continue
        words = value.split()
        if tag == "id" and words:
            if words[0] in parents:
                raise InvalidData(f"{path}: line {number} describes {words[0]} once more. {_AGAIN}")
            parents[words[0]], named = found, True
        elif tag == "is_a" and words:
            found.add(words[0])
        elif tag == "relationship" and len(words) > 1 and words[0] == "part_of":
            found.add(words[1])
        elif tag in ("id", "is_a", "relationship") and len(words) < 1 + (tag == "relationship"):
            raise InvalidData(f"{path}: line {number} ends early ({shortened(line)}). {_AGAIN}")
        above |= found
    if not named:
        raise InvalidData(f"{path}: a term before line {number} has no id. {_AGAIN}")
    if not parents:
        raise InvalidData(f"{path} holds no term. {_AGAIN}")
    if missing := above - parents.keys():
        raise InvalidData(f"{path} lacks {min(missing)}, which stands above other terms. {_AGAIN}")
    return parents


def ancestors(term: str, parents: Mapping[str, set[str]]) -> set[str]:
    """A term and all above it. A term that the ontology does not know has none above it."""
    found, new = {term}, [term]
    while new:
        for parent in parents.get(new.pop(), ()):
            if parent not in found:
                found.add(parent)
                new.append(parent)
    return found
