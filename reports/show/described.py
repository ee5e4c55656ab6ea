"""A section per method and per suite of a page: what it is, how it was run, how it failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cdnbench.record import FitRecord
from cdnbench.reports import about
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.logs import log_end
from cdnbench.reports.table import seconds

_LOG_LINES = 12
"""The last lines of a log that are shown."""
LOG_CHARACTERS = 2000
"""No more than so many characters of them are shown."""
_FAILURES = 12
"""Ways to fail that are shown of one method."""
_SUPERVISED = {
    "no": "none",
    "pretrained": "weights from a file",
    "required": "on the suite's tasks",
}


@dataclass(frozen=True)
class Failure:
    """One way in which jobs ended, and the end of the first log of them that is at hand."""

    text: str
    log: str = ""


@dataclass(frozen=True)
class Described:
    """facts: (name, value) pairs in the order of the page."""

    name: str
    facts: tuple[tuple[str, str], ...]
    failures: tuple[Failure, ...] = ()
    deviations: str = ""
    text: str = ""


def methods(results: Results) -> list[Described]:
    """All methods that current jobs or fits name, in alphabetical order."""
    current = results.jobs[~results.jobs["superseded"]]
    return [_method(results, str(name), own) for name, own in current.groupby("method", sort=True)]


def suites(results: Results) -> list[Described]:
    """All suites that current readings name, in alphabetical order."""
    readings = results.readings[results.readings["method"] != CEILING]
    groups = readings.groupby("suite", sort=True, observed=True)
    return [_suite(results, str(name), own) for name, own in groups]


def _method(results: Results, name: str, jobs: pd.DataFrame) -> Described:
    known = about.method(name)
    declared = known.declared if known else {}
    fits = jobs[jobs["kind"] == FitRecord.kind]
    facts = [
        ("what it is", declared.get("summary", "") or _unknown("method", known)),
        ("paper", declared.get("citation", "")),
        ("reference", declared.get("reference", "")),
        ("licence", declared.get("licence", "")),
        ("training", _SUPERVISED.get(declared.get("supervised", "no"), "")),
        ("trained on", "; ".join(_told(jobs["trained_on"]))),
        ("design", ", ".join(_values(jobs["design"]))),
        ("knowledge", "; ".join(_told(jobs["knowledge"]))),
        ("fits", _fits(fits)),
        ("parameters", "; ".join(_told(jobs["parameters"])) or "defaults"),
        ("version", ", ".join(_values(jobs["method_version"]))),
        ("jobs", "; ".join(_counts(jobs[jobs["kind"] != FitRecord.kind]))),
        ("notes", " ".join(_values(jobs["note"])[:5])),
    ]
    return Described(
        name=name,
        facts=tuple((what, value) for what, value in facts if value),
        failures=tuple(_failures(results, jobs)),
        deviations=known.deviations if known else "",
        text=known.text if known else "",
    )


def _suite(results: Results, name: str, readings: pd.DataFrame) -> Described:
    known = about.suite(name)
    declared = known.declared if known else {}
    tasks = readings.drop_duplicates([*results.factors.names, "task"])
    settings = tasks.drop_duplicates(["setting", "dataset"]).groupby("setting", observed=True)
    told = [f"{setting or 'one setting'}: {len(own)} datasets" for setting, own in settings]
    facts = [
        ("what it is", declared.get("summary", "") or _unknown("suite", known)),
        ("source", declared.get("citation", "")),
        ("tasks", str(len(tasks))),
        ("variables", _range(tasks["n_variables"])),
        ("regimes per task", _range(tasks["n_regimes"])),
        *(
            (factor, ", ".join(values))
            for factor in results.factors.names[1:]
            if (values := _values(tasks[factor]))
        ),
        ("methods", str(readings["label"].nunique())),
        ("settings", "; ".join(told[:60])),
    ]
    return Described(
        name=name,
        facts=tuple((what, value) for what, value in facts if value),
        text=known.text if known else "",
    )


def _unknown(kind: str, known: about.About | None) -> str:
    if known is None:
        return f"This installation has no {kind} of this name, so there is no description."
    return "It has no summary."


def _fits(fits: pd.DataFrame) -> str:
    if fits.empty:
        return ""
    statuses = ", ".join(f"{n} {status}" for status, n in fits["status"].value_counts().items())
    return f"{statuses}; median {seconds(fits['wall_s'].median())} s"


def _counts(jobs: pd.DataFrame) -> Iterator[str]:
    for suite, own in jobs.groupby("suite", sort=True):
        counts = own["status"].value_counts()
        yield f"{suite}: " + ", ".join(f"{n} {status}" for status, n in counts.items())


def _failures(results: Results, jobs: pd.DataFrame) -> Iterator[Failure]:
    failed = jobs[jobs["status"] != "ok"]
    groups = list(failed.groupby(["suite", "kind", "status", "reason"], sort=True))
    for (suite, kind, status, reason), own in groups[:_FAILURES]:
        what = "fits" if kind == FitRecord.kind else "jobs"
        first = f" (first: {own['task'].iloc[0]})" if own["task"].iloc[0] else ""
        yield Failure(f"{suite}: {len(own)} {what} {status}{first}: {reason}", _log(results, own))
    if len(groups) > _FAILURES:
        yield Failure(f"{len(groups) - _FAILURES} more reasons are in the CSV of the jobs.")


def _log(results: Results, jobs: pd.DataFrame) -> str:
    """The end of the first log that can be read; committed stores hold none."""
    for row, name in jobs["log"].items():
        if not name or not results.folders:
            continue
        if end := log_end(Path(results.folders[int(row)]), str(name), _LOG_LINES):
            return end[-LOG_CHARACTERS:]
    return ""


def _told(texts: pd.Series) -> list[str]:
    """`depth=4, runs=5` for every JSON mapping that is not empty."""
    found = [json.loads(text) for text in dict.fromkeys(texts.dropna())]
    return [", ".join(f"{k}={v}" for k, v in each.items()) for each in found if each]


def _values(values: pd.Series) -> list[str]:
    texts = dict.fromkeys(str(value) for value in values.dropna())
    return [text for text in texts if text not in ("", "None", "nan")]


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"
