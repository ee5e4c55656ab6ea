"""One module per table.

A module has its `SUMMARY`, one line that `bench list tables` shows, and `build(results)`, which
takes `cdnbench.reports.frame.Results` and returns a `cdnbench.reports.table.Table` with the name of
the module. Nothing else has to know of it. What tables share lives in `cdnbench.reports`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cdnbench.design import MEANING
from cdnbench.reports.modules import Modules

if TYPE_CHECKING:
    from cdnbench.reports.frame import Results
    from cdnbench.reports.table import Table

LEADERBOARD = "leaderboard"
COMPARISONS = "comparisons"
TABLES = Modules(__name__, "table", first=LEADERBOARD)


def build(results: Results, name: str, against: Sequence[str] = ()) -> Table:
    """The table of that name, with notes on what stands behind networks and on results from trees
    with uncommitted changes, where there are any. Raises UnknownName.

    against: the labels that `COMPARISONS` compares with in place of its own; for no other table.
    """
    module = TABLES.load(name)
    table = module.build(results, against) if name == COMPARISONS else module.build(results)
    notes = TABLES.load("provenance").dirty_note(results)
    if (results.jobs["design"] != "").any():
        notes = (MEANING, *notes)
    return replace(table, notes=(*table.notes, *notes))
