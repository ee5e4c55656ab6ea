"""What is written about genes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cdnbench.errors import InvalidData
from cdnbench.knowledge.tables import read_json, read_rows, renamed, stem, texts_of


def read_texts(path: Path, names: Mapping[str, str] | None = None) -> dict[str, str]:
    """Gene -> text.

    names: other name -> name, see `renaming`. A text under a gene's own name is preferred to one
    under another name.

    Raises
    ------
    InvalidData: the file cannot be read as texts.
    """
    names = names or {}
    if stem(path).endswith(".json"):
        found = read_json(path)
        rows = [(gene, "; ".join(texts_of(path, gene, text))) for gene, text in found.items()]
    else:
        rows = _rows(path)
    texts: dict[str, str] = {}
    for gene, text in rows:
        if text and texts.setdefault(gene, text) != text:
            raise InvalidData(f"{path} holds two texts of {gene!r}; keep one, or join them.")
    translated_first = sorted(texts.items(), key=lambda row: row[0] not in names)
    texts = dict(renamed(translated_first, names))
    if not texts:
        raise InvalidData(
            f"{path} holds no text: expected a table with the gene first and the text last."
        )
    return texts


def _rows(path: Path) -> list[tuple[str, str]]:
    """The first and last fields of a table.

    Raises
    ------
    InvalidData: rows of different lengths, of which the last field may be another column.
    """
    rows = read_rows(path)
    for row in rows:
        if len(row) != len(rows[0]) or len(row) < 2:
            raise InvalidData(
                f"{path}: the row of {row[0]!r} has {len(row)} fields, and the first row has "
                f"{len(rows[0])}; expected as many in each, the gene first and the text last, "
                "separated by tabs."
            )
    return [(row[0], row[-1]) for row in rows]
