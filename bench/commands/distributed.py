"""What `bench run --executor dask` adds to `bench run`: the same command for the workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cdnbench.errors import InvalidParameter

if TYPE_CHECKING:
    from cdnbench.runners.devices import Slots
    from cdnbench.runners.plan import Plan
    from cdnbench.runners.run import Run


@dataclass
class Distributed:
    """A run on the workers of a dask scheduler. scheduler: its address; "" for workers on this
    machine."""

    scheduler: str = ""
    _arguments: list[str] = field(default_factory=list)
    _n_local: int = 1

    @staticmethod
    def checked(executor: str, scheduler: str, *, timing: bool) -> Distributed | None:
        """What the options ask for; None for a run on this machine.

        Raises
        ------
        InvalidParameter: they do not go together.
        """
        if executor == "local":
            if scheduler:
                raise InvalidParameter("--scheduler only applies together with --executor dask.")
            return None
        if executor != "dask":
            raise InvalidParameter(f"--executor takes local or dask; got {executor!r}.")
        if timing:
            raise InvalidParameter(
                "--timing compares times, and those of different machines cannot be compared. "
                "Leave out --executor dask."
            )
        return Distributed(scheduler)

    @staticmethod
    def device(asked: str) -> str:
        """The device to plan for. Whether a worker has a GPU is not asked here."""
        from cdnbench.runners.api import chosen_device

        return asked if asked == "cuda" else chosen_device(asked)

    @staticmethod
    def slots() -> Slots:
        """As many GPUs as one likes: what a worker lacks, it says itself."""
        from cdnbench.runners.devices import Gpu, Slots

        return Slots([Gpu("of a worker", float("inf"))])

    def plan_again(
        self,
        plan: Plan,
        *,
        methods: str | None,
        seeds: str,
        limit: int | None,
        timeout: float | None,
        memory_gb: float,
        device: str,
        jobs: int,
        gpus: str | None,
        jobs_per_gpu: int,
    ) -> None:
        """Keep the options under which a worker makes the same plan.

        jobs: how many jobs a part runs at once; on this machine, how many workers there are.
        """
        from cdnbench.runners.api import chosen_device, usable_cores
        from cdnbench.runners.selection import ALL

        if methods is None or methods == ALL:  # a worker might leave out others
            methods = ",".join(method.info.name for method in plan.methods)
        if device == "auto" and chosen_device(device) == "cpu":
            device = "cpu"
        given = {
            "suite": plan.suite_name,
            "methods": methods,
            "seeds": seeds,
            "subset": plan.subset,
            "memory-gb": memory_gb,
            "device": device,
            "jobs-per-gpu": jobs_per_gpu,
            "jobs": (jobs or 1) if self.scheduler else 1,
            "limit": limit,
            "timeout": timeout,
            "gpus": gpus,
        }
        given |= {name.replace("_", "-"): value for name, value in plan.options.items()}
        self._arguments = [
            f"--{name}={value}" for name, value in given.items() if value is not None
        ]
        self._n_local = jobs or usable_cores()

    def execute(self, planned: Run) -> None:
        """Carry it out. Raises what `DaskRun.execute` raises."""
        from cdnbench.runners.dask import DaskRun

        note = lambda words: print(f"note: {words}", flush=True)  # noqa: E731
        DaskRun(planned, self._arguments, self.scheduler, self._n_local, note).execute()
