"""How methods do on parts of the tasks of a suite of cells: trivial or not, and with a target that
training had perturbed too, or a new one.

A mean over all tasks hides both. The trivial tasks are solved by sorting genes by their shift, and
a target that was perturbed in the training lines can be recognised by its profile, which is another
ability than to find a new one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cdnbench.metrics import METRICS
from cdnbench.reports import statistics
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.rounds import rounds_note, without_rounds
from cdnbench.reports.standings import block_title, kind
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number, place_best

SUMMARY = "cells: methods on trivial and other tasks, on targets that training had and on new ones"
SHOWN = ("recall_at_1", "rank")
TRIVIAL, KNOWN = "trivial", "target_in_training"
STRATA: Mapping[str, Mapping[str, bool]] = {
    "all": {},
    "trivial": {TRIVIAL: True},
    "not trivial": {TRIVIAL: False},
    "target in training": {KNOWN: True},
    "new target": {KNOWN: False},
    "not trivial, in training": {TRIVIAL: False, KNOWN: True},
    "not trivial, new": {TRIVIAL: False, KNOWN: False},
}
"""Name -> the yes/no columns of the tasks, and their values."""
Blocks = Mapping[tuple[str, ...], Mapping[str, pd.DataFrame]]


def build(results: Results) -> Table:
    """The frame is that of `by_stratum`."""
    parts = _strata(results)
    frame = by_stratum(results, parts)
    blocks = [_block(results, key, rows, parts[key]) for key, rows in results.factors.blocks(frame)]
    notes = (
        "trivial: the gene with the largest |log fold change| among the differential ones is a "
        "target. in training: perturbed in a training perturbation too; untrained methods have not "
        "seen it. R@1: share of targets found first. rank: 1 is first, .5 chance.",
    )
    if not blocks:
        notes = ("No result of a suite that declares strata, as perturbseq does.",)
    notes = (*notes, *rounds_note(results))
    return Table("strata", "Parts of the tasks", tuple(blocks), frame, notes)


def by_stratum(results: Results, blocks: Blocks | None = None) -> pd.DataFrame:
    """One row per (factors, label, stratum) with a finished task.

    blocks: as `_strata` gives them, where they are at hand.

    Columns: `method`; `n` datasets; `tasks`, those that any method finished; the means of `SHOWN`,
    and `low` and `high`, the 95 % interval of R@1 over datasets, by gene.
    """
    names = list(results.factors.names)
    columns = [*names, "label", "method", "stratum", "n", "tasks", *SHOWN, "low", "high"]
    rows = []
    for key, parts in (_strata(results) if blocks is None else blocks).items():
        for stratum, part in parts.items():
            means = statistics.dataset_means(part, SHOWN, ["label", "method", statistics.GENE])
            tasks = part["dataset"].nunique()
            for (label, method), own in means.groupby(["label", "method"], observed=True):
                genes = statistics.codes_of(own[statistics.GENE])
                known = (own[statistics.GENE] != "").all()
                low, high = statistics.mean_interval(
                    own[SHOWN[0]].to_numpy(float),
                    statistics.codes_of(own["setting"]),
                    genes if known else None,
                    bounds=(0.0, 1.0),
                )
                values = [own[name].mean() for name in SHOWN]
                about = [str(label), str(method), stratum, len(own), tasks]
                rows.append([*key, *about, *values, low, high])
    return pd.DataFrame(rows, columns=columns)


def _strata(results: Results) -> Blocks:
    """Factors -> stratum -> its regimes."""
    return {key: dict(_parts(rows)) for key, rows in results.factors.blocks(_with_strata(results))}


def _with_strata(results: Results) -> pd.DataFrame:
    """The regimes of suites that declare both columns; empty where none does."""
    regimes = results.regimes
    if not {TRIVIAL, KNOWN} <= set(regimes.columns):
        return regimes.iloc[:0]
    told = regimes[TRIVIAL].notna() & regimes[KNOWN].notna() & (regimes["method"] != CEILING)
    needed = [*results.factors.names, "label", "method", "task", *statistics.UNIT, "perturbation"]
    kept = [name for name in (*needed, TRIVIAL, KNOWN, *SHOWN) if name in regimes]
    rows = regimes.loc[told, list(dict.fromkeys(kept))]
    return statistics.with_genes(without_rounds(results, rows))


def _parts(block: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """(stratum, its rows), those without a task left out, and those with all tasks but "all"."""
    parts = []
    for stratum, wanted in STRATA.items():
        kept = np.ones(len(block), bool)
        for name, value in wanted.items():
            kept &= block[name].eq(value).to_numpy(bool)
        if kept.any() and (not wanted or not kept.all()):
            parts.append((stratum, block[kept]))
    return parts


def _block(
    results: Results,
    key: tuple[str, ...],
    rows: pd.DataFrame,
    parts: Mapping[str, pd.DataFrame],
) -> Block:
    strata = list(dict.fromkeys(rows["stratum"]))
    sizes = rows.groupby("stratum")["tasks"].first()
    table = {name: rows.pivot(index="label", columns="stratum", values=name) for name in SHOWN}
    counts = rows.pivot(index="label", columns="stratum", values="n")
    methods = rows.drop_duplicates("label").set_index("label")["method"]
    # A mean over some tasks alone is no place among means over all of them.
    whole = counts["all"] == sizes["all"]
    order = pd.DataFrame({name: table[name]["all"] for name in SHOWN}).assign(whole=whole)
    order = order.sort_values(["whole", *SHOWN], ascending=False, kind="stable")
    labels = list(order.index)
    columns = [Column("method", align="left")]
    cells: dict[str, list[Cell]] = {label: [Cell(label)] for label in labels}
    for stratum in strata:
        for name in SHOWN:
            columns.append(Column(METRICS[name].title, group=f"{stratum} ({sizes[stratum]})"))
            values = table[name][stratum].reindex(labels).to_numpy(float)
            partial = counts[stratum].reindex(labels).to_numpy(float) < sizes[stratum]
            best = place_best(np.where(partial, np.nan, values))
            for label, value, top, fewer in zip(labels, values, best, partial, strict=True):
                cells[label].append(Cell(number(value), bool(top), "†" if fewer else ""))
    lines = tuple(Row(tuple(cells[label]), kind(methods[label])) for label in labels)
    notes = [note for stratum in strata if (note := _first_two(parts[stratum], rows, stratum))]
    if any(cell.mark for row in lines for cell in row.cells):
        notes.append(
            "† on fewer tasks than the heading says: never marked as the best. Methods that miss "
            "some of all tasks stand last."
        )
    return Block(block_title(results, key), tuple(columns), lines, tuple(notes))


def _first_two(part: pd.DataFrame, rows: pd.DataFrame, stratum: str) -> str:
    """The best method of a stratum against the best of another name, paired by gene; "" where there
    are no two. part: the regimes of the stratum."""
    own = rows[(rows["stratum"] == stratum) & (rows["n"] == rows["tasks"])]
    own = own.sort_values(["recall_at_1", "rank"], ascending=False, kind="stable")
    best = own.drop_duplicates("method").head(2)
    if len(best) < 2:
        return ""
    one, two = best["label"]
    found = statistics.Pairs(part, "recall_at_1").compare(one, two)
    shown = (
        "no interval"
        if np.isnan(found.low)
        else f"{found.low:+.3f} to {found.high:+.3f}, {found.n_units} perturbations"
        if found.by_gene
        else f"{found.low:+.3f} to {found.high:+.3f}"
    )
    first, second = best["recall_at_1"]
    return (
        f"{stratum}: {one} {first:.3f}, {two} {second:.3f}; difference {found.difference:+.3f} "
        f"({shown})."
    )
