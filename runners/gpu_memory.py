"""A job's GPU from the inside: which one it sees, how much of it it may take, and what it took."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from cdnbench.runners.gpus import CONTEXT_MB, VISIBLE

MB = 1024.0 * 1024.0


def see(names: str | None) -> None:
    """Let this process see these GPUs only, "" for none and None for all. It works until the first
    use of CUDA."""
    if names is not None:
        os.environ[VISIBLE] = names


def limit(share_mb: float | None) -> None:
    """Have torch refuse to take more than its share of a GPU on which there are others."""
    torch = _torch()
    if share_mb is None or torch is None or not torch.cuda.is_available():
        return
    total = torch.cuda.get_device_properties(0).total_memory / MB
    torch.cuda.set_per_process_memory_fraction(min(1.0, max(share_mb - CONTEXT_MB, 1.0) / total))


def peak_mb() -> float | None:
    """The most that torch has reserved on the GPU; None if this process has used none.

    What the CUDA context takes is not among it.
    """
    torch = _torch()
    if torch is None or not torch.cuda.is_initialized():
        return None
    return torch.cuda.max_memory_reserved() / MB


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or one that it rests on, says that a GPU had no memory left."""
    named = type(error).__name__ == "OutOfMemoryError" and type(error).__module__.startswith(
        "torch"
    )
    if named or (isinstance(error, RuntimeError) and _SAYS_SO.search(str(error))):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


_SAYS_SO = re.compile(
    r"(CUDA|HIP)( error:)? out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED"
    r"|cudaErrorMemoryAllocation"
)


def _torch() -> Any:
    """torch, if the method has imported it."""
    return sys.modules.get("torch")
