"""Damaged files against every reader: each is read, or refused with an error of the project.

    python benchmarks/trust_readers.py 10000

prints, for each reader, how many inputs there were, how many were read, how many refused, and how
many failed: with a traceback, a signal, or no answer within a minute. The inputs are those of
tests/promises; `--show READER SEED` places one in a folder and reads it here.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

PROMISES = Path(__file__).resolve().parents[1] / "tests" / "promises"
sys.path.insert(0, str(PROMISES))


def main(number: int = 10_000) -> int:
    """Print the table. Returns how many inputs failed.

    number: of inputs over all readers.
    """
    from samples_of_files import READERS
    from trial import Trial, place

    counts = {name: Counter[str]() for name in READERS}
    failures = []
    with Trial() as trial:
        for i in range(number):
            name = list(READERS)[i % len(READERS)]
            rng = random.Random(i)
            outcome = trial.of(name, lambda folder, name=name, rng=rng: place(name, folder, rng))
            counts[name][outcome.kind] += 1
            if outcome.kind == "failed":
                failures.append((name, i, outcome.text))
                print(f"FAILED {name!r} {i}\n{outcome.text}", file=sys.stderr, flush=True)
    width = max(map(len, READERS))
    print(f"{'reader':<{width}}  inputs    read  refused  failures")
    total = Counter[str]()
    for name, found in [*counts.items(), ("all", total)]:
        total.update(found if name != "all" else {})
        print(
            f"{name:<{width}}  {found.total():>6}  {found['read']:>6}  {found['refused']:>7}  "
            f"{found['failed']:>8}"
        )
    return len(failures)


def show(name: str, seed: int) -> None:
    """Read one input here."""
    from samples_of_files import READERS
    from trial import reproduce

    path = reproduce(name, seed, Path(tempfile.mkdtemp()))
    print(path)
    print(READERS[name].read(path))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--show"]:
        show(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(bool(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)))
