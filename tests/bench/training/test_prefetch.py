"""Batches made ahead of time are those that would be made on the spot."""

from functools import partial
from itertools import islice

import torch

from cdnbench.datasets.synthetic.training import Laws
from cdnbench.training.mechanism import mechanism_batch
from cdnbench.training.prefetch import prefetched

TINY = Laws(sizes=((5, 6),), rows=((30, 40),), regimes=(1, 2))


def contents(stream, how_many: int) -> list:
    return [
        (b.reading.moments, b.reading.quantiles, b.targets, b.adjacency, b.known)
        for b in islice(stream, how_many)
    ]


def test_workers_make_the_same_batches_in_the_same_order():
    make = partial(mechanism_batch, TINY, 0, 100)
    here, there = prefetched(make, 0)(3), prefetched(make, 1)(3)
    for mine, theirs in zip(contents(here, 4), contents(there, 4), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    pool = there.gi_frame.f_locals["pool"]
    processes = list(pool._processes.values())
    assert processes and all(p.is_alive() for p in processes)
    there.close()
    assert not any(p.is_alive() for p in processes)


def test_without_workers_a_batch_is_made_when_it_is_asked_for():
    made = []
    stream = prefetched(lambda step: made.append(step) or step, 0)(7)
    assert made == [] and list(islice(stream, 3)) == [7, 8, 9] and made == [7, 8, 9]
