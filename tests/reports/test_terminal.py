"""Tables as text."""

import rich.console
import rich.jupyter

from cdnbench.reports.show import terminal
from cdnbench.reports.table import Block, Cell, Column, Row, Table


def test_the_text_of_a_table_shows_nothing_in_a_notebook(monkeypatch):
    """In a notebook Rich displays what is printed, wherever it is printed to; a table has HTML of
    its own there."""
    displayed = []
    monkeypatch.setattr(rich.jupyter, "display", lambda *a: displayed.append(a))
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    rows = (Row((Cell("target-shift"), Cell("0.9"))),)
    columns = (Column("method", align="left"), Column("mAP"))
    block = Block("a suite", columns, rows, ("a note",))
    text = terminal.text(Table(name="t", title="T", blocks=(block,), frame=None, notes=()))
    assert "target-shift" in text and "a note" in text and displayed == []
