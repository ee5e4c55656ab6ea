"""Reading of tables, texts and .json, plain or .gz, and what all forms of knowledge share."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, dropwhile
from pathlib import Path

import numpy as np

from cdnbench.errors import InvalidData

_HEADER = re.compile(
    r"^(a|b|gene|genes?[ _]?\d?[ab]?|symbols?|gene[ "
    r"_](symbol|name|id)s?|source|target|(protein|node|interactor|from|to)[ _]?[12ab]?|"
    r"term|go[ _]?(id|term)?|name|official symbol.*|ensembl.*|(hgnc|entrez|ncbi)[ _].*)$",
    re.IGNORECASE,
)
_COMMENT = ("#", "!")


def read_rows(path: Path) -> Iterator[list[str]]:
    """The rows of a table, without column names and comments."""
    return read_table(path)[1]


def read_table(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    """Column names (none if the table has none) and rows."""
    text = io.StringIO(read_text(path), newline=None)
    lines = dropwhile(lambda line: line.strip(' \t\n"')[:1] in ("", *_COMMENT), text)
    first = next(lines, "")
    lines = chain([first], lines)
    found: Iterable[list[str]]
    if "," in first and "\t" not in first:
        found = _comma_separated(path, lines)
    else:
        fields = (line.split("\t" if "\t" in first else None) for line in lines)
        found = ([field.strip().strip('"') for field in row] for row in fields)
    rows = (row for row in found if any(row) and not row[0].startswith(_COMMENT))
    header = next(rows, None)
    if header is None or _HEADER.match(header[0]):
        return header or [], rows
    return [], chain([header], rows)


def _comma_separated(path: Path, lines: Iterable[str]) -> list[list[str]]:
    reader = csv.reader(lines, quoting=csv.QUOTE_MINIMAL, skipinitialspace=True, strict=True)
    limit = csv.field_size_limit(2**31 - 1)
    try:
        return [[field.strip() for field in row] for row in reader]
    except csv.Error as error:
        raise InvalidData(
            f"{path}, row {reader.line_num}: {error}. Mend its quotes, or separate by tabs."
        ) from error
    finally:
        csv.field_size_limit(limit)


def read_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """The first two fields of the rows that have both."""
    return ((row[0], row[1]) for row in read_rows(path) if len(row) > 1 and row[0] and row[1])


def read_json(path: Path) -> dict:
    """A .json whose outermost value is a mapping."""
    with readable(path):
        found = json.loads(read_text(path))
    if not isinstance(found, dict):
        raise InvalidData(f"{path} holds a {type(found).__name__}; expected gene -> value.")
    return found


def read_text(path: Path) -> str:
    return read_bytes(path).decode("utf-8-sig", errors="replace")


def read_bytes(path: Path) -> bytes:
    with readable(path):
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.name.lower().endswith(".gz") else raw


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever a reader raises on a damaged file into `InvalidData` that names the file."""
    try:
        yield
    except (InvalidData, ImportError):
        raise
    except Exception as error:
        raise InvalidData(
            f"{path} cannot be read: {error!r}. If it is not whole, fetch it again."
        ) from error


def stem(path: Path) -> str:
    """The name of the file in lower case and without .gz."""
    return path.name.lower().removesuffix(".gz")


def renamed(
    pairs: Iterable[tuple[str, str]], names: Mapping[str, str] | None, *, both: bool = False
) -> Iterator[tuple[str, str]]:
    """The pairs with their first names, or both, translated."""
    names = names or {}
    return ((names.get(a, a), names.get(b, b) if both else b) for a, b in pairs)


def numbered(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The different names, sorted, and (len(names),) the number of each."""
    different = sorted(set(names))
    number = {name: i for i, name in enumerate(different)}
    return np.array(different), np.array([number[name] for name in names], dtype=np.int64)
