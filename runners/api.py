"""`cdnbench.run`: methods on the tasks of a suite, from Python."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cdnbench.errors import InvalidParameter
from cdnbench.record import Record
from cdnbench.runners.plan import ALL, Limits, Plan, make_plan
from cdnbench.runners.run import Mode, Run
from cdnbench.store import Store


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
    timing: bool = False,
    fresh: bool = False,
    retry: bool = False,
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
    subset, seeds, timing, fresh, retry: as the options of `bench run`.
    timeout: seconds per job; None for the method's own estimate. memory_gb: GB per job.
    device: auto, cpu or cuda.
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
    )
    made = prepared(plan, out, jobs=jobs, mode=Mode(timing, fresh, retry), on_record=on_record)
    made.execute()
    return made.store


def prepared(
    plan: Plan,
    out: str | Path | None = None,
    *,
    jobs: int = 0,
    mode: Mode = Mode(),
    on_record: Callable[[Record], None] = lambda record: None,
) -> Run:
    """The run of a plan, with the default folder and number of jobs where none is given.

    Raises
    ------
    BenchError: a newer version has written to the folder.
    """
    store = Store(Path("results") / plan.suite_name if out is None else Path(out))
    store.check_version()
    return Run(plan, store, mode, jobs or usable_cores(), on_record)


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
