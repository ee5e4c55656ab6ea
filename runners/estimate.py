"""How long a run will take, from the records of earlier ones."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cdnbench.digest import digest
from cdnbench.record import FitRecord, Record, Status
from cdnbench.runners.plan import Job
from cdnbench.runners.timing import n_repeats, repeats_s

OVERHEAD_S = 0.1
"""Per job: its process, and its task (`benchmarks/runner_overhead.py`)."""


class HasRecords(Protocol):
    """A store or an archive."""

    def records(self) -> Iterable[Record]: ...


@dataclass(frozen=True)
class Estimate:
    """seconds: of jobs and trainings one after the other, on the machines of the records.

    jobs: how many that covers. unknown: method -> jobs without any record of the method on the
    suite. untimed_fits: method -> trainings without a record; these are not in `seconds`.
    elsewhere: method -> jobs whose seconds are those of other settings of the suite.
    """

    seconds: float
    jobs: int
    unknown: Mapping[str, int]
    untimed_fits: Mapping[str, int]
    elsewhere: Mapping[str, int] = field(default_factory=dict)

    def told(self, at_once: int) -> str:
        """`at least 3 minutes, by earlier records; not counted, for want of records: 2 jobs of
        gears, 1 training of mlp (...)`. at_once: how many jobs run at once."""
        missing = _counted("job", self.unknown) + _counted("training", self.untimed_fits)
        text = "no estimate of the time"
        if self.jobs:
            about = "at least" if missing else "about"
            text = f"{about} {in_words(self.seconds / max(1, at_once))}, by earlier records"
        if self.elsewhere:
            jobs = ", ".join(_counted("job", self.elsewhere))
            text += f"; taken from other settings, which may be far off: {jobs}"
        if missing:
            text += f"; not counted, for want of records: {', '.join(missing)}"
        return f"{text} ({_WHY_UNTIMED})" if self.untimed_fits else text


_WHY_UNTIMED = (
    "training may take longer than all else, and older compacted stores keep no times of it"
)


def _counted(what: str, numbers: Mapping[str, int]) -> list[str]:
    """{"mlp": 2} -> `2 jobs of mlp`."""
    return [f"{n} {what}{'s' if n > 1 else ''} of {name}" for name, n in numbers.items()]


@dataclass
class History:
    """Seconds of finished jobs and fits, by what they are likely to depend on."""

    _jobs: dict[tuple[str, ...], list[float]] = field(default_factory=dict)
    _fits: dict[tuple[str, ...], list[float]] = field(default_factory=dict)

    def add(self, store: HasRecords) -> None:
        """Read the records of a store; those without a time say nothing."""
        for record in store.records():
            if record.status != Status.ok or record.wall_s is None:
                continue
            if isinstance(record, FitRecord):
                key = record.suite, record.method
                self._fits.setdefault(key, []).append(record.wall_s)
                continue
            for key in _keys(record.suite, record.method, record.metadata, record.setting):
                self._jobs.setdefault(key, []).append(record.wall_s)

    def estimate(
        self, suite: str, setting: Iterable[str], todo: Iterable[Job], *, timing: bool = False
    ) -> Estimate:
        """Of the jobs of a plan that are still to be run. timing: each call is repeated."""
        setting = tuple(setting)
        seconds, known = 0.0, 0
        unknown: Counter[str] = Counter()
        elsewhere: Counter[str] = Counter()
        fits: dict[str, str] = {}
        for job in todo:
            if job.skip:
                continue
            method = job.method.info.name
            keys = _keys(suite, method, job.spec.metadata, setting)
            found = next((self._jobs[key] for key in keys if key in self._jobs), None)
            if found is None:
                unknown[method] += 1
            else:
                once = statistics.median(found)
                again = n_repeats(once, repeats_s(job.timeout_s)) if timing else 0
                seconds += once * (1 + again) + OVERHEAD_S
                known += 1
                elsewhere[method] += keys[0] not in self._jobs
            if job.fit:
                fits[job.fit.key] = method
        untimed: Counter[str] = Counter()
        for method in fits.values():
            times = self._fits.get((suite, method))
            if times is None:
                untimed[method] += 1
            else:
                seconds += statistics.median(times)
        return Estimate(seconds, known, unknown, untimed, +elsewhere)


def _keys(
    suite: str, method: str, metadata: Mapping[str, Any], setting: Iterable[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The method in this setting, and on the suite: the first that has times is used."""
    return (suite, method, digest([str(metadata.get(n)) for n in setting])), (suite, method)


def in_words(seconds: float) -> str:
    """`40 seconds`, `12 minutes`, `3.5 hours`."""
    if seconds < 90:
        return f"{max(2, round(seconds))} seconds"
    if seconds < 5400:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"
