"""Compiled functions that are kept on disk wherever that is possible.

numba refuses to define a function with `cache=True` where neither the folder of the source nor the
user's cache can be written, as in a read-only container.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from numba import config, njit

from cdnbench.temporary import temporary_folder


def kept_njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(cache=True)` with the same options. Where nothing can be kept in the usual places
    it is kept in the temporary folder (`NUMBA_CACHE_DIR`, also for processes that are started), and
    where this cannot be written either, it is compiled anew by each process."""

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
        try:
            os.environ["NUMBA_CACHE_DIR"] = str(temporary_folder() / "numba")
            config.reload_config()  # type: ignore[attr-defined]
            return njit(cache=True, **options)(function)
        except OSError:  # no temporary folder
            return njit(**options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            return njit(**options)(function)

    return compiled
