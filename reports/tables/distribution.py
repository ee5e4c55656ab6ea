"""Is a setting among the laws that a pretrained method was trained on? Each setting is marked, with
the distance to the ceiling.

The record of a pretrained method holds `trained_on`: factor -> the values, or {"from", "to"}, that
training had. Each factor of a setting is in training, out of it, or undeclared: either the suite
does not say what the setting is, as with cells whose mechanism nobody knows, or the record does not
say what training had. A setting is in distribution only where every factor is. The mark names the
factors that are not, and the laws that are nevertheless (mechanism, intervention, noise, marginal).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from cdnbench.design import BEFORE, FITTED_BEFORE
from cdnbench.metrics import METRICS
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.standings import RANKING, block_title
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number

LAWS = ("mechanism", "intervention", "noise", "marginal")
FACTORS = (*LAWS, "graph", "n_nodes", "rows", "n_hidden", "protocol", "cell_line")
"""What a setting and training are compared by."""
OPTIONAL = ("protocol", "cell_line")
"""Factors that mean nothing where a suite does not declare them."""
UNSAID = {"marginal": "plain", "n_hidden": 0}
"""What suites that declare a mechanism need not declare."""
STATES = ("inside", "outside", "undeclared")

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
    notes = (
        "in: every factor of the setting was in training. out: these were not, and no setting with "
        "one of them is in distribution. undeclared: the suite, or the record of the method, does "
        "not say; such a setting is not called in distribution either. Best untrained: of the "
        "methods that have no weights and were not fitted to labelled tasks, and that finished "
        "every dataset of the setting.",
    )
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

    Columns: `n` datasets; `covers`, whether these are all that any method finished; the mean
    `value` of `RANKING`, that of the `ceiling` on the same setting, and the `gap` between them;
    `best`, the value of the `best_method` among those without training that cover the setting;
    `inside`, `outside` and `undeclared`, the factors that training had, that it lacked, and of
    which nobody says.
    """
    numbers = ["n", "covers", "value", "ceiling", "gap", "best_method", "best", *STATES]
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
    learnt = {*laws, *_trained(results), CEILING}
    untrained = [label for label in means.columns if label not in learnt]
    done = datasets.drop(columns=CEILING, errors="ignore").dropna(how="all")
    covers = done.notna().groupby(level=keys, observed=True).all()
    covers = covers.reindex(means.index, fill_value=False)
    rows: list[dict[str, Any]] = []
    for key, values in means.iterrows():
        where = dict(zip(keys, key, strict=True))  # type: ignore[arg-type]
        fact = {**facts.loc[key].to_dict(), **where}  # type: ignore[index]
        others = values[untrained][covers.loc[key, untrained]].dropna()  # type: ignore[index]
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
                    "covers": bool(covers.loc[key, label]),
                    "value": values[label],
                    "ceiling": ceiling,
                    "gap": ceiling - values[label],
                    "best_method": best,
                    "best": others[best] if best else float("nan"),
                    **_states(fact, law),
                }
            )
    return pd.DataFrame(rows, columns=[*names, "label", "setting", *numbers])


def _laws(results: Results) -> dict[str, dict[str, Any]]:
    """Label -> what the method was trained on, for the readings of pretrained methods."""
    jobs = results.readings[results.readings["job"] >= 0].drop_duplicates("label")
    told = results.jobs["trained_on"].reindex(jobs["job"])
    laws = zip(jobs["label"], map(json.loads, told), strict=True)
    return {str(label): law for label, law in laws if law}


def _trained(results: Results) -> set[str]:
    """Labels of readings that have learnt: networks, methods that were fitted to labelled tasks or
    run with a file of weights, and fusions with one of these among their members."""
    jobs = results.readings[results.readings["job"] >= 0].drop_duplicates("label")
    records = results.jobs.loc[jobs["job"]]
    fitted = (records["fit"].fillna("") != "") | records["unfitted"].notna()
    fitted |= records["method"].isin(FITTED_BEFORE)
    parameters = [json.loads(text) for text in records["parameters"]]
    weights = [bool(chosen.get("weights")) for chosen in parameters]
    own = (fitted | (records["design"] != "")).to_numpy() | np.array(weights, bool)
    names = {*BEFORE, *records["method"][own]}
    fused = [bool(names & set(chosen.get("members") or ())) for chosen in parameters]
    return set(jobs["label"].astype(str)[own | np.array(fused, bool)])


def _states(fact: dict[str, Any], law: dict[str, Any]) -> dict[str, str]:
    """`STATES` -> the factors in this state."""
    found: dict[str, list[str]] = {state: [] for state in STATES}
    declares = not _missing(fact.get("mechanism"))
    for factor in FACTORS:
        value, known = fact.get(factor), law.get(factor)
        if factor == "marginal" and known is None and "mechanism" in law:
            known = [UNSAID[factor]]  # earlier records of networks of the suites' laws alone
        if declares and _missing(value):
            value = UNSAID.get(factor)
        if factor in OPTIONAL and _missing(value):
            continue
        if _missing(value) or known is None:
            found["undeclared"].append(factor)
        else:
            found["outside" if _is_outside(value, known) else "inside"].append(factor)
    return {state: ", ".join(factors) for state, factors in found.items()}


def _missing(value: Any) -> bool:
    return value is None or value == "" or bool(pd.isna(value))


def _is_outside(value: Any, known: Any) -> bool:
    if isinstance(known, dict):
        return not known["from"] <= float(value) <= known["to"]
    return str(value) not in known


def _mark(inside: str, outside: str, undeclared: str) -> str:
    """`out: mechanism; in: intervention, noise, marginal`."""
    if not outside and not undeclared:
        return "in"
    if not inside and not outside:
        return "undeclared"
    laws = [factor for factor in inside.split(", ") if factor in LAWS]
    parts = (("out", outside), ("undeclared", undeclared), ("in", ", ".join(laws)))
    return "; ".join(f"{name}: {factors}" for name, factors in parts if factors)


def _block(title: str, rows: pd.DataFrame) -> Block:
    columns = (
        Column("setting", align="left"),
        Column("training", align="left"),
        *(Column(name) for name in ("mAP", "ceiling", "gap", "best untrained")),
        Column("which", align="left", optional=1),
    )
    lines = tuple(
        Row(
            (
                Cell(r.setting),
                Cell(_mark(r.inside, r.outside, r.undeclared)),  # type: ignore[arg-type]
                Cell(number(r.value), mark="" if r.covers else "†"),  # type: ignore[arg-type]
                *(Cell(number(value)) for value in (r.ceiling, r.gap, r.best)),
                Cell(r.best_method),  # type: ignore[arg-type]
            )
        )
        for r in rows.itertuples()
    )
    partial = ("† on fewer datasets than other methods finished.",)
    return Block(title, columns, lines, () if rows["covers"].all() else partial)
