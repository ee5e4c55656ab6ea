"""Times that may share a column or an axis: of one kind of machine, all taken in the same way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

MACHINE = ("host", "device", "threads")
"""What makes times of two jobs comparable."""
ALONE, BESIDE = "timed alone", "timed beside other jobs"
"""ALONE: by `bench run --timing`. BESIDE: the first call, in a run that may have had other jobs."""


@dataclass(frozen=True, eq=False)
class Times:
    """The times of one block of readings.

    seconds: (readings,) NaN for what did not finish and for what ran on another machine.
    machine: whose times these are, in words; "" if nothing finished. timed: `ALONE` or `BESIDE`.
    elsewhere: label -> the machines, in words, of what finished on other machines alone.
    """

    seconds: pd.Series
    machine: str
    timed: str
    elsewhere: dict[str, str]

    @property
    def host(self) -> str:
        return self.machine.rsplit(", ", 2)[0]

    @property
    def conditions(self) -> str:
        """For the label of an axis, without the host: `cpu, 1 thread, timed alone`."""
        *_, device, threads = self.machine.rsplit(", ", 2)
        return f"{device}, {threads}, {self.timed}"

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


def comparable(jobs: pd.DataFrame, readings: pd.DataFrame) -> Times:
    """Times of the machine on which most of the jobs finished.

    They are those that were timed alone where each label has some, and otherwise the wall times
    of the runs.

    jobs: as in `Results`. readings: some of its readings, with `job`, `label`, `status`, `wall_s`.
    """
    done = readings[(readings["status"] == "ok") & readings["wall_s"].notna()]
    own = jobs.loc[done["job"], [*MACHINE, "wall_s_single"]].set_axis(done.index)
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
    if bool(alone.groupby(here["label"]).any().all()):
        seconds[here.index] = here["wall_s_single"].astype(float)
        return Times(seconds, machine, ALONE, elsewhere)
    seconds[here.index] = here["wall_s"]
    return Times(seconds, machine, BESIDE, elsewhere)


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
