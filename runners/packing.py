"""The order in which jobs are put on GPUs, so that the last one ends early.

Finding the best order is hard (it is bin packing with time), so it is searched for: jobs that take
up most of a machine first, and then random changes of that order, of which those are kept that do
not make the simulated run longer.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

import numpy as np

from cdnbench.digest import generator
from cdnbench.runners.devices import Slots, Waiting

TRIES = 100
MOST = 80
"""Jobs up to which the search pays: with more of them, small ones fill the gaps anyway."""


def ordered(waiting: Sequence[Waiting], slots: Slots) -> list[Waiting]:
    """The jobs in the order in which to start them. It is the same each time."""
    if not waiting or not slots.gpus:
        return list(waiting)
    weights = np.log([max(_weight(one, slots), 1e-9) for one in waiting])
    best = _sorted(waiting, weights)
    if len(waiting) > MOST or len(waiting) <= len(slots.gpus):
        return best
    least, rng = makespan(best, slots), generator("order of jobs on GPUs")
    for _ in range(TRIES):
        moved = rng.random(len(waiting)) < 0.15
        tried = weights + rng.normal(size=len(waiting)) * moved
        order = _sorted(waiting, tried)
        took = makespan(order, slots)
        if took <= least:
            best, least, weights = order, took, tried
    return best


def makespan(order: Sequence[Waiting], slots: Slots) -> float:
    """When the last job ends if each takes its `seconds`. Fits are not waited for."""
    books, waiting, now, count = slots.empty(), list(order), 0.0, itertools.count()
    running: list = []
    while waiting or running:
        left = []
        for one in waiting:
            slot = books.slot(one.need_mb) if len(running) < books.number else None
            if slot is None:
                left.append(one)
                continue
            books.take(slot)
            heapq.heappush(running, (now + one.seconds, next(count), slot))
        waiting = left
        now, _, slot = heapq.heappop(running)
        books.give_back(slot)
    return now


def _weight(one: Waiting, slots: Slots) -> float:
    """The share of a GPU that it takes, in memory or in slots, times the time."""
    return one.seconds * max(one.need_mb / max(slots.largest_mb, 1.0), 1 / slots.jobs_per_gpu)


def _sorted(waiting: Sequence[Waiting], weights: np.ndarray) -> list[Waiting]:
    return [waiting[i] for i in np.argsort(-weights, kind="stable")]
