"""Tasks made ahead of the jobs that need them, by one process that lives as long as the run."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from cdnbench.runners import messages, worker
from cdnbench.runners.plan import Job, Plan
from cdnbench.runners.processes import Reaper, Worker
from cdnbench.store import Store
from cdnbench.suite import TaskSpec

TIMEOUT_S = 1800.0
"""What making one task may take."""


class TaskMaker:
    """Makes each task once, when it is first asked for, and stores its record.

    The samples are deleted when the task's last job is done. A suite that fails, hangs or dies on a
    task costs the jobs of that task alone. Any number of threads may ask.
    """

    def __init__(
        self, plan: Plan, jobs: Sequence[Job], store: Store, scratch: Path, reaper: Reaper
    ) -> None:
        self._plan, self._store, self._scratch, self._reaper = plan, store, scratch, reaper
        self.log = scratch / "suite.log"
        self._open = Counter(job.spec.hash for job in jobs)
        self._made: dict[str, Future[tuple[Path, str]]] = {}
        self._books = threading.Lock()  # over the two dictionaries
        self._making = threading.Lock()  # over the process
        self._process: Worker | None = None
        self._stopped = False

    def samples(self, spec: TaskSpec) -> tuple[Path, str]:
        """The folder of the task's samples and "", or the reason why they could not be made.

        Waits while another thread makes them.
        """
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
        """Tell that one job of the task is over."""
        with self._books:
            self._open[spec.hash] -= 1
            over = self._open[spec.hash] == 0
        if over:
            shutil.rmtree(self.samples(spec)[0], ignore_errors=True)

    def stop(self) -> None:
        """End the process, also while it is at work."""
        self._stopped = True
        with self._making:
            self._end_process()

    def _make(self, spec: TaskSpec, folder: Path) -> str:
        if self._stopped:
            return "the run was stopped"
        if self._process is None:
            self._process = Worker(worker.make_tasks, self._reaper)
        process, plan = self._process, self._plan
        process.send(
            messages.MakeTask(plan.suite_name, dict(plan.options), spec, str(folder), str(self.log))
        )
        waited = 0.0
        while not process.wait(0.25):
            waited += 0.25
            if self._stopped or waited > TIMEOUT_S:
                self._end_process()
                return f"the suite gave no task within {TIMEOUT_S:g} s"
        answer = process.receive()
        if not isinstance(answer, messages.TaskMade):  # it closed the connection
            code = process.exit_code()
            self._end_process()
            return f"the suite's process ended with code {code} while it made the task"
        if answer.record is not None:
            self._store.write_task(answer.record)
        return answer.reason

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None
