"""What other runs on the same folder do of this run's jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from cdnbench.record import Status
from cdnbench.runners.claims import POLL_S, Claims
from cdnbench.runners.plan import Job
from cdnbench.store import Store


class Others:
    """Shares jobs with other runs. Any number of threads may use it.

    todo: this run's jobs, before the first is run. timing: whether they are done only once they are
    timed.
    """

    def __init__(self, claims: Claims, store: Store, todo: Sequence[Job], *, timing: bool) -> None:
        self._claims, self._store, self._timing = claims, store, timing
        self._at_start = {job.key: store.job(job.key) for job in todo}
        self._elsewhere: list[Job] = []
        self._books = threading.Lock()

    def claimed(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of the jobs that are this run's now. The others come back with `left`."""
        mine = [job for job in jobs if self._claims.take(job.key)]
        keys = {job.key for job in mine}
        with self._books:
            self._elsewhere += [job for job in jobs if job.key not in keys]
        return mine

    def release(self, job: Job) -> None:
        """Tell that this run is done with a job."""
        self._claims.release(job.key)

    def hold(self, job: Job) -> bool:
        """Whether another run is at a job."""
        return self._claims.held_elsewhere(job.key)

    def have_done(self, job: Job) -> bool:
        """Whether another run has stored a result since this one began."""
        record = self._store.job(job.key)
        if record is None or record is self._at_start[job.key] or not self._store.is_done(record):
            return False
        timed = record.status != Status.ok or record.wall_s_single is not None
        return timed or not self._timing

    def left(self, stop: threading.Event, on_wait: Callable[[int], None]) -> Iterator[list[Job]]:
        """Jobs that other runs had claimed, as soon as those are done with them or have died.

        stop: ends the waiting. on_wait: called once, with how many jobs are waited for.
        """
        told = False
        while self._elsewhere and not stop.is_set():
            with self._books:
                jobs, self._elsewhere = self._elsewhere, []
                held = {job.key for job in jobs if self.hold(job)}
                self._elsewhere += [job for job in jobs if job.key in held]
            if free := [job for job in jobs if job.key not in held]:
                yield free
                continue
            if not told:
                told = True
                on_wait(len(jobs))
            stop.wait(POLL_S)
