"""Append-only segments: how a store keeps records and arrays.

Each process that writes has a segment of its own, so that no two ever write to one file:

    <name>.jsonl    one JSON value per line; the first line tells the version of this form
    <name>.arrays   the arrays that lines refer to, compressed

Arrays are written before the line that refers to them, and a line counts only with its newline. A
writer that dies at any point therefore leaves nothing that a reader could mistake for a record.
Each line ends with a checksum of itself, and arrays have theirs in the line that refers to them.
`cdnbench.segment_reader` reads segments.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import secrets
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import Any

import numpy as np

from cdnbench.digest import plain
from cdnbench.files import is_name, naming

LINES, ARRAYS = ".jsonl", ".arrays"
FORMAT = 2
"""The version of the form. Segments of version 1 have no first line and no checksums of lines. The
first line and its checksum stay as they are in all later versions."""
SEGMENT = "segment"
"""The kind of a first line."""
CHECK = b',"check":'
"""What stands between a line and its checksum."""
_MOST = 2**62
SYNC_EVERY_S = 0.5
"""A machine that loses power may lose the lines of this last stretch of time, and no more. A
process that is killed loses nothing."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Where arrays lie: the segment, the place in its file, and what to expect there.

    layout: name, dtype and shape of each array, in their order.
    """

    segment: str
    start: int
    size: int
    checksum: int
    layout: tuple[tuple[str, str, tuple[int, ...]], ...]

    def plain(self) -> list[Any]:
        return [self.segment, self.start, self.size, self.checksum, self.layout]

    @staticmethod
    def of_plain(values: list[Any]) -> Stored:
        segment, start, size, checksum, layout = values
        arrays = tuple(
            (intern(str(name)), intern(str(dtype)), tuple(map(int, n))) for name, dtype, n in layout
        )
        stored = Stored(intern(str(segment)), int(start), int(size), int(checksum), arrays)
        inside = min(stored.start, stored.size) >= 0 and stored.start + stored.size < _MOST
        if not is_name(stored.segment) or not inside:
            raise ValueError(f"there are no arrays at {values[:3]}")
        if not all(np.dtype(dtype).kind in "biuf" for _, dtype, _ in arrays):
            raise ValueError("there are arrays of neither numbers nor truth values")
        if any(n < 0 for *_, shape in arrays for n in shape) or stored.n_bytes >= _MOST:
            raise ValueError("there are arrays with a shape that cannot be")
        return stored

    @property
    def n_bytes(self) -> int:
        """How large the arrays are when they are not packed."""
        return sum(np.dtype(dtype).itemsize * math.prod(shape) for _, dtype, shape in self.layout)


@dataclass
class SegmentWriter:
    """Appends to a segment of its own in `folder`; any number of threads may use it.

    The files are made with the first line.
    """

    folder: Path
    name: str = field(default_factory=lambda: _new_name())
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _files: tuple[int, int] | None = None
    _end: int = 0
    _synced: float = 0.0

    def append(
        self, value: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | Stored | None = None
    ) -> Stored | None:
        """Append one line, with arrays of its own or a reference to some that are stored.

        Raises
        ------
        OSError: the file system does not take it. What was there stays readable.
        """
        with self._lock, naming(self.folder):
            lines, blobs = self._opened()
            stored = arrays if isinstance(arrays, Stored) else None
            if arrays is not None and stored is None:
                stored = self._append_arrays(blobs, arrays)  # type: ignore[arg-type]
            line = {"stored_at": now(), **value}
            if stored is not None:
                line["arrays"] = stored.plain()
            _append(lines, line)
            if time.monotonic() - self._synced > SYNC_EVERY_S:
                self._sync()
            return stored

    def close(self) -> None:
        """Make sure that all of it is on disk."""
        with self._lock, naming(self.folder):
            if self._files is not None:
                self._sync()
                for descriptor in self._files:
                    os.close(descriptor)
                self._files = None

    def _append_arrays(self, blobs: int, arrays: Mapping[str, np.ndarray]) -> Stored:
        found = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        packed = zlib.compress(b"".join(a.tobytes() for a in found.values()), 1)
        start = self._end
        try:
            _write(blobs, packed)
        except OSError:
            self._end = os.fstat(blobs).st_size  # part of them may be there
            raise
        self._end += len(packed)
        layout = tuple((n, a.dtype.str, a.shape) for n, a in found.items())
        return Stored(self.name, start, len(packed), zlib.crc32(packed), layout)

    def _opened(self) -> tuple[int, int]:
        if self._files is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._files = (
                _locked(self.folder / (self.name + LINES)),
                _create(self.folder / (self.name + ARRAYS)),
            )
            self._end = os.fstat(self._files[1]).st_size
        if not os.fstat(self._files[0]).st_size:  # new, or the disk was full when it was opened
            from cdnbench import __version__

            _append(self._files[0], {"kind": SEGMENT, "format": FORMAT, "by": __version__})
        return self._files

    def _sync(self) -> None:
        for descriptor in reversed(self._files or ()):  # arrays first, as they are written
            os.fsync(descriptor)
        self._synced = time.monotonic()


def now() -> float:
    """When a line is stored: seconds since 1970."""
    return round(time.time(), 6)


def checked(text: bytes) -> bytes:
    """A JSON object with its checksum as the last member."""
    body = text[:-1]
    return body + CHECK + str(zlib.crc32(body)).encode() + b"}"


def _append(lines: int, line: Mapping[str, Any]) -> None:
    text = json.dumps(line, default=plain, separators=(",", ":")).encode()
    begin = os.fstat(lines).st_size
    try:
        _write(lines, checked(text) + b"\n")
    except OSError:
        os.ftruncate(lines, begin)  # the next line must not continue half a line
        raise


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o666)


def _locked(path: Path) -> int:
    """A descriptor of a file that nobody moves away while it is open."""
    while True:
        descriptor = _create(path)
        with contextlib.suppress(OSError):  # file systems without locks
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                return descriptor
        os.close(descriptor)  # it was moved between the two calls


def _new_name() -> str:
    """Sorted by time, and unique among processes and machines."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
