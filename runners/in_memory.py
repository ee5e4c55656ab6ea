"""Tasks of a suite that no other process can make, since it holds what was read from a file."""

from __future__ import annotations

from cdnbench.errors import BenchError
from cdnbench.runners.samples import write_samples
from cdnbench.runners.scratch import new_folder, why
from cdnbench.runners.task_maker import Made, TaskMaker
from cdnbench.runners.worker import task_record
from cdnbench.suite import TaskSpec


class LocalTaskMaker(TaskMaker):
    """Makes tasks in the run's own process, one at a time."""

    def _make(self, spec: TaskSpec) -> Made:
        suite = self._plan.suite
        try:
            labelled = suite.load(spec)
            folder = new_folder(self._scratch)
            checksums = write_samples(folder, labelled.task)
        except BenchError as error:
            return Made(reason=str(error))
        except OSError as error:
            return Made(reason=why(error), outside=True)
        self._store.write_task(task_record(labelled, suite, spec))
        return Made(folder, checksums)
