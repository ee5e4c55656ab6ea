"""How a block fits on pages: size of type, orientation, and parts where one page is not enough.

Widths are estimates for Computer Modern in an article on A4 or letter paper at 10 pt: 345 pt of
text across and 550 pt down. They decide what is tried; that nothing overflows is the business of
the writer, which lets LaTeX measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cdnbench.reports.select import leading, with_columns
from cdnbench.reports.table import Block

TEXT_WIDTH, TEXT_HEIGHT = 345.0, 550.0
GAP = 8.0
"""Points between two columns."""
_NARROWEST = 0.75
"""The least that LaTeX may scale a part by before another split is better."""


@dataclass(frozen=True)
class Size:
    """A size of type: the points of an average character and of a line."""

    name: str
    character: float
    line: float


FOOTNOTE, SCRIPT = Size("footnotesize", 4.6, 9.5), Size("scriptsize", 4.2, 8.0)


@dataclass(frozen=True)
class Part:
    """One float. number: 0 for the first of its block. of: how many there are."""

    block: Block
    size: Size
    sideways: bool
    number: int = 0
    of: int = 1


def parts(block: Block) -> list[Part]:
    """The floats of a block: upright and large where that fits, then small, then sideways; columns
    are split where even that is too narrow, and rows where they are more than a page. Rows without
    an entry are left out, and so are parts without a row."""
    choices = [(size, sideways) for sideways in (False, True) for size in (FOOTNOTE, SCRIPT)]
    for size, sideways in choices:
        room = TEXT_HEIGHT if sideways else TEXT_WIDTH
        if width(block, size) <= room:
            break
    else:
        size, sideways, room = SCRIPT, True, TEXT_HEIGHT / _NARROWEST
    pieces = [_filled(piece) for piece in _split_columns(block, size, room)]
    pieces = [piece for piece in pieces if piece.rows] or [replace(block, rows=())]
    # Each piece has the notes; they stand under the last one.
    pieces = [replace(piece, notes=()) for piece in pieces[:-1]] + pieces[-1:]
    found = [rows for piece in pieces for rows in _split_rows(piece, size, sideways)]
    return [Part(b, size, sideways, i, len(found)) for i, b in enumerate(found)]


def _filled(block: Block) -> Block:
    """The block without the rows that have no entry beside what says what a row is."""
    first = leading(block)
    if first == len(block.columns):
        return block
    rows = (row for row in block.rows if any(cell.shown for cell in row.cells[first:]))
    return replace(block, rows=tuple(rows))


def width(block: Block, size: Size) -> float:
    """Estimated points across."""
    characters = [_characters(block, i) for i in range(len(block.columns))]
    total = size.character * sum(characters) + GAP * (len(characters) - 1)
    for group, first, last in block.groups:
        inside = size.character * sum(characters[first : last + 1]) + GAP * (last - first)
        total += max(0.0, size.character * len(group) - inside)
    return total


def _characters(block: Block, i: int) -> int:
    return max(len(block.columns[i].title), *(len(row.cells[i].shown) for row in block.rows), 1)


def _split_columns(block: Block, size: Size, room: float) -> Iterator[Block]:
    """Pieces of neighbouring columns that fit, each with the columns that say what a row is. A
    group of columns stays together where it fits."""
    if width(block, size) <= room:
        yield block
        return
    first = leading(block)
    head = list(range(first))
    kept: list[int] = []
    for run in _runs(block, first):
        units = (
            [run] if width(with_columns(block, [*head, *run]), size) <= room else [[i] for i in run]
        )
        for unit in units:
            if kept and width(with_columns(block, [*head, *kept, *unit]), size) > room:
                yield with_columns(block, [*head, *kept])
                kept = []
            kept += unit
    if kept or first == len(block.columns):
        yield with_columns(block, [*head, *kept])


def _runs(block: Block, first: int) -> list[list[int]]:
    """Numbers of neighbouring columns of one group; each column alone where there is no group."""
    runs: list[list[int]] = []
    for i in range(first, len(block.columns)):
        group = block.columns[i].group
        if runs and group and block.columns[runs[-1][-1]].group == group:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def _split_rows(block: Block, size: Size, sideways: bool) -> Iterator[Block]:
    """Pieces of as many rows as a page holds; the notes stand under the last."""
    room = (TEXT_WIDTH if sideways else TEXT_HEIGHT) - 6 * size.line  # caption and headings
    across = TEXT_HEIGHT if sideways else TEXT_WIDTH
    notes = sum(1 + int(len(note) * size.character / across) for note in block.notes)
    most = max(8, int(room / size.line))
    with_notes = max(8, int(room / size.line) - notes)
    rows = list(block.rows)
    while len(rows) > with_notes:
        taken = min(most, len(rows) - 1)
        yield replace(block, rows=tuple(rows[:taken]), notes=())
        rows = rows[taken:]
    yield replace(block, rows=tuple(rows))
