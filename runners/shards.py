"""Parts of a plan for several machines: `--shard 2/8`, `--shard fits`, `--shard @FILE`.

A job belongs to a shard by its key, whatever else is planned: machines that plan different methods
still never both leave a job out. Jobs that a method solves together stay together, and belong where
the first of them does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cdnbench.errors import BenchError, InvalidParameter
from cdnbench.runners.plan import Fit, Job, Plan

FITS = "fits"
_TAKES = (
    "--shard takes i/n with i from 1 to n, such as 2/8, or fits for what has to be trained, or "
    "@FILE with one key per line"
)


@dataclass(frozen=True)
class Shard:
    """A part of a plan.

    number, of: this one, from 1, of so many. keys: those of its jobs, where they are listed, and of
    what it trains beside what these jobs need. fits: whether it is what has to be trained for all
    jobs, and no job.
    """

    number: int = 1
    of: int = 1
    keys: frozenset[str] | None = None
    fits: bool = False

    @staticmethod
    def parse(text: str) -> Shard:
        """What `--shard` means.

        Raises
        ------
        InvalidParameter: it is none of the three forms. BenchError: the file cannot be read.
        """
        if text == FITS:
            return Shard(fits=True)
        if text.startswith("@"):
            return Shard(keys=_keys(Path(text[1:])))
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise InvalidParameter(f"{_TAKES}; got {text!r}.")
        return Shard(int(match[1]), int(match[2]))

    def fits_of(self, plan: Plan) -> list[Fit]:
        """What it trains for other shards."""
        every = {job.fit.key: job.fit for job in plan.jobs if job.fit and not job.skip}
        if self.fits:
            return list(every.values())
        return [fit for key, fit in every.items() if key in (self.keys or ())]

    def jobs(self, plan: Plan) -> list[Job]:
        """The jobs of the plan that belong to it, in the plan's order; none for `fits`.

        Raises
        ------
        BenchError: keys are listed that the plan does not have.
        """
        if self.fits:
            return []
        if self.keys is not None:
            found = [job for job in plan.jobs if job.key in self.keys]
            known = {job.key for job in found} | {fit.key for fit in self.fits_of(plan)}
            if missing := sorted(self.keys - known):
                raise BenchError(
                    f"{len(missing)} of the {len(self.keys)} keys of --shard are not in the plan "
                    f"that this machine makes: {', '.join(missing[:3])}"
                    f"{' and others' if len(missing) > 3 else ''}. Its version of the package, its "
                    "weights or its data differ from those of the machine that made the list, or "
                    "the other options do."
                )
            return found
        if self.of == 1:
            return list(plan.jobs)
        chosen = {
            job.key
            for batch in plan.batches(plan.jobs)
            if int(batch[0].key[:12], 16) % self.of == self.number - 1
            for job in batch
        }
        return [job for job in plan.jobs if job.key in chosen]


def _keys(path: Path) -> frozenset[str]:
    try:
        words: Sequence[str] = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"Cannot read the keys of --shard from {path}: {error}.") from None
    if not words:
        raise BenchError(f"--shard: {path} has no keys.")
    return frozenset(words)
