"""Damaged files against every reader: each is read, or refused with an error of the project.

The table says, for each reader, how many inputs there were, how many were read, how many refused,
and how many failed: with a traceback, a signal, or no answer within a minute. The inputs are those
of tests/promises.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path

SUMMARY = "damaged files of every kind: read or refused, never a traceback, signal or hang"
NUMBER = 10_000
PROMISES = Path(__file__).resolve().parents[2] / "tests" / "promises"


def main(number: int, seed: int) -> str:
    """The table of `number` inputs over all readers; failures go to standard error at once."""
    sys.path.insert(0, str(PROMISES))
    from samples_of_files import READERS
    from trial import Trial, place

    counts = {name: Counter[str]() for name in READERS}
    with Trial() as trial:
        for i in range(number):
            name = list(READERS)[i % len(READERS)]
            rng = random.Random(f"{seed}/{i}")
            outcome = trial.of(name, lambda folder, name=name, rng=rng: place(name, folder, rng))
            counts[name][outcome.kind] += 1
            if outcome.kind == "failed":
                print(f"FAILED {name!r} {i}\n{outcome.text}", file=sys.stderr, flush=True)
    width = max(map(len, READERS))
    lines = [f"{'reader':<{width}}  inputs    read  refused  failures"]
    for name, found in [*counts.items(), ("all", sum(counts.values(), Counter[str]()))]:
        lines.append(
            f"{name:<{width}}  {found.total():>6}  {found['read']:>6}  {found['refused']:>7}  "
            f"{found['failed']:>8}"
        )
    return "\n".join(lines)
