"""Tables by name: `build(results, name)`. The names and what each shows are in `names.TABLES`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from cdnbench.errors import did_you_mean
from cdnbench.reports import agreement, comparisons, distribution, leaderboard, paper, real
from cdnbench.reports.frame import CEILING, FACTORS, Results
from cdnbench.reports.names import TABLES
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number, seconds
from cdnbench.store import STATUSES

_SHOWN = 40
"""Rows of a long listing that are shown; its CSV has all."""
_WIDE = 12
"""Regimes that fit side by side."""


def build(results: Results, name: str) -> Table:
    """The table of that name.

    Raises
    ------
    UnknownName: there is none; the message lists the nearest names.
    """
    if name not in _BUILDERS:
        raise did_you_mean("table", name, TABLES)
    return _BUILDERS[name](results)


def jobs(results: Results) -> Table:
    """What ran, how it ended, what it cost; and why what did not finish did not."""
    current = results.jobs[~results.jobs["superseded"]]
    blocks = [_summary(current)]
    if (current["status"] != "ok").any():
        blocks.append(_unfinished(current[current["status"] != "ok"]))
    return Table(
        name="jobs", title="Jobs", blocks=tuple(blocks), frame=results.jobs, notes=results.notes
    )


def _summary(jobs: pd.DataFrame) -> Block:
    statuses = [s for s in STATUSES if s == "ok" or (jobs["status"] == s).any()]
    columns = (
        Column("suite", align="left"),
        Column("method", align="left"),
        Column("jobs"),
        *(Column(status) for status in statuses),
        Column("median s"),
        Column("longest s", optional=1),
        Column("total s", optional=3),
        Column("peak MB", optional=2),
    )
    rows = []
    for (suite, label), own in jobs.groupby(["suite", "label"], sort=True):
        counts = own["status"].value_counts()
        done = own[own["status"] == "ok"]
        peak = done["peak_rss_mb"].max()
        texts = [suite, label, str(len(own)), *(str(counts.get(s, 0)) for s in statuses)]
        texts += [
            seconds(done["wall_s"].median()),
            seconds(done["wall_s"].max()),
            seconds(own["wall_s"].sum()),
        ]
        rows.append(
            Row(
                tuple(map(Cell, [*texts, number(peak, 0)])), leaderboard.kind(own["method"].iloc[0])
            )
        )
    return Block("jobs by method", columns, tuple(rows))


def _unfinished(failed: pd.DataFrame) -> Block:
    columns = (
        Column("suite", align="left", optional=1),
        Column("method", align="left"),
        Column("status", align="left"),
        Column("jobs"),
        Column("reason", align="left"),
        Column("first task", align="left", optional=2),
    )
    keys = ["suite", "label", "status", "reason"]
    groups = list(
        failed.assign(reason=failed["reason"].fillna("").astype(str)).groupby(keys, sort=True)
    )
    rows = [
        Row(
            tuple(
                Cell(str(v))
                for v in (suite, label, status, len(own), str(reason)[:80], own["task"].iloc[0])
            )
        )
        for (suite, label, status, reason), own in groups[:_SHOWN]
    ]
    notes = (f"{len(groups) - _SHOWN} more reasons in the CSV.",) if len(groups) > _SHOWN else ()
    return Block("what did not finish", columns, tuple(rows), notes)


def regimes(results: Results) -> Table:
    """The place of the target in every regime: 1 is first; ties count half."""
    frame = places(results)
    blocks = [_places_block(results, key, rows) for key, rows in leaderboard.by_factors(frame)]
    return Table(
        name="regimes",
        title="Place of the target in each regime",
        blocks=tuple(blocks),
        frame=frame,
    )


def places(results: Results) -> pd.DataFrame:
    """One row per (factors, label, task, seed, regime): `targets`, `n_candidates`, `rank` (1 is
    best) and `place`, the mean over targets of 1 + the non-targets above + half of those beside."""
    columns = [
        *FACTORS,
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
    order, labels = list(dict.fromkeys(name)), _by_mean(rows)
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
                leaderboard.kind(label),
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
    title = leaderboard.block_title(results, key)
    return Block(title, columns, lines, tuple(notes))


def _by_mean(rows: pd.DataFrame) -> list[str]:
    """Labels, the ceiling first, then by mean place."""
    means = rows.groupby("label", observed=True)["place"].mean()
    return sorted(
        means.index,
        key=lambda label: (label != CEILING, np.nan_to_num(means[label], nan=np.inf), label),
    )


def _place(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1f}".removesuffix(".0")


_BUILDERS: dict[str, Callable[[Results], Table]] = {
    "leaderboard": leaderboard.leaderboard,
    "jobs": jobs,
    "regimes": regimes,
    "real": real.real,
    "comparisons": comparisons.comparisons,
    "agreement": agreement.agreement,
    "distribution": distribution.distribution,
    "table4": paper.table4,
    "table7": paper.table7,
    "table8": paper.table8,
    "table11": paper.table11,
}
