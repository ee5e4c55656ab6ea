"""Which methods `fused` has as members: every set of up to four untrained graded methods, on the
development sets alone.

    python benchmarks/fused_members.py docs/results/store/real

It reads stored scores and runs nothing. Candidates have no weights, are fitted to nothing, finish
every perturbed task of the development sets, and are graded: no `random`, and no reading that only
puts variables into two groups. The best set has the largest mean over data sets of the share found
first; among sets that agree to three digits there, of the mean rank of the target. Among sets that
agree in both, fewer members win.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from cdnbench.archive import find_stores
from cdnbench.design import BEFORE
from cdnbench.method import label
from cdnbench.methods.fused import ranks_from_the_top
from cdnbench.metrics import evaluate
from cdnbench.record import JobRecord, Status
from cdnbench.reports.read import about, load

SETS = ("papalexi", "hill", "sachs", "sahin", "pasilla", "petshop")
"""The development sets: choices may be made on them, and figures on them are no test."""
MOST_MEMBERS = 4
NOT_GRADED = ("random", "fused")
FEWEST_LEVELS = 3
"""A reading with fewer different scores in every regime only groups variables."""


@dataclass
class Cases:
    """The perturbed tasks of one data set: targets and candidates (R, N), and by method the
    reciprocal ranks (R, N), 0 where it cannot say."""

    targets: dict[str, np.ndarray] = field(default_factory=dict)
    candidates: dict[str, np.ndarray] = field(default_factory=dict)
    votes: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


def read(folder: Path) -> dict[str, Cases]:
    """The cases of every development set."""
    found = {name: Cases() for name in SETS}
    levels: dict[str, int] = {}
    for one in load(find_stores(folder)).loaded:
        record, task = one.record, one.task
        if one.superseded or task is None or not isinstance(record, JobRecord):
            continue
        facts = about(task)
        name = facts.get("source")
        if name not in found or facts.get("kind") != "perturbed":
            continue
        cases = found[name]
        cases.targets[task.name] = task.truth.targets
        cases.candidates[task.name] = task.candidates
        learnt = record.trained_on or record.design or record.fit or record.method in BEFORE
        if record.status != Status.ok or record.parameters or learnt:
            continue
        if record.method in NOT_GRADED or record.seed:
            continue
        for variant, scores in one.store.scores(record.key).items():
            reading = label(record.method, variant, record.variants)
            votes = 1 / ranks_from_the_top(scores)
            cases.votes.setdefault(reading, {})[task.name] = np.nan_to_num(votes)
            here = max(len(np.unique(row[~np.isnan(row)])) for row in scores)
            levels[reading] = max(here, levels.get(reading, 0))
    for cases in found.values():
        cases.votes = {r: v for r, v in cases.votes.items() if levels[r] >= FEWEST_LEVELS}
    return found


def candidates(found: dict[str, Cases]) -> list[str]:
    """The readings that finished every task of every set."""
    whole = [
        {reading for reading, votes in cases.votes.items() if votes.keys() == cases.targets.keys()}
        for cases in found.values()
    ]
    return sorted(set.intersection(*whole))


@dataclass(frozen=True)
class Merit:
    """first: data set -> share found first. rank: data set -> mean rank of the target."""

    members: tuple[str, ...]
    first: dict[str, float]
    rank: dict[str, float]

    @property
    def mean_first(self) -> float:
        return float(np.mean(list(self.first.values())))

    @property
    def mean_rank(self) -> float:
        return float(np.mean(list(self.rank.values())))

    @property
    def order(self) -> tuple[float, float, int]:
        """The best has the smallest."""
        return -round(self.mean_first, 3), -round(self.mean_rank, 3), len(self.members)


def merit(members: Sequence[str], found: dict[str, Cases]) -> Merit:
    """Of the sum of the members' reciprocal ranks, as `fused` makes it."""
    first, rank = {}, {}
    for name, cases in found.items():
        values: dict[str, list[np.ndarray]] = {"recall_at_1": [], "rank": []}
        for task, targets in cases.targets.items():
            total = np.sum([cases.votes[member][task] for member in members], axis=0)
            scores = np.where(total > 0, total, np.nan)
            measured = evaluate(scores, targets, cases.candidates[task])
            for metric, kept in values.items():
                kept.append(measured[metric])
        first[name], rank[name] = (
            float(np.nanmean(np.concatenate(values[metric]))) for metric in values
        )
    return Merit(tuple(members), first, rank)


def subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for size in range(1, MOST_MEMBERS + 1):
        yield from combinations(names, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path, help="stored results of the suite real")
    parser.add_argument("--show", type=int, default=10, help="how many sets to print")
    arguments = parser.parse_args()
    found = read(arguments.folder)
    if empty := [name for name, cases in found.items() if not cases.targets]:
        parser.error(f"{arguments.folder} has no results on {', '.join(empty)}")
    names = candidates(found)
    print(f"{len(names)} candidates: {', '.join(names)}")
    merits = sorted((merit(chosen, found) for chosen in subsets(names)), key=lambda m: m.order)
    print(f"{len(merits)} sets\n\nfirst  rank   {'  '.join(SETS)}  members")
    for one in merits[: arguments.show]:
        each = "  ".join(f"{one.first[name]:{len(name)}.3f}" for name in SETS)
        print(f"{one.mean_first:.3f}  {one.mean_rank:.3f}  {each}  {', '.join(one.members)}")


if __name__ == "__main__":
    main()
