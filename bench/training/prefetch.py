"""Batches that other processes make ahead of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def prefetched(make: Callable[[int], Any], workers: int) -> Callable[[int], Iterator[Any]]:
    """A function from a first step to the endless stream of its batches, `make(start)`,
    `make(start + 1)` and so on.

    make: the batch of a step; it must be picklable where there are workers. workers: how many
    processes make batches ahead of time. With 0, each batch is made here when it is asked for.
    """

    def stream(start: int) -> Iterator[Any]:
        step = start
        if not workers:
            while True:
                yield make(step)
                step += 1
        pool = ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_one_thread
        )
        try:
            waiting = [pool.submit(make, step + ahead) for ahead in range(2 * workers)]
            while True:
                ready = waiting.pop(0).result()
                waiting.append(pool.submit(make, step + 2 * workers))
                step += 1
                yield ready
        finally:  # batches that nobody will ask for any more are not waited for
            pool.shutdown(cancel_futures=True)

    return stream


def _one_thread() -> None:
    """Leave the cores to the other workers and to the network, which has the threads of
    `--threads`."""
    import torch

    torch.set_num_threads(1)
