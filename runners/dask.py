"""Runs a plan on the workers of a dask scheduler: `bench run --executor dask`.

The jobs are dealt into parts. A worker runs a part as `bench run --shard @FILE` in a process of its
own, so that limits, clocks and records are those of a run on one machine, and sends back the folder
of results as bytes, which is merged into the store. Workers share no disk: what has been trained is
sent along with the parts that need it.

If a worker dies, dask gives its part to another one. A worker on which `bench` cannot carry out the
command (no data, another version) is not asked again. The others take its parts.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cdnbench.errors import BenchError
from cdnbench.merging import merge
from cdnbench.record import Status
from cdnbench.runners.claims import Claims
from cdnbench.runners.job_records import has_other_code
from cdnbench.runners.parts import Reply, Request, pack, run_part, unpack
from cdnbench.runners.plan import Fit, Job
from cdnbench.runners.run import Run
from cdnbench.store import Store

PARTS_PER_THREAD = 3
"""Into how many parts the jobs are dealt for each thread of the workers: few, since each starts a
fork server, and some, so that no worker waits long for the last one."""

FIRST_WORKER_S = 600.0
"""How long to wait for the first worker: batch systems have queues."""


@dataclass
class DaskRun:
    """Carries out a planned run on the workers of a scheduler.

    arguments: those of `bench run` that make the same plan, without the folder and the shard.
    scheduler: its address; "" for workers on this machine, `n_local` of them.
    """

    planned: Run
    arguments: Sequence[str]
    scheduler: str = ""
    n_local: int = 1
    on_note: Callable[[str], None] = lambda note: None
    _unfit: dict[str, str] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def execute(self) -> int:
        """Run what the store lacks; how many jobs that was.

        Raises
        ------
        BenchError: no scheduler or worker is there, no worker can carry out a part, or a part took
            several workers with it. What came back before is in the store.
        """
        planned, store = self.planned, self.planned.store.create()
        if not planned.todo and not planned.fits:
            return 0
        with contextlib.ExitStack() as stack:
            stack.callback(store.close)
            claims = stack.enter_context(Claims(store.folder))
            todo = [job for job in planned.todo if claims.take(job.key)]
            if others := len(planned.todo) - len(todo):
                self.on_note(f"{others} jobs are left to other runs on this folder")
            client = stack.enter_context(self._client())
            self._wait_for_workers(client)
            missing = [fit for fit in planned.fits if self._is_missing(fit)]
            self._carry_out(client, [Request(tuple(self.arguments), (fit.key,)) for fit in missing])
            self._carry_out(client, list(self._requests(client, todo)))
        return len(todo)

    def _is_missing(self, fit: Fit) -> bool:
        mode, record = self.planned.mode, self.planned.store.fit(fit.key)
        if record is None or mode.fresh:
            return True
        if mode.update and has_other_code(record, fit.method):
            return True
        return record.status != Status.ok and (record.outside or mode.retry)

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            from distributed import Client, LocalCluster
        except ImportError:
            raise BenchError(
                "--executor dask needs dask.distributed: pip install 'cdnbench[dask]'."
            ) from None
        with contextlib.ExitStack() as stack:
            address: Any = self.scheduler
            if not address:
                without: Any = None  # a page on the state of the workers
                address = stack.enter_context(
                    LocalCluster(
                        n_workers=self.n_local,
                        threads_per_worker=1,
                        dashboard_address=without,
                        local_directory=tempfile.gettempdir(),
                    )
                )
            try:
                client = Client(address, timeout=30, set_as_default=False)
            except (OSError, ValueError, TimeoutError) as error:
                raise BenchError(
                    f"No dask scheduler answers at {self.scheduler} ({error}). Start one with "
                    "`dask scheduler`, and name the address that it prints with --scheduler."
                ) from None
            yield stack.enter_context(client)

    def _wait_for_workers(self, client: Any) -> None:
        try:
            client.wait_for_workers(1, timeout=FIRST_WORKER_S)
        except TimeoutError:
            raise BenchError(
                f"No worker has joined the dask scheduler within {FIRST_WORKER_S:g} s. Start some "
                "with `dask worker ADDRESS`."
            ) from None

    def _requests(self, client: Any, todo: Sequence[Job]) -> Iterator[Request]:
        """The jobs dealt into parts, with what they need that has been trained."""
        n_threads = max(1, sum(client.nthreads().values()))
        packed: dict[tuple[str, ...], bytes] = {}
        for jobs in dealt(self.planned.plan.batches(todo), PARTS_PER_THREAD * n_threads):
            fits = tuple(sorted({job.fit.key for job in jobs if job.fit}))
            if fits not in packed:
                packed[fits] = self._fits_of(fits)
            keys = tuple(job.key for job in jobs)
            yield Request(tuple(self.arguments), keys, packed[fits])

    def _fits_of(self, keys: Sequence[str]) -> bytes:
        """A packed folder with these fits."""
        store = self.planned.store
        records = [record for key in keys if (record := store.fit(key)) is not None]
        if not records:
            return b""
        with tempfile.TemporaryDirectory(prefix="cdnbench-fits-") as folder:
            part = Store(Path(folder)).create()
            for record in records:
                path = store.model_path(record.key)
                part.write_fit(replace(record, log=""), path if path.exists() else None)
            part.close()
            self._told.update(keys)  # they come back with the jobs
            return pack(part.folder)

    def _carry_out(self, client: Any, requests: Sequence[Request]) -> None:
        """Run the parts and merge what comes back, in any order."""
        from distributed import as_completed

        if not requests:
            return
        failures: list[str] = []
        open_: dict[Any, Request] = {}
        for request in requests:
            if (future := self._submitted(client, request)) is None:
                failures.append(_nobody(request))
            else:
                open_[future] = request
        coming = as_completed(open_, loop=client.loop)
        try:
            for future in coming:
                request = open_.pop(future)
                if future.status in ("pending", "lost"):
                    # Its worker died with the reply; the scheduler gives the part to another.
                    open_[future] = request
                    coming.add(future)
                    continue
                if future.status != "finished":
                    failures.append(f"{_n_jobs(request)}: {_why(future)}")
                    continue
                reply: Reply = future.result()
                if not reply.refused:
                    self._take(reply)
                    continue
                self._refused(reply)
                again = self._submitted(client, request)
                if again is None:
                    failures.append(_nobody(request))
                else:
                    open_[again] = request
                    coming.add(again)
        finally:
            client.cancel(list(open_))
        if failures:
            said = [f"{worker} said: {words}" for worker, words in self._unfit.items()]
            raise BenchError(
                "\n".join(
                    [
                        "Some jobs were not run. Those that were are in "
                        f"{self.planned.store.folder}, and the same command goes on from there.",
                        *failures,
                        *said,
                    ]
                )
            )

    def _submitted(self, client: Any, request: Request) -> Any:
        """The future of a part, on a worker that has not refused one; None if there is none."""
        where: dict[str, Any] = {}
        if self._unfit:
            fit = [worker for worker in client.nthreads() if worker not in self._unfit]
            if not fit:
                return None
            where = {"workers": fit}
        return client.submit(run_part, request, pure=False, **where)

    def _refused(self, reply: Reply) -> None:
        if reply.worker not in self._unfit:
            self._unfit[reply.worker] = reply.refused
            self.on_note(f"worker {reply.worker} cannot run this: {reply.refused}")

    def _take(self, reply: Reply) -> None:
        """Merge the results of a part, and tell of each."""
        store = self.planned.store
        with tempfile.TemporaryDirectory(prefix="cdnbench-part-") as folder:
            unpack(reply.store, Path(folder))
            part = Store(Path(folder))
            for note in merge([part], store).notes:
                self.on_note(note)
            for record in part.records():
                if record.key not in self._told:
                    self._told.add(record.key)
                    self.planned.on_record(record)


def dealt(batches: Sequence[Sequence[Job]], most: int) -> list[list[Job]]:
    """The jobs in at most so many parts of about one size. Batches stay whole, and so do the jobs
    of a task where there are enough tasks, since every part that has one makes it anew."""
    tasks: dict[str, list[Job]] = {}
    for batch in batches:
        tasks.setdefault(batch[0].spec.hash, []).extend(batch)
    groups = list(tasks.values()) if len(tasks) >= most else batches
    n_parts = min(len(groups), most)
    return [[job for group in groups[i::n_parts] for job in group] for i in range(n_parts)]


def _n_jobs(request: Request) -> str:
    n = len(request.keys)
    return "1 job or fit" if n == 1 else f"{n} jobs"


def _nobody(request: Request) -> str:
    return f"{_n_jobs(request)}: no worker can run them"


def _why(future: Any) -> str:
    """Why a part has no reply."""
    if future.status == "cancelled":
        return "the connection to the scheduler was lost"
    error = future.exception()
    if type(error).__name__ == "KilledWorker":
        return "each worker that was given them died"
    return f"{type(error).__name__}: {error}"
