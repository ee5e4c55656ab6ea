"""Jobs and fits that compute on a GPU: what they need, and the threads that run them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from cdnbench.loaded import LoadedMethod
from cdnbench.runners.devices import Lease, SlotQueue, Slots, Waiting
from cdnbench.runners.gpus import CONTEXT_MB
from cdnbench.runners.packing import ordered
from cdnbench.runners.plan import Fit, Job

CUDA = "cuda"


def on_gpu(method: LoadedMethod) -> bool:
    """Whether the method computes on a GPU."""
    return method.device == CUDA


def why_no_gpu(method: LoadedMethod, slots: Slots) -> str | None:
    """Why the method cannot run on this machine, or None."""
    if not on_gpu(method) or slots.gpus:
        return None
    if method.info.devices == (CUDA,):
        return f"{method.info.name} needs a GPU, and this run has none"
    return f"{method.info.name}:device=cuda needs a GPU, and this run has none; use device=cpu"


def waiting_batch(jobs: Sequence[Job], run: Callable[[Lease], None]) -> Waiting:
    """Jobs that run in one process, as the queue takes them."""
    need = jobs[0].method.info.gpu_memory_mb
    return Waiting(
        CONTEXT_MB + sum(float(need(job.spec)) for job in jobs),
        sum(job.timeout_s for job in jobs),
        run,
        after=jobs[0].fit.key if jobs[0].fit else "",
    )


def waiting_fit(fit: Fit, run: Callable[[Lease], None]) -> Waiting:
    """A fit, as the queue takes it. Others wait for it, so it counts as long."""
    return Waiting(CONTEXT_MB + fit.method.info.fit_gpu_memory_mb, fit.timeout_s, run, fit=fit.key)


@contextlib.contextmanager
def beside(slots: Slots, waiting: Sequence[Waiting], stop: threading.Event) -> Iterator[SlotQueue]:
    """Runs what waits for GPUs in threads of its own, while the block runs and until all is done.

    stop: set where a thread fails or the block does, so that everything else ends as well. What the
    thread raised is then raised here.
    """
    queue = SlotQueue(slots, [*_fits_first(waiting, slots)])
    n_threads = min(slots.number, len(waiting))
    if not n_threads:
        yield queue
        return

    def ended(thread: Future) -> None:
        if thread.exception() is not None:
            stop.set()
            queue.stop()

    with ThreadPoolExecutor(n_threads, thread_name_prefix="gpu") as pool:
        threads = [pool.submit(queue.work) for _ in range(n_threads)]
        for thread in threads:
            thread.add_done_callback(ended)
        try:
            yield queue
            for thread in threads:
                thread.result()
        except BaseException:
            stop.set()
            queue.stop()
            raise


def _fits_first(waiting: Sequence[Waiting], slots: Slots) -> list[Waiting]:
    fits = [one for one in waiting if one.fit]
    return [*ordered(fits, slots), *ordered([one for one in waiting if not one.fit], slots)]
