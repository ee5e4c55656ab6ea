"""Parts of a report: only some methods, only some columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cdnbench.errors import BenchError, did_you_mean
from cdnbench.reports.cells import rows_by_name
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.table import Block, Table


def of_methods(results: Results, names: Sequence[str]) -> Results:
    """The results of some methods, as if the others had never been run; ceilings stay.

    names: of methods (`dci`), readings (`dci-graph`), labels as tables show them, or rows of the
        tables of cells (`linear-cl`), where a printed row stands for ours beside it. What is
        printed of other methods is not shown.

    Raises
    ------
    UnknownName: the results have no such method; the message lists the nearest names.
    """
    readings = results.readings
    known = _known(results)
    of_cells = {} if set(names) <= set(known) else rows_by_name(results)
    for name in names:
        if name not in known and name not in of_cells:
            raise did_you_mean("method of these results", name, {**known, **of_cells})
    whole = set().union(*(known.get(name, ()) for name in names))
    rows = [of_cells[name] for name in names if name not in known]
    chosen = {CEILING, *whole, *(label for row in rows for label in row.values())}
    cell_rows = None
    if rows:
        every = [pair for row in of_cells.values() for pair in row.items()]
        cell_rows = frozenset(
            [*(name for row in rows for name in row), *(n for n, label in every if label in whole)]
        )
    kept = readings["label"].astype(str).isin(chosen).to_numpy()
    jobs = results.jobs
    methods = set(readings.loc[kept, "method"].astype(str)) - {CEILING}
    place = np.cumsum(kept) - 1  # of each reading among those that stay
    measured = results.regimes["label"].astype(str).isin(chosen).to_numpy()
    return replace(
        results,
        readings=readings[kept].reset_index(drop=True),
        regimes=results.regimes[measured].reset_index(drop=True),
        rows=place[results.rows[measured]],
        pieces={int(place[old]): piece for old, piece in results.pieces.items() if kept[old]},
        # The row names of jobs stay: readings point at them.
        jobs=jobs[jobs["method"].isin(methods)],
        is_selection=True,
        cell_rows=cell_rows,
    )


def labels_of(results: Results, names: Sequence[str]) -> list[str]:
    """The labels that names stand for: a label for itself alone, the name of a method or a reading
    for all labels that it has.

    Raises
    ------
    UnknownName: the results, or the selection of them, have no such method; the message lists those
        that there are.
    """
    known = _known(results)
    among = "method in this selection" if results.is_selection else "method of these results"
    for name in names:
        if name not in known:
            raise did_you_mean(among, name, known)
    labels = set().union(*known.values())
    found = [[name] if name in labels else sorted(known[name]) for name in names]
    return list(dict.fromkeys(label for part in found for label in part))


def _known(results: Results) -> dict[str, set[str]]:
    """What users may call methods and readings -> their labels. Ceilings have no name."""
    own = results.readings[["method", "variant", "label"]].astype(str).drop_duplicates()
    known: dict[str, set[str]] = {}
    for method, variant, label in own[own["method"] != CEILING].itertuples(index=False):
        reading = f"{method}-{variant}" if variant else method
        for name in (method, reading, label, *_stem(label)):
            known.setdefault(name, set()).add(label)
    return known


def _stem(label: str) -> list[str]:
    """`cdn` of `cdn (this package; worlds)`: what stands before what is told in brackets."""
    stem = label.split(" (")[0]
    return [] if stem == label else [stem]


def of_columns(table: Table, names: Sequence[str]) -> Table:
    """The table with some of its columns, in their order. The left-aligned columns before the first
    number always stay, since they say what a row is.

    names: titles of columns (`R@1`), of groups of columns (`rpe1`), or both (`rpe1:rank`), in
        capital letters or not. A block without any of them keeps the columns that say what a row
        is.

    Raises
    ------
    BenchError: no block has such a column; the message lists those that there are.
    """
    wanted = [name.strip().lower() for name in names]
    unused = set(wanted)
    blocks = []
    for block in table.blocks:
        first = leading(block)
        kept = list(range(first))
        for i in range(first, len(block.columns)):
            column = block.columns[i]
            title, group = column.title.lower(), column.group.lower()
            found = {title, group, f"{group}:{title}"}.intersection(wanted)
            unused -= found
            if found:
                kept.append(i)
        blocks.append(with_columns(block, kept))
    if unused:
        titles = {
            f"{column.group}:{column.title}" if column.group else column.title: None
            for block in table.blocks
            for column in block.columns[leading(block) :]
        }
        missing = ", ".join(name for name in names if name.strip().lower() in unused)
        raise BenchError(
            f"The table {table.name} has no column {missing}. It has: {'; '.join(titles)}. "
            "GROUP alone takes all columns of a group."
        )
    return replace(table, blocks=tuple(blocks))


def leading(block: Block) -> int:
    """How many left-aligned columns stand before the first number."""
    right = (i for i, column in enumerate(block.columns) if column.align == "right")
    return max(1, next(right, 1))


def with_columns(block: Block, kept: Sequence[int]) -> Block:
    """The block with these columns alone."""
    return replace(
        block,
        columns=tuple(block.columns[i] for i in kept),
        rows=tuple(replace(row, cells=tuple(row.cells[i] for i in kept)) for row in block.rows),
    )
