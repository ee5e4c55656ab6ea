"""Tasks made ahead of the jobs that need them, by one process that lives as long as the run."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from cdnbench.runners import messages, worker
from cdnbench.runners.endings import how_it_ended
from cdnbench.runners.places import Log
from cdnbench.runners.plan import Job, Plan
from cdnbench.runners.processes import Reaper, ServerDied, Worker
from cdnbench.runners.reaper import remove_tree
from cdnbench.runners.samples import Changed, Given, copy_samples
from cdnbench.runners.scratch import new_folder, why
from cdnbench.runners.sealed import Sealer
from cdnbench.store import Store
from cdnbench.suite import TaskSpec

TIMEOUT_S = 1800.0
"""What making one task may take."""

ATTEMPTS = 3
"""How often a task is made anew because jobs change its samples."""


@dataclass(frozen=True)
class Made:
    """Where a task's samples lie: in a sealed file, or in a folder with checksums of its files.

    sealed: the descriptor. folder: None if there is none. reason: why there are no samples, or "".
    outside: as in `Outcome`.
    """

    folder: Path | None = None
    checksums: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    outside: bool = False
    sealed: int | None = None


class TaskMaker:
    """Makes each task once, when it is first asked for, and stores its record.

    The samples are deleted when the task's last job is done. A suite that fails, hangs or dies on a
    task costs the jobs of that task alone. Any number of threads may ask.
    """

    def __init__(
        self, plan: Plan, jobs: Sequence[Job], store: Store, scratch: Path, reaper: Reaper
    ) -> None:
        self._plan, self._store, self._scratch, self._reaper = plan, store, scratch, reaper
        self.log = Log(scratch)
        self._sealer = Sealer()
        self._open = Counter(job.spec.hash for job in jobs)
        self._made: dict[str, Future[Made]] = {}
        self._books = threading.Lock()  # over the two dictionaries
        self._making = threading.Lock()  # over the process
        self._process: Worker | None = None
        self._stopped = False

    def make(self, spec: TaskSpec) -> Made:
        """The task's samples. Waits while another thread makes them."""
        return self._future(spec).result()

    def give(self, spec: TaskSpec, into: Path) -> Given:
        """The samples for one job: sealed, or else copied to the folder `into`. They are made anew
        if a job has changed them.

        Raises
        ------
        OSError: the copy cannot be written, or the samples are changed again and again.
        """
        for _ in range(ATTEMPTS):
            future = self._future(spec)
            made = future.result()
            if made.sealed is not None:
                return made.sealed
            if made.folder is None or made.reason:
                raise OSError(made.reason)
            try:
                copy_samples(made.folder, made.checksums, into)
            except Changed:
                with self._books:
                    if self._made.get(spec.hash) is future:
                        del self._made[spec.hash]
                remove_tree(str(made.folder))
            else:
                return made.checksums
        raise OSError(f"other jobs changed the task's samples {ATTEMPTS} times")

    def done(self, spec: TaskSpec) -> None:
        """Tell that one job of the task is over."""
        with self._books:
            self._open[spec.hash] -= 1
            over = self._made.get(spec.hash) if self._open[spec.hash] == 0 else None
        if over is None or over.exception() is not None:
            return
        made = over.result()
        if made.sealed is not None:
            self._sealer.forget(made.sealed)
        elif made.folder:
            remove_tree(str(made.folder))

    def expect(self, spec: TaskSpec) -> None:
        """Tell that one more job of the task is to come, though all might have been over."""
        with self._books:
            if not self._open[spec.hash]:
                self._made.pop(spec.hash, None)  # the samples are gone
            self._open[spec.hash] += 1

    def stop(self) -> None:
        """End the process, also while it is at work."""
        self._stopped = True
        with self._making:
            self._end_process()

    def forget(self) -> None:
        """Give up the samples of tasks whose jobs were not all begun. To be called after `stop`,
        when no job is under way: it might hand on a descriptor that means another file by then."""
        self._sealer.close()

    def _future(self, spec: TaskSpec) -> Future[Made]:
        with self._books:
            future = self._made.get(spec.hash)
            if future is not None:
                return future
            future = self._made[spec.hash] = Future()
        try:
            with self._making:
                future.set_result(self._make(spec))
        except BaseException as error:
            future.set_exception(error)
            raise
        return future

    def _make(self, spec: TaskSpec) -> Made:
        """Make a task. A process that dies may have been killed: a fresh one tries once more."""
        ended = ""
        for _ in range(2):
            try:
                # The folder's name says nothing: the task's hash is that of its answer in the
                # store.
                folder = new_folder(self._scratch)
            except OSError as error:
                return Made(reason=why(error), outside=True)
            answer = self._answer(spec, folder)
            if isinstance(answer, str):
                return Made(folder, reason=answer)
            if isinstance(answer, messages.TaskMade):
                if answer.record is not None:
                    self._store.write_task(answer.record)
                return self._kept(folder, answer)
            assert self._process is not None
            try:
                ended = how_it_ended(self._process.exit_code())
            except ServerDied:
                ended = "ended with the fork server"
            self._end_process()
            remove_tree(str(folder))
        return Made(reason=f"the suite's process {ended}, both times", outside=True)

    def _kept(self, folder: Path, answer: messages.TaskMade) -> Made:
        """What was made, in a sealed file if that can be had."""
        if not answer.reason:
            with contextlib.suppress(Changed):  # which is told when it is copied
                sealed = self._sealer.seal(folder, answer.checksums)
                if sealed is not None:
                    remove_tree(str(folder))
                    return Made(sealed=sealed)
        return Made(folder, answer.checksums, answer.reason, answer.outside)

    def _answer(self, spec: TaskSpec, folder: Path) -> messages.Answer | str | None:
        """What the process answers: None if it died, and words if it was ended."""
        if self._stopped:
            return "the run was stopped"
        if self._process is None:
            self._process = Worker(worker.make_tasks, self._reaper)
        process, plan = self._process, self._plan
        process.send(
            messages.MakeTask(
                plan.suite_name, dict(plan.options), spec, str(folder), str(self.log.path)
            )
        )
        waited = 0.0
        while not process.wait(0.25):
            waited += 0.25
            if self._stopped or waited > TIMEOUT_S:
                self._end_process()
                return f"the suite gave no task within {TIMEOUT_S:g} s"
        return process.receive()

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None
