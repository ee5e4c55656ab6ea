"""`cdnbench.run`: methods on the tasks of a suite, from Python."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from cdnbench.errors import InvalidParameter
from cdnbench.record import Record
from cdnbench.runners.devices import Slots
from cdnbench.runners.gpu_jobs import on_gpu
from cdnbench.runners.gpus import slots_for
from cdnbench.runners.kept import Kept
from cdnbench.runners.plan import Limits, Plan, make_plan
from cdnbench.runners.run import Mode, Run
from cdnbench.runners.selection import ALL
from cdnbench.runners.shards import Shard
from cdnbench.store import Store

MOST_JOBS = 10_000
"""At once, on one machine."""


def run(
    suite: str,
    methods: str | None = None,
    *,
    out: str | Path | None = None,
    jobs: int = 0,
    limit: int | None = None,
    subset: str = ALL,
    seeds: Sequence[int] = (0,),
    timeout: float | None = None,
    memory_gb: float = 8.0,
    device: str = "auto",
    gpus: str | None = None,
    jobs_per_gpu: int = 1,
    shard: str = "1/1",
    timing: bool = False,
    fresh: bool = False,
    retry: bool = False,
    update: bool = False,
    on_record: Callable[[Record], None] = lambda record: None,
    **options: Any,
) -> Store:
    """Run methods on a suite, as `bench run` does, and return the store of the results.

    Results that the store holds already are not computed again.

    Parameters
    ----------
    suite, options: name of the suite, and its own options (`protocol="dcdi"`).
    methods: `"a,b:parameter=value"`, "all", or None for every default method that can run.
    out: folder of the results; `results/<suite>` by default.
    jobs: how many run at once; 0 for one per core that this process may use.
    limit: how many tasks, spread evenly over the suite's factors.
    subset, seeds, timing, fresh, retry, update: as the options of `bench run`.
    timeout: seconds per job; None for the method's own estimate. memory_gb: GB per job.
    device: auto, cpu or cuda.
    gpus, jobs_per_gpu: which GPUs to use (`"0-3"`; all by default), and how many jobs one takes.
    shard: the part of the jobs to run, as `--shard` takes it.
    on_record: called with the record of each job and fit as it is stored.

    Raises
    ------
    BenchError: something in the call that cannot be carried out; the message says what to write.
    """
    plan = make_plan(
        suite,
        options,
        methods,
        seeds=seeds,
        limit=limit,
        subset=subset,
        limits=Limits(timeout_s=timeout, memory_gb=memory_gb),
        device=chosen_device(device),
        where_it_helps=device == "auto",
    )
    made = prepared(
        plan,
        out,
        jobs=jobs,
        mode=Mode(timing, fresh, retry, update),
        on_record=on_record,
        slots=slots_of(plan, gpus, jobs_per_gpu),
        shard=Shard.parse(shard),
    )
    made.execute()
    return made.store


def prepared(
    plan: Plan,
    out: str | Path | None = None,
    *,
    jobs: int = 0,
    mode: Mode = Mode(),
    on_record: Callable[[Record], None] = lambda record: None,
    slots: Slots | None = None,
    shard: Shard = Shard(),
    kept: Kept | None = None,
) -> Run:
    """The run of a plan, with the default folder, number of jobs and GPUs where none are given.

    kept: results in other folders, whose jobs count as done.

    Raises
    ------
    InvalidParameter: an impossible number of jobs. BenchError: a newer version has written to the
    folder.
    """
    if isinstance(jobs, bool) or not (isinstance(jobs, Integral) and 0 <= jobs <= MOST_JOBS):
        raise InvalidParameter(f"jobs takes a whole number from 0 to {MOST_JOBS}; got {jobs!r}.")
    store = Store(Path("results") / plan.suite_name if out is None else Path(out))
    store.check_version()
    return Run(
        plan,
        store,
        mode,
        jobs or usable_cores(),
        on_record,
        slots=slots,
        shard=shard,
        kept=kept or Kept(),
    )


def slots_of(plan: Plan, gpus: str | None = None, jobs_per_gpu: int = 1) -> Slots:
    """The slots on GPUs for a plan.

    Raises
    ------
    InvalidParameter: a GPU that is not there; the message says which are.
    """
    return slots_for(any(on_gpu(method) for method in plan.methods), gpus, jobs_per_gpu)


def usable_cores() -> int:
    """How many cores this process may use, which on a shared node are fewer than it has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no such limit
        return os.cpu_count() or 1


def chosen_device(name: str) -> str:
    """cpu or cuda. torch is imported only where there is an NVIDIA driver to ask about.

    Raises
    ------
    InvalidParameter: there is no such device.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InvalidParameter(f"--device takes auto, cpu or cuda; got {name!r}.")
    if name == "cpu" or (name == "auto" and shutil.which("nvidia-smi") is None):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        raise InvalidParameter("--device cuda: torch sees no CUDA device. Use --device cpu.")
    return "cpu"
