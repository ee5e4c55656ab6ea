"""What failed jobs printed, once for all that ended in the same way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cdnbench.files import check_folders, opened_file
from cdnbench.printable import printable
from cdnbench.record import JobRecord, Record
from cdnbench.reports.frame import Readable
from cdnbench.reports.labels import job_label

_VARYING = re.compile(r"0x[0-9a-fA-F]+|/\S*/(?=[\w.-]+)|\d+(\.\d+)?(e[-+]?\d+)?")
"""Addresses, folders and numbers, which differ between jobs that failed alike."""


@dataclass(frozen=True)
class Ending:
    """One way to fail.

    method: label of the method. status, reason: those of the first job. tasks: names of the tasks,
    "" for a fit. end: the last lines that the first job printed, "" if it printed nothing.
    log: path of its whole output, None if there is none.
    """

    method: str
    status: str
    reason: str
    tasks: tuple[str, ...]
    end: str
    log: Path | None

    def __str__(self) -> str:
        jobs = "1 job" if len(self.tasks) == 1 else f"{len(self.tasks)} jobs"
        named = [task or "a fit" for task in dict.fromkeys(self.tasks)]
        shown = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
        head = f"{self.method}: {self.status}: {self.reason}\n{jobs}: {shown}"
        if self.log is None:
            return f"{head}\nit printed nothing"
        if not self.end:
            return f"{head}\nthe log {self.log} is not there any more"
        indented = "\n".join(f"    {line}" for line in self.end.splitlines())
        return f"{head}\n{indented}\n    (all of it: {self.log})"


def endings(stores: Iterable[Readable], method: str = "", lines: int = 12) -> list[Ending]:
    """The ways in which jobs and fits failed, the most frequent first.

    method: its name or label; "" for every method. lines: of each job's output.
    """
    found: dict[tuple[str, str, str], list[tuple[str, str, Record, Path | None]]] = {}
    for store in stores:
        for record in _failed(store):
            label = job_label(record)
            if method and method not in (label, record.method):
                continue
            log = _inside(store.folder, record.log)
            end = log_end(store.folder, record.log, lines)
            alike = _VARYING.sub("#", end or record.reason)
            task = record.task if isinstance(record, JobRecord) else ""
            key = (label, str(record.status), alike)
            found.setdefault(key, []).append((task, end, record, log))
    groups = sorted(found.items(), key=lambda group: -len(group[1]))
    return [
        Ending(
            method=label,
            status=status,
            reason=members[0][2].reason,
            tasks=tuple(task for task, *_ in members),
            end=members[0][1],
            log=members[0][3],
        )
        for (label, status, _), members in groups
    ]


def _failed(store: Readable) -> Iterator[Record]:
    return (record for record in store.records() if record.failed)


def _inside(folder: Path, log: str) -> Path | None:
    """The path of a log that a record names; None for a name that leads out of the store."""
    path = Path(log)
    return folder / path if log and not path.is_absolute() and ".." not in path.parts else None


def log_end(folder: Path, name: str, lines: int) -> str:
    """The last lines of a log that a record names, "" where it cannot be read.

    Only the end of the file is read. Links are not followed, and names that lead out of the store
    are not read. Characters that are not printable are escaped.
    """
    log = _inside(folder, name)
    if log is None:
        return ""
    try:
        check_folders(folder, log)
        with opened_file(log) as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4000 - 400 * lines))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(printable(line) for line in _last(text.rstrip().splitlines(), lines))


def _last(printed: Sequence[str], lines: int) -> Sequence[str]:
    """The last lines, from the beginning of the last traceback on if that is nearer."""
    kept = printed[-lines:]
    starts = [i for i, line in enumerate(kept) if line.startswith("Traceback ")]
    return kept[starts[-1] :] if starts else kept
