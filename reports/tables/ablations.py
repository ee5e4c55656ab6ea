"""Variants of `cdn` that go without one thing each, on the development sets.

A variant is a method whose weights are `ablations/<variant>.safetensors`, which `bench train
ablations cdn` makes. `synthetic-dev` is for tuning, and of the real data sets these are the ones
that choices may be made on.
"""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from cdnbench.reports.frame import Results
from cdnbench.reports.standings import RANKING
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number, place_best
from cdnbench.reports.tables.real import KIND, SOURCE

SUMMARY = (
    "variants of cdn that go without one thing each, on the development sets; `bench train "
    "ablations cdn` makes them"
)
NAME = "ablations"
SYNTHETIC = "synthetic-dev"
REAL = ("papalexi", "hill", "sachs", "sahin", "pasilla", "petshop")
PLACED = "pasilla"
"""The data set with one perturbation, whose target's place says more than whether it is first."""
FULL = "full"


def build(results: Results) -> Table:
    """The frame has one row per (variant, data set), see `by_data_set`."""
    frame = by_data_set(results)
    block = _block(frame)
    notes = (
        f"{SYNTHETIC}: mean average precision over all tasks that were run, of both protocols. "
        "Real data sets: share found first. Mean rank: of the target, over real data sets, 1 is "
        "first and .5 chance. A dash: not run, or the variant cannot run there; its means stand "
        "over fewer data sets (†).",
        "Change: mean share found first, less that of the full network on the same data sets.",
    )
    return Table(
        name=NAME,
        title="What cdn needs",
        blocks=() if block is None else (block,),
        frame=frame,
        notes=notes if block else ("No results of variants: `bench train ablations cdn`.",),
    )


def by_data_set(results: Results) -> pd.DataFrame:
    """One row per (variant, data set).

    Columns: `tasks` finished and `total`; the mean over tasks of the metrics `RANKING`,
    `recall_at_1` and `rank`; `place`, the mean place of the target, 1 for first, on real data.
    """
    readings = _of_variants(results.readings)
    regimes = _of_variants(results.regimes)
    metrics = [RANKING, "recall_at_1", "rank"]
    rows: list[dict[str, Any]] = []
    for (variant, source), own in readings.groupby(["ablation", "data_set"], sort=False):
        here = (regimes["ablation"] == variant) & (regimes["data_set"] == source)
        found = regimes[here]
        place = 1 + (1 - found["rank"]) * (found["n_candidates"] - found["n_targets"])
        # As in the table `real`: each regime of a real data set counts alike.
        unit = ["task"] if source == SYNTHETIC else ["task", "regime"]
        values = found.assign(place=place).groupby(unit, observed=True)
        means = values[[*metrics, "place"]].mean().mean()
        rows.append(
            {
                "variant": variant,
                "data_set": source,
                "tasks": int((own["status"] == "ok").sum()),
                "total": len(own),
                **means.to_dict(),
            }
        )
    columns = ["variant", "data_set", "tasks", "total", *metrics, "place"]
    return pd.DataFrame(rows, columns=columns)


def _of_variants(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of variants on development sets, with `ablation` and `data_set`; real controls
    against controls are left out."""
    parameters = frame["parameters"].astype("category").cat
    weights = [PurePath(json.loads(p).get("weights") or "") for p in parameters.categories]
    own = [path.stem if path.parent.name == NAME else None for path in weights]
    names = np.array(own, dtype=object)[parameters.codes.to_numpy()]
    told = pd.notna(names)
    frame, names = frame[told], names[told]
    suites = frame["suite"].astype(str)
    source = frame[SOURCE].astype(str) if SOURCE in frame else suites
    synthetic = (suites == SYNTHETIC).to_numpy()
    real = source.isin(REAL).to_numpy() & ~synthetic
    if KIND in frame:
        real &= (frame[KIND].astype(str) == "perturbed").to_numpy()
    sets = np.where(synthetic, SYNTHETIC, source.to_numpy(str))
    return frame.assign(ablation=names, data_set=sets)[synthetic | real]


def _block(frame: pd.DataFrame) -> Block | None:
    if frame.empty:
        return None
    whole = frame[(frame["tasks"] == frame["total"]) & (frame["tasks"] > 0)]
    order = list(dict.fromkeys(frame["variant"]))
    first = _wide(whole, "recall_at_1", order)
    ranks = _wide(whole, "rank", order)
    precision = whole[whole["data_set"] == SYNTHETIC].set_index("variant")[RANKING].reindex(order)
    place = whole[whole["data_set"] == PLACED].set_index("variant")["place"].reindex(order)
    mean, rank = first.mean(axis=1), ranks.mean(axis=1)
    partial = first.notna().sum(axis=1) < first.notna().any().sum()
    change = pd.Series(np.nan, index=order)
    if FULL in order:
        change = (first - first.loc[FULL]).mean(axis=1)
        order = [FULL, *sorted((v for v in order if v != FULL), key=lambda v: change[v])]
    numeric = [precision, *(first[s] for s in first), place, rank, mean]
    places = [len(numeric) - 3]  # low is good
    best = [
        place_best(-values.to_numpy() if i in places else values.to_numpy())
        for i, values in enumerate(numeric)
    ]
    at = {variant: i for i, variant in enumerate(precision.index)}
    lines = []
    for variant in order:
        i = at[variant]
        cells = [
            Cell(
                number(values.iloc[i], 0 if k in places else 3),
                bool(best[k][i]),
                "†" if k >= len(numeric) - 2 and partial.iloc[i] else "",
            )
            for k, values in enumerate(numeric)
        ]
        shift = change[variant]
        told = "" if variant == FULL else "–" if np.isnan(shift) else f"{shift:+.3f}"
        lines.append(Row((Cell(variant), *cells, Cell(told))))
    columns = (
        Column("variant", align="left"),
        Column(SYNTHETIC),
        *(Column(source, group="found first") for source in first),
        Column(f"place in {PLACED}"),
        Column("mean rank"),
        Column("mean found first"),
        Column("change"),
    )
    return Block("development sets", columns, tuple(lines))


def _wide(frame: pd.DataFrame, metric: str, order: list[str]) -> pd.DataFrame:
    """Variants by real data sets."""
    real = frame[frame["data_set"] != SYNTHETIC]
    table = real.pivot_table(index="variant", columns="data_set", values=metric)
    return table.reindex(index=order, columns=list(REAL))
