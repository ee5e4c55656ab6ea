"""Is a setting among the laws that a pretrained method was trained on? Each one marked, with the
distance to the ceiling.

A record of a pretrained method holds `trained_on`: factor -> the values, or {"from", "to"}, that
training had. A setting is out of distribution if any of its factors lies outside; the mark names
those factors.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from cdnbench.reports.frame import CEILING, FACTORS, Results
from cdnbench.reports.leaderboard import RANKING, block_title, by_factors
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number


def distribution(results: Results) -> Table:
    frame = settings(results)
    blocks = [
        _block(f"{block_title(results, key)}: {label}", own)
        for key, rows in by_factors(frame)
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
    """One row per (factors, label, setting) of pretrained methods: `n` datasets, mean `value` of
    `RANKING`, that of the `ceiling` on them, `gap`, `best` of the methods without training and its
    `best_method`, `outside` (factors, by comma)."""
    columns = [
        *FACTORS,
        "label",
        "setting",
        "n",
        "value",
        "ceiling",
        "gap",
        "best_method",
        "best",
        "outside",
    ]
    jobs = results.jobs[~results.jobs["superseded"]]
    laws = {
        r.label: json.loads(r.trained_on)
        for r in jobs.itertuples()
        if r.trained_on not in ("", "{}")
    }
    regimes = results.regimes
    if not laws or regimes.empty:
        return pd.DataFrame(columns=columns)
    keys = [*FACTORS, "setting"]
    datasets = (
        regimes.groupby([*keys, "label", "dataset"], observed=True)[RANKING].mean().unstack("label")
    )
    means = datasets.groupby(level=keys, observed=True).mean()
    facts = regimes.drop_duplicates(keys).set_index(keys)
    untrained = [c for c in means.columns if c not in laws and c != CEILING]
    rows: list[dict[str, Any]] = []
    for key, values in means.iterrows():
        where = dict(zip(keys, key, strict=True))  # type: ignore[arg-type]
        fact = {**facts.loc[key].to_dict(), **where}  # type: ignore[index]
        others = values[untrained].dropna()
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
                    "best_method": others.idxmax() if len(others) else "",
                    "best": others.max() if len(others) else float("nan"),
                    "outside": ", ".join(
                        name for name, known in law.items() if _is_outside(fact.get(name), known)
                    ),
                }
            )
    return pd.DataFrame(rows, columns=columns)


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
                Cell(
                    ", ".join(
                        part
                        for part in r.setting.split(", ")
                        if not part.endswith(("=none", "=joint"))
                    )
                ),
                Cell(f"out: {r.outside}" if r.outside else "in"),
                *(Cell(number(value)) for value in (r.value, r.ceiling, r.gap, r.best)),
            )
        )
        for r in rows.itertuples()
    )
    return Block(title, columns, lines)
