"""`bench doctor`: whether this installation can do its work."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path


def doctor() -> None:
    """Check the installation: versions, starting of jobs, data that comes with packages, memory.

    Examples:

        bench doctor
    """
    healthy = True
    for name, check in CHECKS.items():
        try:
            print(f"ok    {name}: {check()}")
        except Exception as error:
            healthy = False
            print(f"FAIL  {name}: {error}")
    sys.exit(0 if healthy else 1)


def _versions() -> str:
    from cdnbench.runners.provenance import versions

    return ", ".join(f"{name} {number}" for name, number in versions().items())


def _machine() -> str:
    import psutil

    from cdnbench.runners.api import usable_cores

    memory = psutil.virtual_memory()
    return (
        f"{usable_cores()} of {os.cpu_count()} cores may be used, "
        f"{memory.available / 2**30:.0f} of {memory.total / 2**30:.0f} "
        "GB memory free"
    )


def _torch() -> str:
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{torch.__version__}, {gpu}"


def _fork_server() -> str:
    from cdnbench.runners.server import fork_server

    with fork_server(["numpy"], threads=1):
        return "starts, and imports what it is told to"


def _registry() -> str:
    from cdnbench.registry import METHODS, SUITES, entries, load_class

    for group in (METHODS, SUITES):
        for name in entries(group):
            load_class(group, name)
    return f"{len(entries(METHODS))} methods and {len(entries(SUITES))} suites can be imported"


def _sachs() -> str:
    spec = importlib.util.find_spec("cdt")  # found, not imported: that takes 20 s
    if spec is None or spec.origin is None:
        raise RuntimeError("the package cdt is not installed: pip install cdt")
    path = Path(spec.origin).parent / "data" / "resources" / "cyto_full_data.csv"
    if not path.exists():
        raise RuntimeError(f"the package cdt has no {path.name}: reinstall it")
    return "found in the package cdt"


CHECKS: dict[str, Callable[[], str]] = {
    "versions": _versions,
    "machine": _machine,
    "torch": _torch,
    "registry": _registry,
    "fork server": _fork_server,
    "sachs data": _sachs,
}
