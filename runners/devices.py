"""GPUs of this machine, and the queue of jobs that wait for a slot on one.

A GPU has a number of slots (`--jobs-per-gpu`) and an amount of memory. A job takes one slot and as
much memory as its method says that it needs, so that the jobs on one GPU never need more together
than it has. A job that ran out of memory is run again with a GPU to itself.

`Slots` decides and keeps the books, and knows nothing of time or threads. `SlotQueue` lets threads
wait for its decisions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Gpu:
    """One GPU. name: how `CUDA_VISIBLE_DEVICES` calls it. memory_mb: what is free on it."""

    name: str
    memory_mb: float


@dataclass(frozen=True)
class Slot:
    """A place for one job. need_mb: the memory that is set aside for it. share_mb: what it may
    take; None for all there is."""

    gpu: Gpu
    need_mb: float
    share_mb: float | None = None


@dataclass(frozen=True, eq=False)
class Waiting:
    """Something that waits for a slot.

    need_mb: GPU memory. seconds: how long it may take; only the order depends on it. run: what to
    do with the slot. after: key of the fit that has to be made before, or "". fit: key of the fit
    that this is itself, or "".
    """

    need_mb: float
    seconds: float
    run: Callable[[Lease], None] = field(default=lambda lease: None, repr=False)
    after: str = ""
    fit: str = ""


class Slots:
    """The slots of a machine's GPUs, and which of them are taken.

    jobs_per_gpu: how many jobs one GPU takes at once.
    """

    def __init__(self, gpus: Sequence[Gpu] = (), jobs_per_gpu: int = 1) -> None:
        self.gpus, self.jobs_per_gpu = tuple(gpus), jobs_per_gpu
        self._used_mb = dict.fromkeys(self.gpus, 0.0)
        self._jobs = dict.fromkeys(self.gpus, 0)
        self.largest_mb = max((gpu.memory_mb for gpu in self.gpus), default=0.0)

    def empty(self) -> Slots:
        """The same GPUs with nothing on them."""
        return Slots(self.gpus, self.jobs_per_gpu)

    @property
    def number(self) -> int:
        """How many jobs can be on GPUs at once."""
        return len(self.gpus) * self.jobs_per_gpu

    def used_mb(self, gpu: Gpu) -> float:
        """What is set aside for the jobs on a GPU."""
        return self._used_mb[gpu]

    def choose(self, waiting: Iterable[Waiting]) -> tuple[Waiting, Slot] | None:
        """The first that fits somewhere now, and where; None if nothing does."""
        if all(n >= self.jobs_per_gpu for n in self._jobs.values()):
            return None
        for one in waiting:
            slot = self.slot(one.need_mb)
            if slot is not None:
                return one, slot
        return None

    def slot(self, need_mb: float) -> Slot | None:
        """A slot for a job that needs so much memory; None if there is none now.

        It is on the GPU on which it leaves the least memory free. A job that needs more than any
        GPU has gets the largest to itself: what methods say of their memory is an estimate.
        """
        if need_mb > self.largest_mb:
            return self.whole()
        best, least = None, float("inf")
        for gpu, used_mb in self._used_mb.items():
            left = gpu.memory_mb - used_mb - need_mb
            if 0 <= left < least and self._jobs[gpu] < self.jobs_per_gpu:
                best, least = gpu, left
        if best is None:
            return None
        return Slot(best, need_mb, need_mb if self.jobs_per_gpu > 1 else None)

    def whole(self) -> Slot | None:
        """All of a GPU, the largest that is idle; None if none is."""
        idle = [gpu for gpu, n in self._jobs.items() if not n]
        if not idle:
            return None
        gpu = max(idle, key=lambda one: one.memory_mb)
        return Slot(gpu, gpu.memory_mb)

    def take(self, slot: Slot) -> None:
        self._used_mb[slot.gpu] += slot.need_mb
        self._jobs[slot.gpu] += 1

    def give_back(self, slot: Slot) -> None:
        self._jobs[slot.gpu] -= 1
        self._used_mb[slot.gpu] = (
            self._used_mb[slot.gpu] - slot.need_mb if self._jobs[slot.gpu] else 0.0
        )


class SlotQueue:
    """What waits for slots, for any number of threads that run it.

    What needs a fit waits until that is made. A thread that asks for a whole GPU gets the next one
    that is idle: nothing else starts before, so that it does not wait for ever.
    """

    def __init__(self, slots: Slots, waiting: Iterable[Waiting] = ()) -> None:
        self.slots = slots
        self._waiting = list(waiting)  # started in this order, as far as they fit
        self._fits = {one.fit for one in self._waiting if one.fit}
        self._wanting_all = 0
        self._stopped = False
        self._changed = threading.Condition()

    def work(self) -> None:
        """Run what waits until nothing is left, or until `stop`. Each thread calls it once."""
        while (found := self._next()) is not None:
            one, lease = found
            try:
                one.run(lease)
            finally:
                with self._changed:
                    self._fits.discard(one.fit)
                    self._release(lease)

    def stop(self) -> None:
        """Start nothing more, and let go those who wait for a whole GPU."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def whole(self) -> Lease:
        """All of one GPU, as soon as one is idle.

        Raises
        ------
        Stopped: `stop` was called meanwhile.
        """
        lease = Lease(self, None)
        lease.widen()
        return lease

    def _next(self) -> tuple[Waiting, Lease] | None:
        with self._changed:
            while self._waiting and not self._stopped:
                ready = (one for one in self._waiting if one.after not in self._fits)
                found = None if self._wanting_all else self.slots.choose(ready)
                if found is not None:
                    one, slot = found
                    self._waiting.remove(one)
                    self.slots.take(slot)
                    return one, Lease(self, slot)
                self._changed.wait()
            return None

    def _release(self, lease: Lease) -> None:
        with self._changed:
            if lease.slot is not None:
                self.slots.give_back(lease.slot)
                lease.slot = None
            self._changed.notify_all()

    def _widen(self, lease: Lease) -> None:
        with self._changed:
            self._release(lease)
            self._wanting_all += 1
            try:
                while (slot := self.slots.whole()) is None and not self._stopped:
                    self._changed.wait()
            finally:
                self._wanting_all -= 1
                self._changed.notify_all()
            if slot is None:
                raise Stopped
            self.slots.take(slot)
            lease.slot = slot


class Stopped(Exception):
    """The run was told to stop while a thread waited for a GPU."""


@dataclass
class Lease:
    """A slot that a thread holds. slot: None while it waits for another, and after it was given
    back."""

    queue: SlotQueue
    slot: Slot | None

    def widen(self) -> None:
        """Give the slot back, and wait for all of a GPU.

        Raises
        ------
        Stopped: the queue was stopped meanwhile.
        """
        self.queue._widen(self)

    def release(self) -> None:
        self.queue._release(self)
