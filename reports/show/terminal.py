"""Tables on a terminal (Rich), and as plain lines in a log."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from cdnbench.reports.table import Block, Table

_STYLES = {"method": "", "trivial": "dim", "reference": "italic cyan", "published": "dim italic"}
_GAP = 2


def show(table: Table, console: Console) -> None:
    """Print every block. Where the console is no terminal, it is plain text of full width."""
    for block in table.blocks:
        if console.is_terminal:
            kept = _fitting(block, console.width)
            console.print(_rich(block, kept))
            hidden = [column.title for i, column in enumerate(block.columns) if i not in kept]
            if hidden:
                console.print(Text(f"  Too narrow for {', '.join(hidden)}.", style="dim"))
        else:
            console.out(plain(block), highlight=False)
        for note in block.notes:
            console.print(Text(f"  {note}", style="dim"), soft_wrap=not console.is_terminal)
        console.print()
    for note in table.notes:
        console.print(
            Text(note, style="yellow" if console.is_terminal else ""),
            soft_wrap=not console.is_terminal,
        )


def text(table: Table) -> str:
    """The whole table as plain text, as `show` prints it where there is no terminal."""
    out = io.StringIO()
    show(table, Console(file=out, force_terminal=False, force_jupyter=False))
    return out.getvalue().rstrip()


def _rich(block: Block, kept: list[int]) -> RichTable:
    table = RichTable(
        title=block.title,
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, _GAP, 0, 0),
    )
    for i in kept:
        column = block.columns[i]
        title = (
            f"{column.group}\n{column.title}"
            if any(block.columns[j].group for j in kept)
            else column.title
        )
        table.add_column(
            Text(title, style="bold"),
            justify=column.align,
            no_wrap=True,
            overflow="ellipsis",
            vertical="bottom",
        )
    for n, row in enumerate(block.rows):
        last_reference = (
            row.kind == "reference"
            and n + 1 < len(block.rows)
            and block.rows[n + 1].kind != "reference"
        )
        cells = [
            Text(row.cells[i].shown, style="bold green" if row.cells[i].best else "") for i in kept
        ]
        table.add_row(*cells, style=_STYLES[row.kind], end_section=last_reference)
    return table


def plain(block: Block) -> str:
    """The block as aligned text: title, headings, a rule, the rows; trailing blanks cut."""
    texts = [
        [column.title for column in block.columns],
        *([cell.shown for cell in row.cells] for row in block.rows),
    ]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    headings = ""
    for group, first, last in block.groups:
        span = sum(widths[first : last + 1]) + _GAP * (last - first)
        widths[last] += max(0, len(group) - span)
        headings += group.rjust(max(span, len(group))) + " " * _GAP

    def line(cells: list[str]) -> str:
        columns = zip(cells, block.columns, widths, strict=True)
        parts = (
            text.rjust(width) if column.align == "right" else text.ljust(width)
            for text, column, width in columns
        )
        return (" " * _GAP).join(parts).rstrip()

    lines = [*([headings.rstrip()] if headings else []), *map(line, texts)]
    rule = "-" * max(map(len, lines))
    top = len(lines) - len(block.rows)
    return "\n".join([block.title, *lines[:top], rule, *lines[top:]])


def _fitting(block: Block, width: int) -> list[int]:
    """The columns that fit into `width`: optional ones go first, the highest before the others."""

    def natural(i: int) -> int:
        column = block.columns[i]
        return _GAP + max(
            len(column.title),
            len(column.group),
            *(len(row.cells[i].shown) for row in block.rows),
            0,
        )

    kept = list(range(len(block.columns)))
    while sum(map(natural, kept)) > width:
        droppable = max(kept, key=lambda i: (block.columns[i].optional, i))
        if block.columns[droppable].optional == 0:
            break
        kept.remove(droppable)
    return kept
