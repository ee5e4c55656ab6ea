"""What runs inside a forked process: making tasks, training a method, running it on tasks.

A worker knows neither the store nor the key of its result: it gets samples and sends scores.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import faulthandler
import json
import os
import re
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cdnbench.arrays import write_npz
from cdnbench.digest import plain
from cdnbench.errors import CannotRun
from cdnbench.method import Prediction
from cdnbench.printable import printable
from cdnbench.record import Status, TaskRecord
from cdnbench.registry import load_method, load_suite
from cdnbench.runners import gpu_memory, messages
from cdnbench.runners.checkpoints import FileCheckpoint
from cdnbench.runners.memory import Held, PeakMemory
from cdnbench.runners.memory_files import SHM, own_shared_memory
from cdnbench.runners.samples import Changed, take_samples, write_samples
from cdnbench.runners.scratch import why
from cdnbench.runners.sealed import open_sealed
from cdnbench.runners.timing import on_one_core, timed
from cdnbench.suite import LabelledTasks, Suite, TaskSpec, check_loaded
from cdnbench.truth import LabelledTask

Value = TypeVar("Value")

SHM_LIMITS = 2.0
"""Size of a job's own /dev/shm, as a multiple of its limit of memory (which ends it before)."""


def make_tasks(conn: Connection) -> None:
    """Answer `MakeTask` requests until the run closes the connection."""
    suites: dict[str, Suite] = {}
    printing = False
    while (request := _received(conn)) is not None:
        try:
            if not printing:
                _print_to(Path(request.log))
                printing = True
            name = json.dumps([request.suite, request.options], sort_keys=True)
            if name not in suites:
                suites[name] = load_suite(request.suite, **request.options)
            labelled = suites[name].load(request.spec)
            check_loaded(labelled, request.spec)
            checksums = write_samples(Path(request.samples), labelled.task)
            record = task_record(labelled, suites[name], request.spec)
            conn.send(messages.TaskMade(record, checksums))
        except Exception as error:
            _print(error)
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = why(error) if isinstance(error, OSError) and full else _line(error)
            conn.send(messages.TaskMade(reason=reason, outside=full))


def task_record(labelled: LabelledTask, suite: Suite, spec: TaskSpec) -> TaskRecord:
    """What the store keeps of a task."""
    return TaskRecord(
        hash=spec.hash,
        name=labelled.task.name,
        suite=suite.info.name,
        variables=tuple(labelled.task.variables),
        candidates=labelled.task.candidates,  # type: ignore[arg-type]
        truth=labelled.truth,
        metadata=dict(spec.metadata),
        setting=tuple(suite.info.setting),
        factors=dict(suite.info.factors),
    )


def predict(conn: Connection) -> None:
    """Run a method on the tasks of one `Predict` request.

    Sends `Started` when the method is about to be called, `Finished` for each task as it ends, and
    at last the `Costs`. `Broken` takes the place of the rest if the request as a whole fails.
    """
    request: messages.Predict | None = _received(conn)
    if request is None:
        return
    with _told(conn):
        sealed = [open_sealed(recv_handle(conn)) for given in request.samples if given is None]
        own_shm = own_shared_memory(SHM_LIMITS * request.memory_mb)
        gpu_memory.see(request.gpu)
        method = load_method(request.method, **_located(request.parameters))
        try:
            _work_in(request)
            model = _taken(request.model)
            tasks = [
                sealed.pop(0) if given is None else take_samples(Path(given[0]), given[1])
                for given in request.samples
            ]
        except (Changed, OSError) as error:
            conn.send(messages.Spoilt(_line(error)))
            return
        if model is not None:
            method = method.fitted(model)
        gpu_memory.limit(request.gpu_share_mb)
        conn.send(_started(own_shm))
        if request.repeat_s:
            on_one_core()
        clock = _Clock()
        results = clock.over(method.predict_batch(tasks, seeds=request.seeds))
        failed = False
        for index, result in results:
            if isinstance(result, Exception):
                failed = True
                conn.send(messages.Finished(index, *_failure(result)))
            else:
                conn.send(messages.Finished(index, Status.ok, prediction=_sendable(result)))
        costs = clock.costs()
        if request.repeat_s and not failed:
            again = lambda: list(method.predict_batch(tasks, seeds=request.seeds))  # noqa: E731
            costs = dataclasses.replace(costs, timing=timed(again, costs.wall_s, request.repeat_s))
        conn.send(costs)


def fit(conn: Connection) -> None:
    """Train a method as one `Fit` request says, and write its arrays. Answers as `predict` does."""
    request: messages.Fit | None = _received(conn)
    if request is None:
        return
    with _told(conn):
        own_shm = own_shared_memory(SHM_LIMITS * request.memory_mb)
        gpu_memory.see(request.gpu)
        method = load_method(request.method, **_located(request.parameters))
        suite = load_suite(request.suite, **request.options)
        tasks, resources = LabelledTasks(suite, request.specs), suite.resources
        _work_in(request)
        gpu_memory.limit(request.gpu_share_mb)
        clock = _Clock()
        saved = FileCheckpoint(
            Path(request.checkpoint),
            request.checkpoint_every_s,
            clock.spent,
            lambda: conn.send(messages.Saved()),
        )
        clock.add(*saved.spent_before)
        conn.send(_started(own_shm, saved.spent_before[0]))
        try:
            with clock:
                model = method.fit(tasks, seed=request.seed, resources=resources, checkpoint=saved)
            with open(request.model, "wb") as file:
                write_npz(file, model)
        except Exception as error:
            conn.send(messages.Finished(0, *_failure(error)))
        else:
            conn.send(messages.Finished(0, Status.ok))
        conn.send(dataclasses.replace(clock.costs(), hosts=saved.hosts))


def _started(own_shm: bool, spent_s: float = 0.0) -> messages.Started:
    held = Held.by("self")
    return messages.Started(held.resident, held.shared, own_shm, spent_s)


class _Clock:
    """Wall time, CPU time and peak memory of the code inside, and of nothing between."""

    def __init__(self) -> None:
        self._peak = PeakMemory()
        self._wall = self._cpu = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter(), _cpu_seconds()

    def __exit__(self, *error: object) -> None:
        self._wall, self._cpu = self.spent()

    def add(self, wall_s: float, cpu_s: float) -> None:
        """Count what was spent elsewhere as well."""
        self._wall += wall_s
        self._cpu += cpu_s

    def spent(self) -> tuple[float, float]:
        """Wall and CPU seconds so far, asked inside."""
        wall, cpu = self._began
        return self._wall + time.perf_counter() - wall, self._cpu + _cpu_seconds() - cpu

    def over(self, values: Iterator[Value]) -> Iterator[Value]:
        """The values, with only the making of each on the clock."""
        while True:
            with self:
                try:
                    value = next(values)
                except StopIteration:
                    return
            yield value

    def costs(self) -> messages.Costs:
        return messages.Costs(self._wall, self._cpu, self._peak.mb(), gpu_memory.peak_mb())


def _received(conn: Connection) -> Any:
    """The next request, or None once the run has closed the connection."""
    try:
        return conn.recv()
    except EOFError:
        return None


def _taken(model: str) -> dict[str, np.ndarray] | None:
    """The arrays in a file, which is removed; None if there is no file."""
    if not model:
        return None
    with np.load(model) as arrays:
        found = dict(arrays)
    os.unlink(model)
    return found


def _work_in(request: messages.Predict | messages.Fit) -> None:
    """Make the job's own folder the working folder and the one for temporary files."""
    _print_to(Path(request.log))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(request.folder)
    os.environ["TMPDIR"] = request.folder
    tempfile.tempdir = None


def _located(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that name a file say where it is from whatever folder.

    A text names a file where it has an ending and there is such a file. One that ends in
    .safetensors names weights in any case, and so does the parameter `file`.
    """
    return {
        name: str(Path(value).resolve())
        if isinstance(value, str)
        and (
            value.endswith(".safetensors")
            or (name == "file" and value)
            or (Path(value).suffix and Path(value).is_file())
        )
        else value
        for name, value in parameters.items()
    }


@contextlib.contextmanager
def _told(conn: Connection) -> Iterator[None]:
    """Sends what ends a request as a whole."""
    try:
        yield
    except BaseException as error:
        _print(error)
        conn.send(messages.Broken(*_status(error)))


def _sendable(prediction: Prediction) -> Prediction:
    """The prediction with plain values for facts: classes of the method's own do not travel."""
    facts = json.loads(json.dumps(dict(prediction.facts), default=plain))
    outputs = {variant: np.asarray(scores) for variant, scores in prediction.outputs.items()}
    return dataclasses.replace(prediction, outputs=outputs, facts=facts, note=str(prediction.note))


def _failure(error: Exception) -> tuple[Status, str, bool]:
    """Status and reason of a task that ended with an exception, and whether the GPU had no memory
    left."""
    if isinstance(error, CannotRun):
        return Status.skipped, str(error), False
    _print(error)
    return _status(error)


def _status(error: BaseException) -> tuple[Status, str, bool]:
    """What an exception that was not expected means."""
    if isinstance(error, MemoryError):
        return Status.oom, "MemoryError", False
    if gpu_memory.is_out_of_memory(error):
        return Status.oom, f"out of GPU memory: {_line(error)}", True
    return (Status.oom if _tells_of_memory(error) else Status.error), _line(error), False


def _tells_of_memory(error: BaseException) -> bool:
    """Whether a library says in its own way that it got no memory: numpy and Python raise
    MemoryError, the system's calls an OSError, torch a RuntimeError, and others an error of their
    own that rests on one of these. A full /dev/shm is memory as well."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        full = error.errno == errno.ENOSPC and str(error.filename).startswith(SHM)
        return full or error.errno == errno.ENOMEM
    if isinstance(error, RuntimeError) and _NO_MEMORY.search(_line(error)):
        return True
    return error.__cause__ is not None and _tells_of_memory(error.__cause__)


_NO_MEMORY = re.compile(r"out of memory|can(no|')t allocate memory|bad_alloc", re.IGNORECASE)


def _print(error: BaseException) -> None:
    """Print a traceback, if that can be done: a method may have closed or filled the log."""
    with contextlib.suppress(Exception):
        traceback.print_exception(error)


def _line(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as broken:
        text = f"(its message cannot be read: {type(broken).__name__})"
    return printable(f"{type(error).__name__}: {text}".split("\n")[0])


def _print_to(log: Path) -> None:
    """Print to a file line by line, so that all of it is there also if the process is killed."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()


def _cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    return sum(os.times()[:4])
