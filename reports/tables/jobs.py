"""Jobs and fits: what ran, how it ended, what it cost."""

from __future__ import annotations

import pandas as pd

from cdnbench.record import FitRecord, Status
from cdnbench.reports.frame import Results
from cdnbench.reports.standings import kind
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number, seconds

SUMMARY = "what ran, how it ended and what it cost; its CSV has one row per job"
_SHOWN = 40
"""Reasons that are shown. The CSV has all."""


def build(results: Results) -> Table:
    """What ran, how it ended and what it cost, and why some of it did not finish."""
    current = results.jobs[~results.jobs["superseded"]]
    blocks = [_summary(current)]
    if (current["status"] != "ok").any():
        blocks.append(_unfinished(current[current["status"] != "ok"]))
    return Table(
        name="jobs", title="Jobs", blocks=tuple(blocks), frame=results.jobs, notes=results.notes
    )


def _summary(jobs: pd.DataFrame) -> Block:
    statuses = [s for s in Status if s == "ok" or (jobs["status"] == s).any()]
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
    for (suite, label, what), own in jobs.groupby(["suite", "label", "kind"], sort=True):
        counts = own["status"].value_counts()
        done = own[own["status"] == "ok"]
        peak = done["peak_rss_mb"].max()
        texts = [
            suite,
            _named(label, what),
            str(len(own)),
            *(str(counts.get(s, 0)) for s in statuses),
        ]
        texts += [
            seconds(done["wall_s"].median()),
            seconds(done["wall_s"].max()),
            seconds(own["wall_s"].sum()),
        ]
        rows.append(Row(tuple(map(Cell, [*texts, number(peak, 0)])), kind(own["method"].iloc[0])))
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
    keys = ["suite", "label", "kind", "status", "reason"]
    groups = list(failed.groupby(keys, sort=True))
    rows = [
        Row(
            tuple(
                Cell(str(v))
                for v in (
                    suite,
                    _named(label, what),
                    status,
                    len(own),
                    str(reason)[:80],
                    own["task"].iloc[0] or "",
                )
            )
        )
        for (suite, label, what, status, reason), own in groups[:_SHOWN]
    ]
    notes = (f"{len(groups) - _SHOWN} more reasons in the CSV.",) if len(groups) > _SHOWN else ()
    return Block("what did not finish", columns, tuple(rows), notes)


def _named(label: str, what: str) -> str:
    """`gears (fit)`; the label alone for a job."""
    return f"{label} (fit)" if what == FitRecord.kind else label
