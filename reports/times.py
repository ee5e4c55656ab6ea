"""Times that may share a column or an axis: of one kind of machine, all taken in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

MACHINE = ("host", "device", "threads")
"""What makes times of two jobs comparable."""
ALONE, BESIDE = "timed alone", "timed beside other jobs"
"""ALONE: the median of warm calls, by `bench run --timing`. BESIDE: the first call, in a run that
may have had other jobs."""
BUSY = 1.5
"""A load average above this says that the machine did something else while a job was timed alone:
the job itself makes a load of 1, and an idle system little more than nothing."""


@dataclass(frozen=True, eq=False)
class Times:
    """The times of one block of readings.

    seconds: (readings,) NaN for what did not finish and for what ran on another machine.
    machine: whose times these are, in words; "" if nothing finished. timed: `ALONE` or `BESIDE`.
    beside: labels whose times are `BESIDE` although `timed` is `ALONE`.
    busy: label -> the highest load average above `BUSY` at which it was timed alone.
    elsewhere: label -> the machines, in words, of what finished on other machines alone.
    """

    seconds: pd.Series
    machine: str
    timed: str
    elsewhere: dict[str, str]
    beside: tuple[str, ...] = ()
    busy: Mapping[str, float] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return self.machine.rsplit(", ", 2)[0]

    @property
    def conditions(self) -> str:
        """For the label of an axis, without the host: `cpu, 1 thread, timed alone`."""
        *_, device, threads = self.machine.rsplit(", ", 2)
        timed = f"some {ALONE}, some beside other jobs" if self.beside else self.timed
        return f"{device}, {threads}, {timed}"

    @property
    def caveats(self) -> tuple[str, ...]:
        """Sentences on times that are longer than they would be on an idle machine."""
        beside = f"First calls, {BESIDE}: {', '.join(self.beside)}." if self.beside else ""
        return tuple(note for note in (beside, busy_note(self.busy)) if note)

    def note(self, what: str) -> str:
        """Which machine the times are of and who has none for that reason, "" if all are of one.

        what: "s/task", say.
        """
        if not self.elsewhere:
            return ""
        told = [
            f"{', '.join(label for label, own in self.elsewhere.items() if own == other)} ({other})"
            for other in dict.fromkeys(self.elsewhere.values())
        ]
        return (
            f"{what}: on {self.machine}. Left out are times on other machines, of "
            f"{'; '.join(told)}: `--table table9` has a block for each machine."
        )


def comparable(jobs: pd.DataFrame, readings: pd.DataFrame, each: bool = False) -> Times:
    """Times of the machine on which most of the jobs finished.

    They are those that were timed alone where each label has some, and otherwise the wall times
    of the runs.

    jobs: as in `Results`. readings: some of its readings, with `job`, `label`, `status`, `wall_s`.
    each: take what was timed alone for each label that has some, whatever others have.
    """
    done = readings[(readings["status"] == "ok") & readings["wall_s"].notna()]
    own = jobs.loc[done["job"], [*MACHINE, "wall_s_single", "load_average"]].set_axis(done.index)
    own = own.assign(label=done["label"].astype(str), wall_s=done["wall_s"].astype(float))
    seconds = pd.Series(np.nan, index=readings.index)
    if own.empty:
        return Times(seconds, "", BESIDE, {})
    names = machines(own)
    counts = names[~done["job"].duplicated()].value_counts()
    machine = min(counts.index, key=lambda name: (-counts[name], name))
    here = own[names == machine]
    there = names[~own["label"].isin(set(here["label"]))]
    elsewhere = {
        str(label): " and ".join(sorted(set(found)))
        for label, found in there.groupby(own["label"].reindex(there.index))
    }
    alone = here["wall_s_single"].notna()
    has = alone.groupby(here["label"]).any()
    if has.all() or (each and has.any()):
        whole = here["label"].map(has).astype(bool)
        seconds[here.index] = here["wall_s_single"].where(whole, here["wall_s"]).astype(float)
        beside = tuple(map(str, has.index[~has.astype(bool)]))
        load = here[alone].groupby("label")["load_average"].max()
        busy = {str(label): float(value) for label, value in load.items() if value > BUSY}
        return Times(seconds, machine, ALONE, elsewhere, beside, busy)
    seconds[here.index] = here["wall_s"]
    return Times(seconds, machine, BESIDE, elsewhere)


def busy_note(busy: Mapping[str, float]) -> str:
    """Who was timed alone on a machine that was busy, "" if nobody.

    busy: label -> load average.
    """
    if not busy:
        return ""
    return (
        f"Timed while the machine was busy (load average up to {max(busy.values()):.1f}; the job "
        f"itself is 1 of it), so longer than alone: {', '.join(busy)}."
    )


def machines(jobs: pd.DataFrame) -> pd.Series:
    """The machine of each job in words: `Linux x86_64, AMD EPYC, 2 cores, cpu, 1 thread`."""
    parts = jobs[list(MACHINE)].drop_duplicates()
    words = {
        (host, device, threads): machine_in_words(host, device, int(threads))
        for host, device, threads in parts.itertuples(index=False)
    }
    keys = zip(*(jobs[name] for name in MACHINE), strict=True)
    return pd.Series([words[key] for key in keys], index=jobs.index, dtype=object)


def machine_in_words(host: str, device: str, threads: int) -> str:
    """`Linux x86_64, AMD EPYC, 2 cores, cpu, 1 thread`."""
    return f"{host}, {device}, {'1 thread' if threads == 1 else f'{threads} threads'}"
