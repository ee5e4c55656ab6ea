"""What passes between a run and its worker processes. All of it can be pickled."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdnbench.method import Prediction
from cdnbench.record import Status, TaskRecord
from cdnbench.suite import TaskSpec

# Requests


@dataclass(frozen=True)
class Predict:
    """Run a method on tasks.

    model: file with the arrays of its fit, or "". samples: one folder per task (`samples.py`), with
    the checksums of its files. Both are the process's own, which removes them when it has read
    them. In place of a folder, None: a descriptor of a sealed file follows the message.
    folder: where the process works and puts temporary files. log: file for what it prints.
    memory_mb: what it may use. repeat_s: 0, or how long the call is repeated, on one core, to be
    timed warm (`--timing`). gpu: the GPUs that it sees, in the words of
    `CUDA_VISIBLE_DEVICES`: "" for none, None for all. gpu_share_mb: what it may take of its GPU;
    None for all of it.
    """

    method: str
    parameters: Mapping[str, Any]
    model: str
    samples: Sequence[tuple[str, Mapping[str, int]] | None]
    seeds: Sequence[int]
    folder: str
    log: str
    memory_mb: float
    repeat_s: float = 0.0
    gpu: str | None = None
    gpu_share_mb: float | None = None


@dataclass(frozen=True)
class Fit:
    """Train a method on the labelled tasks of `specs`. model: the file to write its arrays to.
    checkpoint: the file to go on from, if it is there, and to write how far the fit has come to,
    every `checkpoint_every_s` seconds. The rest is as in `Predict`."""

    method: str
    parameters: Mapping[str, Any]
    suite: str
    options: Mapping[str, Any]
    specs: Sequence[TaskSpec]
    seed: int
    model: str
    checkpoint: str
    checkpoint_every_s: float
    folder: str
    log: str
    memory_mb: float
    gpu: str | None = None
    gpu_share_mb: float | None = None


@dataclass(frozen=True)
class MakeTask:
    """Make a task of a suite, and write its samples to the folder `samples`."""

    suite: str
    options: Mapping[str, Any]
    spec: TaskSpec
    samples: str
    log: str


# Answers


@dataclass(frozen=True)
class Started:
    """The method is about to be called.

    resident_mb, shared_mb: what the process holds in memory by then (`cdnbench.runners.memory`).
    own_shm: whether it has a /dev/shm of its own. spent_s: seconds that earlier runs spent on what
    a fit goes on from.
    """

    resident_mb: float
    shared_mb: float
    own_shm: bool
    spent_s: float = 0.0


@dataclass(frozen=True)
class Saved:
    """There is a new file of how far the fit has come."""


@dataclass(frozen=True)
class Finished:
    """One task of a request ended. prediction: what the method says of it, if `status` is ok.
    no_gpu_memory: whether it ended because the GPU had no memory left."""

    index: int
    status: Status
    reason: str = ""
    no_gpu_memory: bool = False
    prediction: Prediction | None = None


@dataclass(frozen=True)
class Costs:
    """What all calls of a request took together, without the time between them.

    timing: how the call was timed again, as `JobRecord.timing`. hosts: the machines on which a fit
    ran.
    """

    wall_s: float
    cpu_s: float
    peak_rss_mb: float
    peak_gpu_mb: float | None = None
    timing: Mapping[str, Any] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spoilt:
    """Another process changed or deleted the input of the request before it was read."""

    reason: str


@dataclass(frozen=True)
class Broken:
    """The request as a whole ended without a result. no_gpu_memory: as in `Finished`."""

    status: Status
    reason: str
    no_gpu_memory: bool = False


@dataclass(frozen=True)
class TaskMade:
    """The record of the task, or the reason why it could not be made.

    checksums: those of the files of its samples. outside: as in `Outcome`.
    """

    record: TaskRecord | None = None
    checksums: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    outside: bool = False


Answer = Started | Saved | Finished | Costs | Spoilt | Broken | TaskMade


@dataclass
class Outcome:
    """How a job or a fit ended, as the run sees it.

    Costs are None where the method's call did not return. In a batch of several tasks the times are
    a task's share and the peak is that of the batch. outside: whether it failed for a cause that is
    neither the method's nor the suite's, so that the next run repeats it. no_gpu_memory: whether it
    ended because the GPU had no memory left, for which it is tried again with a GPU to itself.
    hosts: the machines on which a fit ran.
    """

    status: Status
    reason: str = ""
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_rss_mb: float | None = None
    peak_gpu_mb: float | None = None
    prediction: Prediction | None = None
    batch_size: int = 1
    log: str = ""
    outside: bool = False
    no_gpu_memory: bool = False
    timing: Mapping[str, Any] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()

    @property
    def wall_s_single(self) -> float | None:
        """Median wall time of the repeats; of the only call where there are none."""
        repeats = self.timing.get("repeats_s")
        return statistics.median(repeats) if repeats else self.wall_s
