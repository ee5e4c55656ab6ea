"""Cell lines in numbers: what stored tasks tell of the lines that they come from.

Suites of cells store with each task what its line is (`line` among the facts). Tasks of earlier
versions lack that; of their lines only the stored tasks can be counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from cdnbench.record import TaskRecord
from cdnbench.reports.factors import ALL_CELLS, SUBSAMPLE

FACT = "line"
COUNTS = (
    "raw_cells",
    "raw_perturbations",
    "raw_genes",
    "genes",
    "controls",
    "cells",
    "perturbations",
    "training",
    "test",
    "trivial",
    "unique_differential",
    "median_differential",
)
"""What a line's facts count; see `cdnbench.datasets.cells.description`."""
COLUMNS = ("suite", "cell_line", "simulated", "source", *COUNTS)


def lines(tasks: Iterable[TaskRecord]) -> pd.DataFrame:
    """One row per (suite, cell line) with `COLUMNS`; NaN where the store does not tell.

    Of a line without facts, `test` and `trivial` are counted over its stored tasks, and
    `median_differential` is taken over them.
    """
    groups: dict[tuple[str, str], dict[str, TaskRecord]] = {}
    for task in tasks:
        if name := task.metadata.get("cell_line"):
            groups.setdefault((task.suite, str(name)), {})[task.hash] = task
    rows = [
        {"suite": suite, "cell_line": line, **_of_line(list(own.values()))}
        for (suite, line), own in sorted(groups.items())
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _of_line(tasks: list[TaskRecord]) -> dict[str, Any]:
    told = [f for task in tasks if isinstance(f := task.truth.facts.get(FACT), dict)]
    if told:
        return {name: told[-1].get(name, np.nan) for name in COLUMNS[2:]}
    whole = [t for t in tasks if str(t.metadata.get(SUBSAMPLE, ALL_CELLS)) == ALL_CELLS]
    # Splits and maskings repeat a perturbation under other hashes, but not under another name.
    once = {str(t.metadata.get("dataset", t.name)): t for t in whole or tasks}.values()
    differential = [f for t in once if (f := t.truth.facts.get("n_differential")) is not None]
    return {
        "simulated": any(bool(t.metadata.get("simulated")) for t in once),
        "source": "",
        "test": len(once),
        "trivial": sum(bool(t.metadata.get("trivial")) for t in once),
        "median_differential": float(np.median(differential)) if differential else np.nan,
    }
