"""Is a setting among the laws that a pretrained method was trained on? Each setting is marked, with
the distance to the ceiling.

The record of a pretrained method holds `trained_on`: factor -> the values, or {"from", "to"}, that
training had. A setting is out of distribution if any of its factors lies outside. The mark names
these factors.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from cdnbench.metrics import METRICS
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.standings import RANKING, block_title
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number

SUMMARY = (
    "each setting in or out of a pretrained method's training laws, with its distance to the "
    "ceiling"
)


def build(results: Results) -> Table:
    """The frame is that of `settings`."""
    frame = settings(results)
    blocks = [
        _block(f"{block_title(results, key)}: {label}", own)
        for key, rows in results.factors.blocks(frame)
        for label, own in rows.groupby("label", sort=True)
    ]
    notes = ("in: every factor of the setting was in training; out: these were not.",)
    if not blocks:
        notes = ("No result of a method that says what it was trained on.",)
    return Table(
        name="distribution",
        title="In or out of distribution",
        blocks=tuple(blocks),
        frame=frame,
        notes=notes,
    )


def settings(results: Results) -> pd.DataFrame:
    """One row per (factors, label, setting) of pretrained methods.

    Columns: `n` datasets; the mean `value` of `RANKING`, that of the `ceiling` on the same setting,
    and the `gap` between them; `best`, the value of the `best_method` among those without training;
    `outside`, the factors that training lacked.
    """
    numbers = ["n", "value", "ceiling", "gap", "best_method", "best", "outside"]
    names = results.factors.names
    laws, regimes = _laws(results), results.regimes
    if not laws or regimes.empty:
        return pd.DataFrame(columns=[*names, "label", "setting", *numbers])
    keys = [*names, "setting"]
    datasets = (
        regimes.groupby([*keys, "label", "dataset"], observed=True)[RANKING].mean().unstack("label")
    )
    means = datasets.groupby(level=keys, observed=True).mean()
    facts = regimes.drop_duplicates(keys).set_index(keys)
    untrained = [label for label in means.columns if label not in laws and label != CEILING]
    rows: list[dict[str, Any]] = []
    for key, values in means.iterrows():
        where = dict(zip(keys, key, strict=True))  # type: ignore[arg-type]
        fact = {**facts.loc[key].to_dict(), **where}  # type: ignore[index]
        others = values[untrained].dropna()
        best = METRICS[RANKING].merit(others).idxmax() if len(others) else ""
        for label, law in laws.items():
            if label not in values or pd.isna(values[label]):
                continue
            ceiling = values.get(CEILING, float("nan"))
            rows.append(
                {
                    **where,
                    "label": label,
                    "n": int(datasets.loc[key][label].notna().sum()),  # type: ignore[index]
                    "value": values[label],
                    "ceiling": ceiling,
                    "gap": ceiling - values[label],
                    "best_method": best,
                    "best": others[best] if best else float("nan"),
                    "outside": ", ".join(
                        name for name, known in law.items() if _is_outside(fact.get(name), known)
                    ),
                }
            )
    return pd.DataFrame(rows, columns=[*names, "label", "setting", *numbers])


def _laws(results: Results) -> dict[str, dict[str, Any]]:
    """Label -> what the method was trained on, for the readings of pretrained methods."""
    jobs = results.readings[results.readings["job"] >= 0].drop_duplicates("label")
    told = results.jobs["trained_on"].reindex(jobs["job"])
    laws = zip(jobs["label"], map(json.loads, told), strict=True)
    return {str(label): law for label, law in laws if law}


def _is_outside(value: Any, known: Any) -> bool:
    """A factor that the suite does not declare is not held against it."""
    if value is None or value == "" or pd.isna(value):
        return False
    if isinstance(known, dict):
        return not known["from"] <= float(value) <= known["to"]
    return str(value) not in known


def _block(title: str, rows: pd.DataFrame) -> Block:
    columns = (
        Column("setting", align="left"),
        Column("training", align="left"),
        *(Column(name) for name in ("mAP", "ceiling", "gap", "best untrained")),
    )
    lines = tuple(
        Row(
            (
                Cell(r.setting),
                Cell(f"out: {r.outside}" if r.outside else "in"),
                *(Cell(number(value)) for value in (r.value, r.ceiling, r.gap, r.best)),
            )
        )
        for r in rows.itertuples()
    )
    return Block(title, columns, lines)
