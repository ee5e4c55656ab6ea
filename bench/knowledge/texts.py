"""What is written about genes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from cdnbench.errors import InvalidData
from cdnbench.knowledge.tables import read_json, read_rows, renamed, stem


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
        rows: Iterable[tuple[str, str]] = ((gene, _joined(text)) for gene, text in found.items())
    else:
        rows = ((row[0], row[-1]) for row in read_rows(path) if len(row) > 1)
    translated_first = sorted((row for row in rows if row[1]), key=lambda row: row[0] not in names)
    texts = dict(renamed(translated_first, names))
    if not texts:
        raise InvalidData(
            f"{path} holds no text: expected a table with the gene first and the text last."
        )
    return texts


def _joined(value: object) -> str:
    return value if isinstance(value, str) else "; ".join(map(str, value))  # type: ignore[arg-type]
