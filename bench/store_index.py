"""What the lines of a store add up to: the last record of each job and fit, and the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cdnbench.printable import printable, printable_values
from cdnbench.record import (
    JobRecord,
    NotARecord,
    Provenance,
    Record,
    TaskRecord,
    provenance_of,
    record_of,
)
from cdnbench.segments import Stored

TASK, PROVENANCE = "task", "provenance"
"""Kinds of lines beside those of records."""
_OWN = ("key", "stored_at", "started_at", "reason", "log", "arrays", "facts")
"""Fields whose values are hardly ever those of another record."""
_MOST_S = 1e11
"""A time that no clock will tell for some thousand years."""


@dataclass(slots=True)
class Entry:
    """A record, when it was stored, and where its arrays are: None if in the older form."""

    record: Record
    at: float
    stored: Stored | None


@dataclass
class Index:
    """entries: by the keys of jobs and fits. tasks: hash -> JSON values, and where arrays are."""

    entries: dict[str, Entry] = field(default_factory=dict)
    tasks: dict[str, tuple[Mapping[str, Any], Stored]] = field(default_factory=dict)
    _provenance: dict[str, Provenance] = field(default_factory=dict)
    _first: dict[str, Any] = field(default_factory=dict)

    def add(self, record: Record, at: float = 0.0, stored: Stored | None = None) -> None:
        """Add a record, which counts unless a later one is there."""
        before = self.entries.get(record.key)
        if before is None or at >= before.at:
            self.entries[record.key] = Entry(printable_record(record), at, stored)

    def take(self, values: dict[str, Any]) -> None:
        """Add what a line holds.

        Raises
        ------
        NotARecord: it is nothing that a store writes.
        """
        try:
            self._take(values)
        except NotARecord:
            raise
        except _WRONG as error:
            raise NotARecord(f"{type(error).__name__}: {error}") from None

    def _take(self, values: dict[str, Any]) -> None:
        kind, at = values.get("kind"), float(values.get("stored_at", 0.0))
        if not 0 <= at < _MOST_S:
            raise NotARecord(f"it was stored at {at} s")
        stored = Stored.of_plain(values["arrays"]) if "arrays" in values else None
        if kind == PROVENANCE:
            self._provenance[values["id"]] = provenance_of(values)
        elif kind == TASK:
            if stored is None:
                raise NotARecord("it is a task without arrays")
            TaskRecord.check(values)
            self.tasks[values["hash"]] = values, stored
        else:
            values["provenance"] = self._provenance.get(values.get("provenance", ""))
            self.add(record_of(self._shared(values)), at, stored)

    def _shared(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a record. Those that are equal to an earlier record's are the same objects,
        since the jobs of a task or of a method repeat one another."""
        return {
            name: self._first.setdefault(repr(value), value)
            if isinstance(value, str | dict) and name not in _OWN
            else value
            for name, value in values.items()
        }


def printable_record(record: Record) -> Record:
    """The record with words that can be printed, whoever wrote it."""
    words: dict[str, Any] = {"reason": printable(record.reason)}
    if isinstance(record, JobRecord):
        words["note"] = printable(record.note)
        words["task"] = printable(record.task)
        for name in ("facts", "metadata"):
            if values := getattr(record, name):
                words[name] = printable_values(values)
    if all(getattr(record, name) == value for name, value in words.items()):
        return record
    return replace(record, **words)


_WRONG = (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError)
