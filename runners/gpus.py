"""Which GPUs there are, and which of them a run uses."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

from cdnbench.errors import BenchError, InvalidParameter
from cdnbench.runners.devices import Gpu, Slots

VISIBLE = "CUDA_VISIBLE_DEVICES"
CONTEXT_MB = 600.0
"""What a process takes on a GPU before a method puts anything there: the CUDA context and the
libraries' code."""

ASKING_S = 300.0
"""What asking torch about the GPUs may take."""

_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""What a driver puts there: NVIDIA's, that of Windows for its Linux, and AMD's."""

_ASK = """
import json, torch
found = range(torch.cuda.device_count())
print(json.dumps([torch.cuda.mem_get_info(i)[0] / 2**20 for i in found]))
"""


def slots_for(needed: bool, chosen: str | None = None, jobs_per_gpu: int = 1) -> Slots:
    """The slots of a run.

    needed: whether some method of it computes on a GPU. chosen: `--gpus`, by default all GPUs.
    jobs_per_gpu: `--jobs-per-gpu`.

    Raises
    ------
    InvalidParameter: `--gpus` names a GPU that is not there.
    """
    if jobs_per_gpu < 1:
        raise InvalidParameter(f"--jobs-per-gpu is at least 1; got {jobs_per_gpu}.")
    if not needed and chosen is None:
        return Slots()
    found = found_gpus()
    if chosen is None:
        return Slots(found, jobs_per_gpu)
    numbers = parse_numbers(chosen)
    missing = [str(number) for number in numbers if number >= len(found)]
    if missing:
        there = f"GPUs 0 to {len(found) - 1}" if len(found) > 1 else f"{len(found)} GPU"
        raise InvalidParameter(
            f"--gpus names {', '.join(missing)}, and torch sees {there if found else 'no GPU'}. "
            "`bench doctor` says what torch sees."
        )
    return Slots([found[number] for number in numbers], jobs_per_gpu)


def parse_numbers(text: str) -> list[int]:
    """The numbers of GPUs.

    >>> parse_numbers("0-2,5")
    [0, 1, 2, 5]

    Raises
    ------
    InvalidParameter: it is no list of numbers and ranges, or a number comes twice.
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:\s*-\s*(\d{1,4}))?\s*", part)
        last = int(match[2] or match[1]) if match else -1
        if match is None or last < int(match[1]):
            raise InvalidParameter(
                f"--gpus takes numbers and ranges such as 0-3 or 0,2; got {text!r}."
            )
        found += range(int(match[1]), last + 1)
    if len(set(found)) < len(found):
        raise InvalidParameter(f"--gpus names a GPU twice: {text!r}.")
    return found


def found_gpus() -> list[Gpu]:
    """The GPUs that torch sees, with the memory that is free on each.

    torch is asked in a process of its own, since a process that has used CUDA keeps memory on every
    GPU. Where there is no driver, nobody is asked.

    Raises
    ------
    BenchError: torch could not be asked.
    """
    if shutil.which("nvidia-smi") is None and not any(map(os.path.exists, _DRIVERS)):
        return []
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _ASK], capture_output=True, text=True, timeout=ASKING_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"Cannot ask torch about the GPUs: {error}. Use --device cpu.") from None
    try:
        free = json.loads(asked.stdout)
    except ValueError:
        said = asked.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise BenchError(f"Cannot ask torch about the GPUs: {said[0]}. Use --device cpu.") from None
    names = visible_names(len(free))
    return [Gpu(name, memory) for name, memory in zip(names, free, strict=True)]


def visible_names(n_gpus: int, visible: str | None = None) -> Sequence[str]:
    """How `CUDA_VISIBLE_DEVICES` calls the GPUs 0, 1, ... that torch sees.

    It is the variable's own words where it is set already, as batch systems do.
    """
    visible = os.environ.get(VISIBLE) if visible is None else visible
    if not visible:
        return [str(number) for number in range(n_gpus)]
    return [name.strip() for name in visible.split(",")][:n_gpus]
