"""How a call is timed so that times can be compared: on one core, warm, more than once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

REPEATS = 5
"""Most calls after the first one."""
REPEAT_S = 20.0
"""How long these may take together at most; a call that takes longer is not repeated."""


def on_one_core() -> None:
    """Keep this process on one of its cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def repeats_s(timeout_s: float) -> float:
    """How long the repeated calls of a job may take together."""
    return min(REPEAT_S, timeout_s / 4)


def n_repeats(first_s: float, limit_s: float) -> int:
    """How often a call is repeated whose first one took `first_s`."""
    return min(REPEATS, int(limit_s / max(first_s, 1e-6)))


def timed(call: Callable[[], object], first_s: float, limit_s: float) -> dict[str, Any]:
    """Wall times of the call, repeated as often as fits into the limit, as `JobRecord.timing`.

    first_s: what a first call took, which counts as warm-up if there are others.
    """
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    repeats = []
    for _ in range(n_repeats(first_s, limit_s)):
        begin = time.perf_counter()
        call()
        repeats.append(time.perf_counter() - begin)
    return {"warm_up_s": first_s, "repeats_s": repeats, "load_average": load}
