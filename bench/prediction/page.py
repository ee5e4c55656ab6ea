"""A result as one page that stands alone: nothing is loaded from elsewhere, light and dark."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import cdnbench
from cdnbench.prediction import drawing
from cdnbench.prediction.result import Finding, Result
from cdnbench.prediction.text import short_verdict

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
MOST_IN_FULL = 200
"""Perturbations with pictures: those with the smallest p-values."""
MOST_IN_TABLE = 3000
_CANDIDATES = 10
_SETTINGS = {
    "data": "file",
    "perturbation": "column of perturbations",
    "control": "controls",
    "group": "groups",
    "where": "rows that",
    "layer": "layer",
    "methods": "methods",
    "fdr": "false discovery rate",
    "candidates": "candidates per perturbation",
    "seed": "seed",
}


@dataclass(frozen=True)
class Row:
    """A line of the table. number: of the perturbation, for the link to its pictures."""

    finding: Finding
    number: int
    verdict: str
    linked: bool


@dataclass(frozen=True)
class Part:
    """A method on a perturbation, with its pictures and its first candidates."""

    finding: Finding
    scatter: drawing.Scatter | None
    strip: drawing.Strip | None
    candidates: tuple[dict[str, Any], ...]
    n_more: int


@dataclass(frozen=True)
class Section:
    """A perturbation."""

    number: int
    name: str
    verdict: str
    agreement: str
    parts: tuple[Part, ...]


def page(result: Result) -> str:
    """The whole page."""
    of_each = _of_each(result)
    full = _in_full(of_each)
    number = {key: i for i, key in enumerate(of_each)}
    rows = [
        Row(f, number[key], short_verdict(f), key in full)
        for key, findings in of_each.items()
        for f in findings
    ]
    firsts = [findings[0] for findings in of_each.values()]
    kinds = [f.verdict for f in firsts if f.verdict]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            version=cdnbench.__version__,
            made=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0"),
            n=len(of_each),
            counts=[(kind, kinds.count(kind)) for kind in dict.fromkeys(kinds)],
            notes=result.notes,
            settings=_settings(result),
            map=drawing.heat_map(firsts),
            rows=rows[:MOST_IN_TABLE],
            n_rows=len(rows),
            has=_columns(result),
            sections=[
                _section(number[key], findings, result.agreements.get(key, ""))
                for key, findings in full.items()
            ],
        )
    )


def fragment(result: Result, most: int = 20) -> str:
    """The table for a notebook: HTML without a page around it."""
    rows = [Row(f, 0, short_verdict(f), False) for f in result.findings]
    return (
        _environment()
        .get_template("fragment.html.j2")
        .render(rows=rows[:most], n_rows=len(rows), has=_columns(result), notes=result.notes)
    )


def write_page(result: Result, path: Path) -> None:
    """Write the page, so that the file appears whole. A link stays (`cdnbench.files.output`)."""
    from cdnbench.files import output

    content = page(result).encode("utf-8")
    with output(Path(path)) as file:
        file.write(content)


def _of_each(result: Result) -> dict[tuple[str, str], list[Finding]]:
    found: dict[tuple[str, str], list[Finding]] = {}
    for f in result.findings:
        found.setdefault((f.perturbation, f.group), []).append(f)
    return found


def _in_full(of_each: dict[tuple[str, str], list[Finding]]) -> dict[tuple[str, str], list[Finding]]:
    """Those with pictures, the smallest p-value first."""

    def p(key: tuple[str, str]) -> float:
        value = of_each[key][0].p
        return 1.0 if value is None or value != value else value

    return {key: of_each[key] for key in sorted(of_each, key=p)[:MOST_IN_FULL]}


def _columns(result: Result) -> dict[str, bool]:
    """Which columns say something."""
    some = result.findings
    return {
        "group": any(f.group for f in some),
        "method": len({f.method for f in some}) > 1,
        "q": any(f.q is not None for f in some),
        "probability": any(f.probability is not None for f in some),
        "verdict": any(f.verdict for f in some),
    }


def _settings(result: Result) -> list[tuple[str, str]]:
    found = []
    for name, words in _SETTINGS.items():
        value = result.settings.get(name, "")
        value = Path(value).name if name == "data" else value
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        if text:
            found.append((words, text))
    return found


def _section(number: int, findings: list[Finding], agreement: str) -> Section:
    return Section(
        number,
        findings[0].name,
        short_verdict(findings[0]),
        agreement,
        tuple(_part(f) for f in findings),
    )


def _part(finding: Finding) -> Part:
    first = () if finding.failed else range(min(_CANDIDATES, len(finding.variables)))
    rank = finding.rank if not finding.failed else np.empty(0)
    candidates = tuple(
        {
            "rank": f"{rank[i]:g}",
            "variable": str(finding.variables[i]),
            "score": number_text(finding.scores[i], ".3g"),
            "probability": ""
            if finding.probability is None
            else number_text(finding.probability[i], ".2f"),
            "change": number_text(finding.log_fold_change[i], "+.2f"),
        }
        for i in first
    )
    return Part(
        finding,
        drawing.scatter(finding),
        drawing.strip(finding),
        candidates,
        len(finding.variables) - len(candidates),
    )


def number_text(value: float | None, form: str) -> str:
    """The number as text; "" where there is none."""
    return "" if value is None or value != value else format(value, form)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["number"] = number_text
    return made
