"""What runs inside a forked process: making tasks (`prepare`) and running a method on them
(`predict`)."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.digest import plain
from cdnbench.errors import CannotRun
from cdnbench.registry import load_method, load_suite
from cdnbench.runners.memory import PeakMemory, resident_mb
from cdnbench.store import Store, TaskTruth
from cdnbench.task import LabelledTask, Task


def prepare(conn: Connection) -> None:
    """Serve requests `{suite, options, spec, folder, scratch, log}` until the runner closes the
    connection.

    Writes the truth of each task into the store and its samples to `scratch`, and answers "" or why
    it could not.
    """
    suites: dict[str, Any] = {}
    printing = False
    while True:
        try:
            request = conn.recv()
        except EOFError:
            return
        try:
            if not printing:
                _print_to(Path(request["log"]))
                printing = True
            name, options, spec = request["suite"], request["options"], request["spec"]
            key = json.dumps([name, options], sort_keys=True)
            if key not in suites:
                suites[key] = load_suite(name, **options)
            labelled = suites[key].load(spec)
            write_samples(Path(request["scratch"]), labelled.task)
            truth = truth_of(labelled, name, spec.metadata, suites[key].info.setting)
            Store(Path(request["folder"])).write_task(spec.hash, truth)
            conn.send("")
        except Exception as error:
            traceback.print_exc()
            conn.send(_line(error))


def truth_of(
    labelled: LabelledTask, suite: str, metadata: Any, setting: tuple[str, ...]
) -> TaskTruth:
    return TaskTruth(
        name=labelled.task.name,
        suite=suite,
        variables=tuple(labelled.task.variables),
        targets=labelled.targets,
        candidates=labelled.task.candidates,  # type: ignore[arg-type]
        detectable=labelled.detectable,
        ceiling=labelled.ceiling_scores,
        profiles=labelled.profiles,
        metadata=dict(metadata),
        facts=dict(labelled.facts),
        setting=setting,
    )


def write_samples(folder: Path, task: Task) -> None:
    """The task in a form that a job opens as a read-only memory map: all rows in one array, and the
    rest as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [task.observational, *task.regimes]
    rows = np.lib.format.open_memmap(
        folder / "rows.npy",
        mode="w+",
        dtype=np.float32,
        shape=(sum(map(len, blocks)), task.n_variables),
    )
    np.concatenate(blocks, out=rows)
    np.save(folder / "candidates.npy", task.candidates)  # type: ignore[arg-type]
    about = {
        "variables": list(task.variables),
        "sizes": [len(b) for b in blocks],
        "metadata": dict(task.metadata),
        "symbols": None if task.symbols is None else list(task.symbols),
    }
    (folder / "about.json").write_text(json.dumps(about))


def read_samples(folder: Path) -> Task:
    """The task again. Its name is neutral, and its arrays do not say which file they lie in."""
    about = json.loads((folder / "about.json").read_text())
    rows = np.load(folder / "rows.npy", mmap_mode="r").view(np.ndarray)
    ends = np.cumsum(about["sizes"])
    observational, *regimes = (
        rows[end - size : end] for end, size in zip(ends, about["sizes"], strict=True)
    )
    return Task(
        name="task",
        variables=about["variables"],
        observational=observational,
        regimes=regimes,
        candidates=np.load(folder / "candidates.npy"),
        metadata=about["metadata"],
        symbols=about["symbols"],
    )


def predict(conn: Connection) -> None:
    """Run a method on the tasks of one request `{method, parameters, model, tasks: [{scratch, seed,
    key}], folder, log}`; model: key of its fit, or "".

    Sends `("started", resident MB)` when the method is about to be called; `("done", index, status,
    reason, note, facts)` for each task as its scores lie in the store or it has ended without; at
    last `("end", costs)`. Instead of the rest, `("error", reason)` or `("oom", reason)` if all of
    it fails, or `("unwritable", reason)` if the store does not take the scores. What is printed
    goes to the log. The working folder is the one with the (first) task's samples: nothing of the
    store is in reach by a relative path.
    """
    try:
        request = conn.recv()
    except EOFError:
        return
    _print_to(Path(request["log"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    jobs, store = request["tasks"], Store(Path(request["folder"]))
    with _told(conn):
        method = load_method(request["method"], **_located(request["parameters"]))
        os.chdir(jobs[0]["scratch"])
        if request["model"]:
            method = method.fitted(store.model(request["model"]))
        tasks = [read_samples(Path(job["scratch"])) for job in jobs]
        conn.send(("started", resident_mb()))
        peak, wall, cpu = PeakMemory(), time.perf_counter(), _cpu_seconds()
        costs = {}
        for i, result in method.predict_batch(tasks, seeds=[job["seed"] for job in jobs]):
            costs = {
                "wall_s": time.perf_counter() - wall,
                "cpu_s": _cpu_seconds() - cpu,
                "peak_rss_mb": peak.mb(),
            }
            if isinstance(result, Exception):
                conn.send(("done", i, *_failure(result), "", {}))
                continue
            try:
                store.write_scores(jobs[i]["key"], result.outputs)
            except OSError as error:
                conn.send(("unwritable", str(error)))
                return
            conn.send(
                (
                    "done",
                    i,
                    "ok",
                    "",
                    result.note,
                    json.loads(json.dumps(dict(result.facts), default=plain)),
                )
            )
        conn.send(("end", costs))


def fit(conn: Connection) -> None:
    """Train a method as one request `{method, parameters, suite, options, specs, seed, key,
    scratch, folder, log}` says.

    Answers as `predict` does, its model being in the store at `("done", 0, ...)`.
    """
    try:
        request = conn.recv()
    except EOFError:
        return
    _print_to(Path(request["log"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    store = Store(Path(request["folder"]))
    with _told(conn):
        method = load_method(request["method"], **_located(request["parameters"]))
        suite = load_suite(request["suite"], **request["options"])
        tasks, resources = TrainingTasks(suite, request["specs"]), getattr(suite, "resources", {})
        os.chdir(request["scratch"])
        conn.send(("started", resident_mb()))
        peak, wall, cpu = PeakMemory(), time.perf_counter(), _cpu_seconds()
        try:
            model = method.fit(tasks, seed=request["seed"], resources=resources)
        except Exception as error:
            conn.send(("done", 0, *_failure(error), "", {}))
        else:
            try:
                store.write_model(request["key"], model)
            except OSError as error:
                conn.send(("unwritable", str(error)))
                return
            conn.send(("done", 0, "ok", "", "", {"n_tasks": len(tasks)}))
        costs = {
            "wall_s": time.perf_counter() - wall,
            "cpu_s": _cpu_seconds() - cpu,
            "peak_rss_mb": peak.mb(),
        }
        conn.send(("end", costs))


def _located(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters that name a weights file say where it is from whatever folder."""
    return {
        name: str(Path(value).resolve())
        if isinstance(value, str) and value.endswith(".safetensors")
        else value
        for name, value in parameters.items()
    }


@contextlib.contextmanager
def _told(conn: Connection) -> Iterator[None]:
    """Sends what ends a request as a whole."""
    try:
        yield
    except MemoryError:
        traceback.print_exc()
        conn.send(("oom", "MemoryError"))
    except BaseException as error:
        traceback.print_exc()
        conn.send(("error", _line(error)))


class TrainingTasks(Sequence[LabelledTask]):
    """Labelled tasks of a suite, each made when it is asked for."""

    def __init__(self, suite: Any, specs: Sequence[Any]) -> None:
        self._suite, self._specs = suite, specs

    def __len__(self) -> int:
        return len(self._specs)

    def __getitem__(self, index):  # type: ignore[override]
        if isinstance(index, slice):
            return TrainingTasks(self._suite, self._specs[index])
        return self._suite.load(self._specs[index])


def _failure(error: Exception) -> tuple[str, str]:
    """Status and reason of a task that ended with an exception."""
    if isinstance(error, CannotRun):
        return "skipped", str(error)
    traceback.print_exception(error)
    return ("oom", "MemoryError") if isinstance(error, MemoryError) else ("error", _line(error))


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0]


def _print_to(log: Path) -> None:
    """Line by line, so that what was printed is there also if the process is killed."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()


def _cpu_seconds() -> float:
    return sum(os.times()[:4])
