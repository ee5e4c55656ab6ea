"""The report as one self-contained page: no external file, light and dark, and whole without its
script.

A page is given its tables; it asks for none.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import cdnbench
from cdnbench.metrics import METRICS
from cdnbench.record import JobRecord, Status
from cdnbench.reports.frame import Results
from cdnbench.reports.rounds import rounds_note
from cdnbench.reports.show import described, details, explorer
from cdnbench.reports.standings import RANKING, simulated
from cdnbench.reports.table import Block, Table, number, seconds

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("packed.js", "statistics.js", "board.js", "details.js", "explorer.js")
_MISSING = (None, "", "None", "nan")


def page(results: Results, board: Table, further: Sequence[Table], jobs: Table) -> str:
    """The whole page.

    board: the leaderboard, with a plot for each of its blocks. further: tables after it.
    jobs: the table of jobs.
    """
    standing = results.factors.blocks(board.frame)
    sections = [
        _section(results, block, key, rows)
        for block, (key, rows) in zip(board.blocks, standing, strict=True)
    ]
    grids = explorer.grids(results, board.frame)
    script = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    current = results.jobs[~results.jobs["superseded"]]
    run = current[current["kind"] == JobRecord.kind]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            made=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0"),
            version=cdnbench.__version__,
            sections=sections,
            tables=further,
            jobs=jobs,
            counts=[(status, int((run["status"] == status).sum())) for status in Status],
            n_jobs=len(run),
            provenance=provenance(current),
            glossary=list(METRICS.values()),
            notes=(*results.notes, *rounds_note(results)),
            overview=overview(results, board),
            methods=described.methods(results),
            suites=described.suites(results),
            contents=_contents(further),
            # Both are ours, and the packed texts are base64: nothing in them can end their element.
            style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_hash=_hash(script),
            board_data=explorer.board(results, board.frame, grids),
            details_data=details.details(results, grids),
        )
    )


def _contents(further: Sequence[Table]) -> list[tuple[str, str]]:
    """(anchor, title) of every section."""
    return [
        ("overview", "At a glance"),
        ("explore", "Leaderboard"),
        ("boards", "All leaderboards"),
        *((f"table-{table.name}", table.title) for table in further if table.blocks),
        ("methods", "Methods"),
        ("suites", "Suites"),
        ("jobs", "Jobs"),
        ("glossary", "Columns"),
        ("provenance", "Provenance"),
    ]


def _hash(script: str) -> str:
    """What the page's policy allows: this script and no other, so that none slips in."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def overview(results: Results, board: Table) -> list[dict[str, str]]:
    """The best method of every block among those that finished every dataset that others finished;
    where there is none, the row says so."""
    rows = []
    for block, (key, own) in zip(board.blocks, results.factors.blocks(board.frame), strict=True):
        methods = own[(own["kind"] != "reference") & own[RANKING].notna()]
        best = next(iter(methods[methods["covers"]].to_dict("records")), None)
        none = "none finished every dataset" if len(methods) else "none"
        row = {"title": block.title, "method": none, "value": "–", "interval": "–"}
        row |= {"datasets": "–", "seconds": "–"}
        row["badge"] = badge(results.factors.rows(results.readings, key))
        if best is not None:
            row |= {
                "method": str(best["label"]),
                "value": number(best[RANKING]),
                "interval": "–"
                if np.isnan(best["low"])
                else f"{number(best['low'])} to {number(best['high'])}",
                "datasets": f"{best['finished']}/{best['total']}",
                "seconds": "–" if np.isnan(best["seconds"]) else f"{seconds(best['seconds'])} s",
            }
        rows.append(row)
    return rows


def fragment(table: Table) -> str:
    """One table for a notebook: HTML without a page around it."""
    return _environment().get_template("table.html.j2").render(table=table)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _section(
    results: Results, block: Block, key: tuple[str, ...], rows: pd.DataFrame
) -> dict[str, Any]:
    return {
        "suite": key[0],
        "factors": results.factors.told(key),
        "badge": badge(results.factors.rows(results.readings, key)),
        "block": block,
        "plot": dot_plot(rows),
    }


def badge(readings: pd.DataFrame) -> str:
    """What the samples are: simulated, real, or "" where the tasks do not say."""
    if simulated(readings):
        return "simulated"
    origins = set(readings["origin"].astype(str)) - set(_MISSING) if "origin" in readings else set()
    if not origins and "simulated" in readings and readings["simulated"].eq(False).all():
        origins = {"real"}
    return "/".join(sorted(origins))


@dataclass(frozen=True)
class Dot:
    """One line of the plot: label, kind, y, and the x of the mean and of the ends of its interval,
    None where there is none."""

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
    drawn = rows.dropna(subset=[RANKING])
    if drawn.empty:
        return None
    left, right = 14 + 7.2 * drawn["label"].str.len().max(), width - 62
    place = lambda value: round(left + (right - left) * float(np.clip(value, 0, 1)), 1)  # noqa: E731
    end = lambda value: None if np.isnan(value) else place(value)  # noqa: E731
    dots = tuple(
        Dot(
            label=row["label"],
            kind=row["kind"],
            text=number(row[RANKING]),
            y=14 + step * i,
            x=place(row[RANKING]),
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
