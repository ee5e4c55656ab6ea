"""Tasks made ahead of the jobs that need them, by one process that lives as long as the run."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from cdnbench.runners import child
from cdnbench.runners.plan import Job
from cdnbench.runners.processes import Reaper, Worker
from cdnbench.store import Store
from cdnbench.suite import TaskSpec


class Preparer:
    """Makes each task once, when it is first asked for, and deletes its samples when its last job
    is done.

    A suite that fails, hangs or dies on a task costs the jobs of that task alone. Any number of
    threads may ask.
    """

    def __init__(
        self,
        suite: str,
        options: Mapping[str, Any],
        jobs: Sequence[Job],
        store: Store,
        scratch: Path,
        reaper: Reaper,
        timeout_s: float = 1800.0,
    ) -> None:
        self._suite, self._options, self._store, self._reaper = suite, dict(options), store, reaper
        self._scratch, self._timeout_s = scratch, timeout_s
        self._log = scratch / "suite.log"
        self._open = Counter(job.spec.hash for job in jobs)
        self._made: dict[str, Future[tuple[Path, str]]] = {}
        self._books = threading.Lock()  # over the two dictionaries
        self._making = threading.Lock()  # over the process
        self._worker: Worker | None = None
        self._stopped = False

    @property
    def log(self) -> Path:
        """What the suite printed."""
        return self._log

    def samples(self, spec: TaskSpec) -> tuple[Path, str]:
        """Where the task's samples are, and ""; or why they could not be made. Waits while they are
        being made."""
        with self._books:
            future = self._made.get(spec.hash)
            mine = future is None
            if future is None:
                future = self._made[spec.hash] = Future()
        if mine:
            # The folder's name says nothing: the task's hash is that of its answer in the store.
            folder = Path(tempfile.mkdtemp(dir=self._scratch))
            try:
                with self._making:
                    future.set_result((folder, self._make(spec, folder)))
            except BaseException as error:
                future.set_exception(error)
                raise
        return future.result()

    def done(self, spec: TaskSpec) -> None:
        """One job of the task is over."""
        with self._books:
            self._open[spec.hash] -= 1
            over = self._open[spec.hash] == 0
        if over:
            shutil.rmtree(self.samples(spec)[0], ignore_errors=True)

    def _make(self, spec: TaskSpec, folder: Path) -> str:
        if self._stopped:
            return "the run was stopped"
        if self._worker is None:
            self._worker = Worker(child.prepare, self._reaper)
        worker = self._worker
        worker.send(
            {
                "suite": self._suite,
                "options": self._options,
                "spec": spec,
                "folder": str(self._store.folder.resolve()),
                "scratch": str(folder),
                "log": str(self._log),
            }
        )
        waited = 0.0
        while not worker.wait(0.25):
            waited += 0.25
            if self._stopped or waited > self._timeout_s:
                self._end_worker()
                return f"the suite gave no task within {self._timeout_s:g} s"
        answer = worker.receive()
        if answer is None:  # it closed the connection
            code = worker.exit_code()
            self._end_worker()
            return f"the suite's process ended with code {code} while it made the task"
        return answer

    def stop(self) -> None:
        """End the process; also while it is at work."""
        self._stopped = True
        with self._making:
            self._end_worker()

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None
