"""Whether the numbers that are typed in docs/results/README.md are those of the stores beside it.

`benchmarks/texts.py --check` runs this. A table of that page is checked if a comment before it says
where its numbers come from:

    <!-- numbers: leaderboard split=unseen-cl masking=none; recall_at_1, rank, - -->

First the table of `bench report`, then the columns of its frame that are the same in all rows, and
after the semicolon what each column of the typed table holds, from the second on: a column of the
frame (`rank`, or `recall_at_1 stratum=trivial`), or - for what is not checked. A row is of the
methods that its first cell names, in backticks and with nothing but a comma after them, and of the
numbers of variables and edges that it names (`E = 20`); one that says "not in the store" in its
last cell is left out. Where it names several, every number of a cell
has to be the value of one of them, and every value has to lie between the numbers. What stands in
brackets, and cells without a number, are not checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pandas as pd

_MARK = re.compile(r"<!-- numbers: (\S+)\s*([^;]*); (.*) -->")
_MEANT = re.compile(r"<!--.*\bnumbers:")
_EXEMPT = "not in the store"
"""Says in its last cell that a row is of no stored result."""
_NAMED = re.compile(r"(`[^`]+`(?:, `[^`]+`)*)(?:,|$)")
_SIZE = re.compile(r"\b([NE]) = (\d+)")
_SIZES = {"N": "n_nodes", "E": "n_edges"}
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d+|\.\d+|\d+)(?![\w.%])")


def wrong_numbers(text: str, frame_of: Callable[[str], pd.DataFrame]) -> list[str]:
    """What is wrong with the numbers of a page, in words.

    frame_of: name of a table of `bench report` -> its frame.
    """
    lines = text.splitlines()
    found: list[str] = []
    for at, line in enumerate(lines):
        if mark := _MARK.fullmatch(line):
            name, where, columns = mark.groups()
            rows = _chosen(frame_of(name), where.split())
            table = _table(lines[at + 1 :])
            specs = [each.strip() for each in columns.split(",")]
            checked = [what for row in table for what in _row(row, specs, rows)]
            found += [f"line {at + 1}: {what}" for what in checked if what]
            if not checked:
                found.append(f"line {at + 1}: no number of the table after this mark is checked")
        elif _MEANT.search(line):
            found.append(f"line {at + 1}: this mark is not of the form that is read")
    return found


def _table(lines: list[str]) -> Iterator[list[str]]:
    """The cells of each row of the table that comes first, without its head."""
    rows = [line for line in lines[: _length(lines)] if line.startswith("|")]
    for line in rows[2:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _length(lines: list[str]) -> int:
    start = next((i for i, line in enumerate(lines) if line.startswith("|")), len(lines))
    return next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))


def _chosen(frame: pd.DataFrame, where: list[str]) -> pd.DataFrame:
    """Rows in which each `column=value` holds."""
    for column, _, value in (each.partition("=") for each in where):
        frame = frame[frame[column].astype(str) == value]
    return frame


def _row(cells: list[str], specs: list[str], frame: pd.DataFrame) -> Iterator[str]:
    """For each checked cell "" or what is wrong."""
    named = _NAMED.match(cells[0])
    if len(specs) != len(cells) - 1:
        yield f"{cells[0]}: {len(cells) - 1} columns, and the mark tells of {len(specs)}"
    if named is None:
        if "`" in cells[0] and _EXEMPT not in cells[-1]:
            yield f"{cells[0]}: which method this row is of cannot be read"
        return
    labels = re.findall(r"`([^`]+)`", named.group(1))
    known = frame["label"].astype(str).str.replace(r" \(.*\)$", "", regex=True)
    sizes = [f"{_SIZES[letter]}={number}" for letter, number in _SIZE.findall(cells[0])]
    own = _chosen(frame[known.isin(labels)], sizes)
    for cell, spec in zip(cells[1:], specs, strict=False):
        typed = _NUMBER.findall(re.sub(r"\(.*?\)", "", cell))
        if spec == "-" or not typed:
            continue
        column, *where = re.split(r"\s+(?=\w+=)", spec)
        rows = _chosen(own, where)
        values = rows[column].dropna().astype(float).tolist()
        if len(values) != len(labels):
            yield f"{cells[0]}: {len(values)} values of {spec} for {len(labels)} methods"
        elif _fit(typed, values):
            yield ""
        else:
            listed = ", ".join(f"{value:.5f}" for value in sorted(values))
            yield f"{cells[0]}: {cell} is typed for {spec}, which is {listed}"


def _fit(typed: list[str], values: list[float]) -> bool:
    """Whether each number is one of the values, and no value is below or above all numbers."""
    each = all(any(_equal(text, value) for value in values) for text in typed)
    low, high = min(typed, key=float), max(typed, key=float)
    return (
        each
        and (min(values) >= float(low) or _equal(low, min(values)))
        and (max(values) <= float(high) or _equal(high, max(values)))
    )


def _equal(typed: str, value: float) -> bool:
    """Whether a number is typed as a value is rounded. A whole number is meant to be exact."""
    decimals = len(typed.partition(".")[2])
    return abs(float(typed) - value) <= (0.5 * 10**-decimals + 1e-9 if decimals else 5e-4)
