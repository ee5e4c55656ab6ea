"""The report as one self-contained page: no script, no external file, light and dark."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import cdnbench
from cdnbench.metrics import METRICS
from cdnbench.reports import leaderboard, paper
from cdnbench.reports.frame import FACTORS, Results
from cdnbench.reports.table import Block, number
from cdnbench.store import STATUSES

if TYPE_CHECKING:
    from cdnbench.reports.report import Report

TEMPLATES = Path(__file__).parent / "templates"
_FEW_REGIMES = 60
_MISSING = (None, "", "None", "nan")


def page(report: Report) -> str:
    """The whole page."""
    results = report.results
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    board = report.table("leaderboard")
    sections = [
        _section(results, block, key, rows)
        for block, (key, rows) in zip(
            board.blocks, leaderboard.by_factors(board.frame), strict=True
        )
    ]
    current = results.jobs[~results.jobs["superseded"]]
    return environment.get_template("report.html.j2").render(
        made=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0"),
        version=cdnbench.__version__,
        sections=sections,
        tables=[report.table(name) for name in _further(results)],
        jobs=report.table("jobs"),
        counts=[(status, int((current["status"] == status).sum())) for status in STATUSES],
        n_jobs=len(current),
        provenance=provenance(current),
        glossary=list(METRICS.values()),
        notes=results.notes,
    )


def _further(results: Results) -> list[str]:
    """The tables that have something to say about these results."""
    names = ["comparisons"] if results.readings["label"].nunique() > 2 else []
    if set(results.regimes["suite"].astype(str)) & set(paper.SUITES):
        names += ["table11", "table4"]
    if 0 < len(results.regimes.drop_duplicates([*FACTORS, "task", "regime"])) <= _FEW_REGIMES:
        names.append("regimes")
    return names


def _section(
    results: Results, block: Block, key: tuple[str, ...], rows: pd.DataFrame
) -> dict[str, Any]:
    readings = leaderboard.same_factors(results.readings, key)
    return {
        "suite": key[0],
        "factors": leaderboard.named_factors(key),
        "badge": badge(readings),
        "block": block,
        "plot": dot_plot(rows),
    }


def badge(readings: pd.DataFrame) -> str:
    """What the samples are: simulated, real, or "" where the tasks do not say (or the suite's name
    does)."""
    if leaderboard.simulated(readings):
        return "simulated"
    origins = set(readings["origin"].astype(str)) - set(_MISSING) if "origin" in readings else set()
    if (
        not origins
        and "simulated" in readings
        and readings["simulated"].astype(str).str.lower().eq("false").all()
    ):
        origins = {"real"}
    return "/".join(sorted(origins))


@dataclass(frozen=True)
class Dot:
    """One line of the plot: label, kind, y, and the x of the mean and of the interval's ends (None
    without one)."""

    label: str
    kind: str
    text: str
    y: float
    x: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class DotPlot:
    """Mean average precision with its interval, method by method. All in the units of the
    drawing."""

    width: float
    height: float
    left: float
    right: float
    dots: tuple[Dot, ...]
    ticks: tuple[tuple[float, str], ...]
    ceiling: float | None


def dot_plot(rows: pd.DataFrame, width: float = 720, step: float = 26) -> DotPlot | None:
    """rows: standings of one block. None if no method finished."""
    drawn = rows.dropna(subset=[leaderboard.RANKING])
    if drawn.empty:
        return None
    left, right = 14 + 7.2 * drawn["label"].str.len().max(), width - 62
    place = lambda value: round(left + (right - left) * float(np.clip(value, 0, 1)), 1)  # noqa: E731
    end = lambda value: None if np.isnan(value) else place(value)  # noqa: E731
    dots = tuple(
        Dot(
            label=row["label"],
            kind=row["kind"],
            text=number(row[leaderboard.RANKING]),
            y=14 + step * i,
            x=place(row[leaderboard.RANKING]),
            low=end(row["low"]),
            high=end(row["high"]),
        )
        for i, (_, row) in enumerate(drawn.iterrows())
    )
    return DotPlot(
        width=width,
        height=14 + step * len(dots) + 22,
        left=left,
        right=right,
        dots=dots,
        ticks=tuple((place(t), f"{t:g}") for t in (0, 0.25, 0.5, 0.75, 1)),
        ceiling=next((dot.x for dot in dots if dot.kind == "reference"), None),
    )


def provenance(jobs: pd.DataFrame) -> list[tuple[str, str]]:
    """(what, value): commits, versions, machines, devices, threads and dates that the jobs name."""
    rows = []
    shas = jobs["git_sha"].dropna().astype(str).str[:10]
    dirty = jobs["dirty"].fillna(False).astype(bool)
    commits = [
        f"{sha}{' (with local changes)' if dirty[shas.index[shas == sha]].any() else ''}"
        for sha in shas.unique()
    ]
    rows.append(("commit", ", ".join(commits)))
    for name in ("host", "device", "threads"):
        values = [_plain(v) for v in jobs[name].dropna().unique() if v not in _MISSING]
        rows.append((name, ", ".join(values)))
    started = jobs["started_at"].dropna().astype(str)
    if len(started):
        rows.append(
            (
                "run",
                " to ".join(dict.fromkeys((started.min()[:16], started.max()[:16]))).replace(
                    "T", " "
                ),
            )
        )
    found: dict[str, set[str]] = {}
    for text in jobs["versions"].unique():
        for package, version in json.loads(text).items():
            found.setdefault(package, set()).add(str(version))
    rows.append(
        (
            "versions",
            ", ".join(f"{package} {' / '.join(sorted(v))}" for package, v in sorted(found.items())),
        )
    )
    return [(name, value) for name, value in rows if value]


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
