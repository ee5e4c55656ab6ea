"""Reading of tables, texts and .json, plain or .gz, and what all forms of knowledge share."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, dropwhile
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.errors import InvalidData

_HEADER = re.compile(
    r"^(a|b|gene|genes?[ _]?\d?[ab]?|symbols?|gene[ "
    r"_](symbol|name|id)s?|source|target|(protein|node|interactor|from|to)[ _]?[12ab]?|"
    r"term|go[ _]?(id|term)?|name|official symbol.*|ensembl.*|(hgnc|entrez|ncbi)[ _].*)$",
    re.IGNORECASE,
)
_COMMENT = ("#", "!")
_GZIP = b"\x1f\x8b"
_PAGE = re.compile(r"\s*<(!doctype|html|head|\?xml)", re.IGNORECASE)


def read_rows(path: Path) -> list[list[str]]:
    """The rows of a table, without column names and comments."""
    return read_table(path)[1]


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Column names (none if the table has none) and rows.

    Raises
    ------
    InvalidData: the file is no text, or its quotes are broken.
    """
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
    rows = [row for row in found if any(row) and not row[0].startswith(_COMMENT)]
    if rows and _HEADER.match(rows[0][0]):
        return rows[0], rows[1:]
    return [], rows


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


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """The first two fields of all rows but those where one is empty.

    Raises
    ------
    InvalidData: a row with one field, as where a file ends early or is of another kind.
    """
    rows = read_rows(path)
    for row in rows:
        if len(row) < 2:
            raise InvalidData(
                f"{path}: the row {shortened(row[0])} has one field; expected at least two, "
                "separated by tabs, commas or blanks as in the first row. If the file is not "
                "whole, fetch it again."
            )
    return [(row[0], row[1]) for row in rows if row[0] and row[1]]


def read_json(path: Path) -> dict[str, Any]:
    """A .json whose outermost value is a mapping.

    Raises
    ------
    InvalidData: it is something else, or names something twice.
    """
    with readable(path):
        found = json.loads(read_text(path), object_pairs_hook=lambda pairs: _mapping(path, pairs))
    if not isinstance(found, dict):
        raise InvalidData(f"{path} holds a {type(found).__name__}; expected gene -> value.")
    return found


def _mapping(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name = next(name for name, n in Counter(name for name, _ in pairs).items() if n > 1)
        raise InvalidData(f"{path} names {name!r} twice; join the two.")
    return found


def texts_of(path: Path, name: str, value: object) -> list[str]:
    """A value of a .json that is a text or a list of texts, as a list.

    Raises
    ------
    InvalidData: it is something else.
    """
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise InvalidData(
            f"{path}: the value of {name!r} is {shortened(repr(value))}; expected a text, or a "
            "list of texts."
        )
    return listed


def read_text(path: Path) -> str:
    """The text of a file, plain or .gz, without a byte order mark.

    Raises
    ------
    InvalidData: it is no text in UTF-8 (or in UTF-16 with its mark), or a web page.
    """
    raw = read_bytes(path)
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InvalidData(
            f"{path} is no UTF-8 text from line {line} on ({error.reason}). Save it as UTF-8, or "
            "fetch it again."
        ) from None
    if "\0" in text:
        raise InvalidData(f"{path} is no text: it holds zero bytes. Fetch it again.")
    if _PAGE.match(text):
        raise InvalidData(
            f"{path} is a web page, not the file itself. Open its address in a browser to see what "
            "the page says, and fetch the file again."
        )
    return text


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked if they are those of a .gz."""
    with readable(path):
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw.startswith(_GZIP) else raw


def lines_of(path: Path) -> list[str]:
    """The lines of a text file, whichever of \\n, \\r\\n and \\r ends them."""
    return io.StringIO(read_text(path), newline=None).read().split("\n")


def shortened(text: str) -> str:
    """At most 60 characters of a text, for a message."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever a reader raises on a damaged file into `InvalidData` that names the file."""
    try:
        yield
    except (InvalidData, ImportError, MemoryError):
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
