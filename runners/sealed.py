"""A task's samples in a file without a name that nobody can change, not even its owner (Linux).

One such file serves all jobs of a task: each maps it, and nothing is copied. It lies in memory, so
large tasks stay on disk (`cdnbench.runners.samples`), as all do on other systems.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import struct
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cdnbench.runners.samples import ABOUT, CANDIDATES, ROWS, Changed, task_of
from cdnbench.task import Task

MOST_MB, MOST_FILES = 256, 64
"""What all such files of a run may take, and how many there may be (each is an open descriptor)."""

_ORDER = (ROWS, CANDIDATES, ABOUT)
_INDEX = struct.Struct("<6Q")
"""Begin and end of each of the three."""


class Sealer:
    """Makes such files, and forgets them; any number of threads may use it."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._books = threading.Lock()

    def seal(self, folder: Path, checksums: Mapping[str, int]) -> int | None:
        """The descriptor of a file with the samples of a folder; None where they stay on disk.

        Raises
        ------
        Changed: the folder does not hold what was written.
        """
        if not hasattr(os, "memfd_create"):
            return None
        try:
            size = sum((folder / name).stat().st_size for name in _ORDER)
            with self._books:
                taken = sum(self._sizes.values())
                if taken + size > MOST_MB << 20 or len(self._sizes) >= MOST_FILES:
                    return None
                made = _sealed([_checked(folder / name, checksums[name]) for name in _ORDER])
                self._sizes[made] = size
                return made
        except FileNotFoundError as error:
            raise Changed(str(error)) from None
        except OSError:  # no memory, no descriptors, or a kernel without seals
            return None

    def forget(self, descriptor: int) -> None:
        with self._books:
            if self._sizes.pop(descriptor, None) is not None:  # else `close` was faster
                os.close(descriptor)

    def close(self) -> None:
        """Forget all of them."""
        with self._books:
            while self._sizes:
                os.close(self._sizes.popitem()[0])


def open_sealed(descriptor: int) -> Task:
    """The task in a file whose descriptor this process was given, which is closed. The task's name
    is neutral, and its arrays cannot be made writable."""
    # All pages at once, so that they do not count as memory that the method's call added.
    flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_POPULATE", 0)
    buffer = mmap.mmap(descriptor, 0, flags=flags, prot=mmap.PROT_READ)
    os.close(descriptor)
    _, rows_end, _, candidates_end, about_begin, about_end = _INDEX.unpack_from(buffer)
    about = json.loads(buffer[about_begin:about_end])
    # An array's data are the end of its file.
    rows = _last(buffer, rows_end, (sum(about["sizes"]), len(about["variables"])), np.float32)
    shape = (len(about["sizes"]) - 1, len(about["variables"]))
    return task_of(about, rows, _last(buffer, candidates_end, shape, np.bool_))


def _last(buffer: mmap.mmap, end: int, shape: tuple[int, int], dtype: type) -> np.ndarray:
    count = shape[0] * shape[1]
    begin = end - count * np.dtype(dtype).itemsize
    return np.frombuffer(buffer, dtype, count, begin).reshape(shape)


def _checked(path: Path, checksum: int) -> bytes:
    content = path.read_bytes()
    if zlib.crc32(content) != checksum:
        raise Changed(f"{path} was changed")
    return content


def _sealed(contents: list[bytes]) -> int:
    index, at = [], 64
    for content in contents:
        index += [at, at + len(content)]
        at = -(-(at + len(content)) // 64) * 64
    descriptor = os.memfd_create("samples", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for begin, content in zip([0, *index[::2]], [_INDEX.pack(*index), *contents], strict=True):
            view = memoryview(content)
            while view:
                written = os.pwrite(descriptor, view, begin)
                begin, view = begin + written, view[written:]
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise
    return descriptor
