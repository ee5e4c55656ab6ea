"""Compiled functions that are kept on disk wherever that is possible.

numba refuses to define a function with `cache=True` where neither the folder of the source nor the
user's cache can be written, as in a read-only container.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import config, njit

from cdnbench.temporary import temporary_folder


def kept_njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(cache=True)` with the same options. Where nothing can be kept in the usual places
    it is kept in the temporary folder (`NUMBA_CACHE_DIR`, also for processes that are started), and
    where this cannot be written either, it is compiled anew by each process.

    numba compiles what a function calls, and the constants that it reads, into the function, and
    compiles it anew when its own file has changed. Here it is also compiled anew when a file has
    changed that the function's module imports from its own package, directly or through others.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return _kept(function, options)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
        try:
            os.environ["NUMBA_CACHE_DIR"] = str(temporary_folder() / "numba")
            config.reload_config()  # type: ignore[attr-defined]
            return _kept(function, options)
        except OSError:  # no temporary folder
            return njit(**options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            return njit(**options)(function)

    return compiled


def _kept(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    dispatcher = njit(cache=True, **options)(function)
    index: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if not hasattr(index, "_source_stamp"):  # compilation is off, or a numba that keeps none
        return njit(**options)(function)
    index._source_stamp = (index._source_stamp, _sources(function.__module__))
    return dispatcher


@cache
def _sources(module: str) -> str:
    """A digest of the files that a module imports from its package and from this one, at the top
    of a file, and of the files that these import."""
    packages = {module.partition(".")[0], __name__.partition(".")[0]}
    texts: dict[str, bytes] = {}
    names = [module]
    while names:
        file = _file(name := names.pop())
        if file is None or file in texts:
            continue
        texts[file] = Path(file).read_bytes()
        for origin, imported, whole in _IMPORTS.findall(texts[file].decode()):
            name = origin or whole
            if name.partition(".")[0] in packages:
                names += [name, *(f"{name}.{part}" for part in re.findall(r"\w+", imported))]
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(texts):
        digest.update(hashlib.blake2b(texts[file]).digest())
    return digest.hexdigest()


_IMPORTS = re.compile(r"^(?:from ([\w.]+) import (\([^)]*\)|[^\n(]*)|import ([\w.]+))", re.M)


def _file(name: str) -> str | None:
    """The source of a module; None for what is no module."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a name within a module; a program that was started
        return None
    return spec.origin if spec and spec.origin and spec.origin.endswith(".py") else None
