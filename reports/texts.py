"""Tables kept as text beside the stores that they come from, and whether they still agree."""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console

from cdnbench.files import write_atomically
from cdnbench.reports.report import Report

TEXTS: Mapping[str, str] = {
    "leaderboards": "leaderboard",
    **{
        name: name
        for name in (
            *("table1", "table2", "table4", "table5", "table6", "table9", "table10", "table11"),
            *("agreement", "distribution", "provenance", "real", "strata"),
        )
    },
}
"""Name of the file, without its end -> table."""
OF_VARIANTS: Mapping[str, str] = {"table7": "table7", "table8": "table8"}
"""The same of tables on variants of a network, whose stores lie apart: a leaderboard of methods
should not rank them."""
_SHOWN = 12
"""Lines of a difference that are shown."""


def text(report: Report, name: str) -> str:
    """The table as `bench report --table NAME` prints it where there is no terminal."""
    out = io.StringIO()
    report.show(Console(file=out, force_terminal=False), name)
    return out.getvalue().rstrip() + "\n"


def write(report: Report, folder: Path, texts: Mapping[str, str] = TEXTS) -> list[Path]:
    """Write every text, and return the files that changed."""
    changed = []
    for name, table in texts.items():
        path, made = folder / f"{name}.txt", text(report, table)
        if not path.exists() or path.read_text(encoding="utf-8") != made:
            write_atomically(path, made.encode())
            changed.append(path)
    return changed


def differences(report: Report, folder: Path, texts: Mapping[str, str] = TEXTS) -> Iterator[str]:
    """What is wrong with each text that does not equal its table, in words."""
    for name, table in texts.items():
        path = folder / f"{name}.txt"
        if not path.exists():
            yield f"{path} does not exist."
            continue
        stored, made = (
            path.read_text(encoding="utf-8").splitlines(),
            text(report, table).splitlines(),
        )
        if stored != made:
            found = difflib.unified_diff(stored, made, "text", "store", n=0, lineterm="")
            lines = [line for _, line in zip(range(_SHOWN), found, strict=False)]
            yield "\n".join([f"{path} does not equal the table {table} of the stores:", *lines])
