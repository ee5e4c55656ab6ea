"""How a table written as text is laid out: its delimiter, decimal sign, header and row labels.

Whatever the first lines leave open is refused with the cell or line that leaves it open. A wrong
guess would still give numbers, and a ranking of them.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cdnbench.errors import InvalidTask
from cdnbench.task import repeated_names

DELIMITERS = {"\t": "tabs", ";": "semicolons", ",": "commas", " ": "blanks"}
"""Delimiters that are tried, and what they are called. A blank stands for any run of blanks."""
_SAMPLE_CHARACTERS = 2_000_000
_TRIAL_LINES = 20
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
POINT = re.compile(_NUMBER)
"""A number with a decimal point, or whole."""
COMMA = re.compile(_NUMBER.replace(r"\.", ","))
"""A number with a decimal comma, or whole."""
_THREE_DIGITS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_THOUSANDS = re.compile(
    r"[+-]?\d{1,3}(,\d{3})+\.\d*|[+-]?\d{1,3}(\.\d{3})+,\d*|.*,.*,.*|.*\..*\..*"
)
_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
INDEX_NAMES = {
    *("#", "index", "id", "ids", "row", "rows", "rownames", "row_names", "obs", "observation"),
    *("cell", "cells", "cell_id", "cellid", "barcode", "barcodes"),
    *("sample", "samples", "sample_id", "sampleid"),
    *("gene", "genes", "gene_id", "geneid", "entrez", "entrez_id", "entrezid", "entrezgene"),
}
"""Names, in small letters, under which a column of distinct whole numbers labels the rows."""
_NAMELESS = re.compile(r"unnamed: \d+([._].*)?", re.IGNORECASE)


def is_nameless(name: str) -> bool:
    """Whether a column has no name, or one like `Unnamed: 0`, which pandas gives to those without
    one. Such a column is mostly an index that was written with the table."""
    return not name.strip() or bool(_NAMELESS.fullmatch(name.strip()))


@dataclass(frozen=True)
class Layout:
    """How a text table is written."""

    delimiter: str
    decimal: str
    encoding: str
    header: tuple[str, ...]
    skipped_lines: int
    """Lines up to and including the header."""
    labels_without_name: bool
    """Whether each row starts with a label for which the header has no field."""


def layout_of(path: Path) -> Layout:
    """How a text table is written, from its first lines.

    Raises
    ------
    InvalidTask: see `read_text_table`.
    """
    encoding, skipped, lines = _first_lines(path)
    if not lines:
        raise InvalidTask(f"{path} is empty.")
    delimiter = _delimiter(lines[: _TRIAL_LINES + 1])
    first, *body = [_fields(line, delimiter) for line in lines]
    header = [field.strip() for field in first]
    if not body:
        raise InvalidTask(f"{path} holds no samples: there is nothing below its header.")
    if all(POINT.fullmatch(name) or COMMA.fullmatch(name) for name in header):
        raise InvalidTask(f"{path}: the first line must name the variables; it holds numbers.")
    if names := repeated_names(name for name in header if name):
        raise InvalidTask(f"{path}: variable names must be unique, but {some(names)} repeat.")
    labels = _labels_without_name(header, body, delimiter, skipped, path)
    return Layout(
        delimiter, _decimal(body, delimiter, path), encoding, tuple(header), skipped, labels
    )


def _first_lines(path: Path) -> tuple[str, int, list[str]]:
    """Encoding, lines up to and including the header, and the first lines that are not blank."""
    opener = _OPENERS.get(path.suffix.lower(), open)
    with opener(path, "rb") as file:
        start = file.read(2)
    encoding = "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    lines, skipped, characters = [], 0, 0
    try:
        with opener(path, "rt", encoding=encoding, newline=None) as file:
            for line in file:
                if "\0" in line:
                    raise InvalidTask(f"{path} is not a text file: it holds zero bytes.")
                skipped += not lines
                if line.strip():
                    lines.append(line.rstrip("\n"))
                characters += len(line)
                if characters > _SAMPLE_CHARACTERS and len(lines) > 2:
                    break
    except UnicodeError as error:
        raise InvalidTask(
            f"{path} is not UTF-8 text ({error}). Save it as UTF-8, as plain text or .csv."
        ) from None
    return encoding, skipped, lines


def _fields(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        line = " ".join(line.split())
    if '"' not in line:
        return [field.strip() for field in line.split(delimiter)]
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    except csv.Error:  # a field longer than the csv module takes: the delimiter is another
        return [line]


def _delimiter(lines: Sequence[str]) -> str:
    """The delimiter under which all lines have the same number of fields, and more than one; else,
    or where several do, that under which most cells below the header are numbers."""

    def fit(delimiter: str) -> tuple[bool, int, int]:
        header, *body = [_fields(line, delimiter) for line in lines]
        patterns = (POINT,) if delimiter == "," else (POINT, COMMA)
        cells = (cell.strip() for fields in body for cell in fields)
        numbers = sum(any(p.fullmatch(cell) for p in patterns) for cell in cells)
        agree = len(header) > 1 and all(len(fields) == len(header) for fields in body)
        return agree, numbers, len(header)

    return max(DELIMITERS, key=fit)


def _labels_without_name(
    header: Sequence[str], body: Sequence[Sequence[str]], delimiter: str, skipped: int, path: Path
) -> bool:
    """Whether rows start with a label for which the header has no field, as R writes them with
    tabs or blanks.

    Raises
    ------
    InvalidTask: rows of other lengths than the header.
    """
    lengths = Counter(len(fields) for fields in body)
    if set(lengths) == {len(header)}:
        return False
    first = [fields[0].strip() for fields in body]
    one_more = set(lengths) == {len(header) + 1} and all(fields[-1].strip() for fields in body)
    if one_more and delimiter in "\t " and header[0].lower() not in INDEX_NAMES:
        text = not any(POINT.fullmatch(c) or COMMA.fullmatch(c) for c in first)
        start = int(first[0]) if first[0] in ("0", "1") else 0
        counts = len(first) > 2 and first == [str(start + i) for i in range(len(first))]
        if (text or counts) and len(set(first)) == len(first):
            return True
    row, fields = next((i, f) for i, f in enumerate(body) if len(f) != len(header))
    message = (
        f"{path}: row {row + 1} below the header has {len(fields)} fields, from {fields[0]!r} to "
        f"{fields[-1]!r}, but the header has {len(header)} names (fields are separated by "
        f"{DELIMITERS[delimiter]})."
    )
    if delimiter == "," and len(fields) > len(header) + 1 and _digits_only(fields):
        raise InvalidTask(
            f"{message} The numbers seem to be written with decimal commas, which cannot be told "
            "from the commas between fields. Save the table with decimal points, or with "
            "semicolons or tabs between fields."
        )
    raise InvalidTask(
        f"{message} Name every column, leaving the name of row labels empty, or remove the fields "
        "without a name."
    )


def _digits_only(fields: Sequence[str]) -> bool:
    return sum(bool(re.fullmatch(r"[+-]?\d+", f.strip())) for f in fields) >= 0.8 * len(fields)


def _decimal(body: Sequence[Sequence[str]], delimiter: str, path: Path) -> str:
    """The decimal sign.

    Raises
    ------
    InvalidTask: decimal points and commas in one file, or commas that may separate thousands.
    """
    if not any("," in cell for fields in body for cell in fields):
        return "."
    commas, points, row_of = [], [], {}
    for i, fields in enumerate(body):
        for cell in map(str.strip, fields):
            if "," in cell and any(c.isdigit() for c in cell):
                if _THOUSANDS.fullmatch(cell) and set(cell) <= set("+-0123456789.,"):
                    raise InvalidTask(
                        f"{path}: {cell!r} in row {i + 1} seems to have separators of thousands. "
                        "Write numbers without them."
                    )
                if COMMA.fullmatch(cell):
                    commas.append(cell)
                    row_of.setdefault(cell, i)
            elif "." in cell and POINT.fullmatch(cell):
                points.append(cell)
                row_of.setdefault(cell, i)
    if not commas:
        return "."
    if points:
        raise InvalidTask(
            f"{path} has both decimal commas ({commas[0]!r} in row {row_of[commas[0]] + 1}) and "
            f"decimal points ({points[0]!r} in row {row_of[points[0]] + 1}). Write all "
            "numbers with points."
        )
    if all(_THREE_DIGITS.fullmatch(cell) for cell in commas):
        raise InvalidTask(
            f"{path}: the comma in {commas[0]!r} (row {row_of[commas[0]] + 1}) may be a decimal "
            "sign or a separator of thousands; every number with a comma has three digits after "
            "it. Write numbers with points and without separators of thousands."
        )
    return ","


def some(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    shown = ", ".join(repr(n) for n in islice(names, 5))
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")
