"""The place of the target in each regime, for suites of a few real regimes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.standings import block_title, kind
from cdnbench.reports.table import Block, Cell, Column, Row, Table

SUMMARY = "the place of the target in each regime, for suites of a few real regimes such as sachs"
_SHOWN = 40
"""Regimes that are shown. The CSV has all."""
_WIDE = 12
"""Regimes that fit side by side."""


def build(results: Results) -> Table:
    """The place of the target in every regime. 1 is first, and ties count half."""
    frame = places(results)
    blocks = [_places_block(results, key, rows) for key, rows in results.factors.blocks(frame)]
    return Table(
        name="regimes",
        title="Place of the target in each regime",
        blocks=tuple(blocks),
        frame=frame,
    )


def places(results: Results) -> pd.DataFrame:
    """One row per (factors, label, task, seed, regime with a target).

    Columns: `targets`, `n_candidates`, `rank` (1 is best), and `place`: the mean over targets of
    1 + the non-targets above + half of those beside.
    """
    columns = [
        *results.factors.names,
        "label",
        "method",
        "task",
        "seed",
        "regime",
        "targets",
        "n_targets",
        "n_candidates",
        "rank",
        "coverage",
    ]
    frame = results.regimes.loc[results.regimes["n_targets"] > 0, columns].copy()
    frame["place"] = 1 + (1 - frame["rank"]) * (frame["n_candidates"] - frame["n_targets"])
    return frame


def _places_block(results: Results, key: tuple[str, ...], rows: pd.DataFrame) -> Block:
    rows = rows.assign(task=rows["task"].astype(str), targets=rows["targets"].astype(str))
    rows = rows.sort_values(["task", "regime"], kind="stable")
    name = rows["targets"]
    if (
        rows["regime"].nunique() > 1
        and not rows.groupby(["task", "targets"])["regime"].nunique().eq(1).all()
    ):
        name = name + " (regime " + rows["regime"].astype(str) + ")"
    if rows["task"].nunique() > 1:
        name = rows["task"] + ": " + name
    order, methods = list(dict.fromkeys(name)), _by_mean(rows)
    labels = list(methods)
    values = rows.assign(name=name).pivot_table(
        index="name", columns="label", values="place", observed=True
    )
    values = values.reindex(index=order[:_SHOWN], columns=labels)
    text = [[_place(value) for value in line] for line in values.to_numpy(float)]
    if len(order) <= _WIDE:
        columns = (Column("method", align="left"), *(Column(n) for n in values.index))
        lines = tuple(
            Row(
                (Cell(label), *(Cell(line[j], best=line[j] == "1") for line in text)),
                kind(methods[label]),
            )
            for j, label in enumerate(labels)
        )
    else:
        columns = (Column("targets", align="left"), *(Column(label) for label in labels))
        lines = tuple(
            Row((Cell(n), *(Cell(t, best=t == "1") for t in line)))
            for n, line in zip(values.index, text, strict=True)
        )
    sizes = rows["n_candidates"] - rows["n_targets"] + 1
    among = str(sizes.min()) if sizes.min() == sizes.max() else f"{sizes.min()} to {sizes.max()}"
    notes = [f"1 is first of {among}; ties count half; a dash: not finished."]
    if len(order) > _SHOWN:
        notes.append(f"{len(order) - _SHOWN} more regimes in the CSV.")
    title = block_title(results, key)
    return Block(title, columns, lines, tuple(notes))


def _by_mean(rows: pd.DataFrame) -> dict[str, str]:
    """Label -> method, the ceiling first and then by mean place."""
    means = rows.groupby(["label", "method"], observed=True)["place"].mean()
    order = sorted(
        means.items(),
        key=lambda item: (item[0][1] != CEILING, np.nan_to_num(item[1], nan=np.inf), item[0][0]),
    )
    return {str(label): str(method) for (label, method), _ in order}  # type: ignore[misc]


def _place(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1f}".removesuffix(".0")
