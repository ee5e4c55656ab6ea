"""Where results come from: commits, whether files differed from them, machines and days."""

from __future__ import annotations

import pandas as pd

from cdnbench.record import JobRecord
from cdnbench.reports.frame import Results
from cdnbench.reports.standings import kind
from cdnbench.reports.table import Block, Cell, Column, Row, Table

SUMMARY = "where results come from: commits, uncommitted changes, machines and days"
_SHORT = 8
_MOST = 3
"""Commits that are named. The CSV of the jobs has all."""


def build(results: Results) -> Table:
    """One block per suite. The frame has one row per (suite, method), see `by_method`."""
    frame = by_method(results)
    columns = (
        Column("method", align="left"),
        Column("jobs"),
        Column("uncommitted changes"),
        Column("unknown"),
        Column("commits", align="left"),
        Column("days", align="left"),
        Column("machines"),
    )
    blocks = []
    for suite, rows in frame.groupby("suite", sort=True):
        lines = tuple(
            Row(tuple(map(Cell, _texts(row))), kind(str(row["method"])))
            for _, row in rows.iterrows()
        )
        blocks.append(Block(str(suite), columns, lines))
    notes = (
        "Uncommitted changes: jobs run from a checkout whose files differed from its commit, so "
        "that the commit alone does not make them again. Unknown: run from an installed package.",
    )
    return Table("provenance", "Provenance", tuple(blocks), frame, notes)


def by_method(results: Results) -> pd.DataFrame:
    """One row per (suite, method) of the current jobs.

    Columns: `jobs`; `dirty`, those from a tree with uncommitted changes; `unknown`, those that do
    not say; `commits`, the most frequent first, and `first` and `last` day, separated by spaces;
    `hosts`, the number of machines.
    """
    jobs = _current(results)
    rows = []
    for (suite, method), own in jobs.groupby(["suite", "method"], sort=True):
        commits = own["git_sha"].dropna().astype(str).str[:_SHORT].value_counts()
        days = sorted(own["started_at"].astype(str).str[:10])
        rows.append(
            {
                "suite": suite,
                "method": method,
                "jobs": len(own),
                "dirty": int(own["dirty"].eq(True).sum()),
                "unknown": int(own["dirty"].isna().sum()),
                "commits": " ".join(sorted(commits.index, key=lambda c: (-commits[c], c))),
                "first": days[0],
                "last": days[-1],
                "hosts": own["host"].nunique(),
            }
        )
    names = ["suite", "method", "jobs", "dirty", "unknown", "commits", "first", "last", "hosts"]
    return pd.DataFrame(rows, columns=names)


def dirty_note(results: Results) -> tuple[str, ...]:
    """A note where results come from trees with uncommitted changes; empty where none do."""
    jobs = _current(results)
    dirty = jobs[jobs["dirty"].eq(True)]
    if dirty.empty:
        return ()
    every = jobs.groupby("suite").size()
    told = ", ".join(
        f"{suite} {n} of {every[suite]}" for suite, n in dirty.groupby("suite").size().items()
    )
    return (f"Jobs from a tree with uncommitted changes: {told} (--table provenance).",)


def _current(results: Results) -> pd.DataFrame:
    jobs = results.jobs
    return jobs[(jobs["kind"] == JobRecord.kind) & ~jobs["superseded"].astype(bool)]


def _texts(row: pd.Series) -> list[str]:
    commits = str(row["commits"]).split()
    shown = ", ".join(commits[:_MOST])
    more = f" and {len(commits) - _MOST} more" if len(commits) > _MOST else ""
    days = row["first"] if row["first"] == row["last"] else f"{row['first']} to {row['last']}"
    counts = [f"{row['jobs']:,}", *(f"{row[c]:,}" if row[c] else "" for c in ("dirty", "unknown"))]
    return [row["method"], *counts, shown + more, days, str(row["hosts"])]
