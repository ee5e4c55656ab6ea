"""Append-only segments: how a store keeps records and arrays.

Each process that writes has a segment of its own, so that no two ever write to one file:

    <name>.jsonl    one JSON value per line
    <name>.arrays   the arrays that lines refer to, compressed

Arrays are written before the line that refers to them, and a line counts only with its newline. A
writer that dies at any point therefore leaves nothing that a reader could mistake for a record.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.digest import plain

LINES, ARRAYS = ".jsonl", ".arrays"
SYNC_EVERY_S = 0.5
"""A machine that loses power may lose the lines of this last stretch of time, and no more. A
process that is killed loses nothing."""


@dataclass(frozen=True)
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
        arrays = tuple((str(name), str(dtype), tuple(map(int, n))) for name, dtype, n in layout)
        if not isinstance(segment, str) or "/" in segment or min(int(start), int(size)) < 0:
            raise ValueError(f"there are no arrays at {values[:3]}")
        return Stored(segment, int(start), int(size), int(checksum), arrays)


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
        with self._lock:
            lines, blobs = self._opened()
            stored = arrays if isinstance(arrays, Stored) else None
            if arrays is not None and stored is None:
                stored = self._append_arrays(blobs, arrays)  # type: ignore[arg-type]
            line = {**value, "stored_at": round(time.time(), 6)}
            if stored is not None:
                line["arrays"] = stored.plain()
            text = json.dumps(line, default=plain, separators=(",", ":")).encode() + b"\n"
            begin = os.fstat(lines).st_size
            try:
                _write(lines, text)
            except OSError:
                os.ftruncate(lines, begin)  # the next line must not continue half a line
                raise
            if time.monotonic() - self._synced > SYNC_EVERY_S:
                self._sync()
            return stored

    def close(self) -> None:
        """Make sure that all of it is on disk."""
        with self._lock:
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
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
            self._files = (
                os.open(self.folder / (self.name + LINES), flags, 0o666),
                os.open(self.folder / (self.name + ARRAYS), flags, 0o666),
            )
            self._end = os.fstat(self._files[1]).st_size
        return self._files

    def _sync(self) -> None:
        for descriptor in reversed(self._files or ()):  # arrays first, as they are written
            os.fsync(descriptor)
        self._synced = time.monotonic()


@dataclass
class SegmentReader:
    """Reads the segments of `folder`, and later what has been added to them.

    skip: name of a segment whose lines are known already. problems: what could not be read, in
    words.
    """

    folder: Path
    skip: str = ""
    problems: list[str] = field(default_factory=list)
    _seen: dict[str, int] = field(default_factory=dict)
    _open: dict[str, int] = field(default_factory=dict)

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """The lines that were not given before, segment by segment."""
        try:
            names = sorted(name for name in os.listdir(self.folder) if name.endswith(LINES))
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            path, seen = self.folder / name, self._seen.get(name, 0)
            if name.startswith(".") or name == self.skip + LINES:
                continue
            try:
                if not path.is_file():  # a pipe would be waited for
                    self._tell(f"{path} is not a file")
                    continue
                if path.stat().st_size <= seen:
                    continue
                with path.open("rb") as file:
                    file.seek(seen)
                    content = file.read()
            except OSError as error:
                self._tell(f"{path} cannot be read: {error.strerror}")
                continue
            whole = content[: content.rfind(b"\n") + 1]  # the last line may still be written
            self._seen[name] = seen + len(whole)
            for line in whole.splitlines():
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    value = None
                if isinstance(value, dict):
                    yield value
                else:
                    self._tell(f"{path} has a line that is not a record: {line[:60]!r}")

    def _tell(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def has(self, stored: Stored) -> bool:
        """Whether they are there and undamaged."""
        try:
            self._packed(stored)
        except (OSError, ValueError):
            return False
        return True

    def arrays(self, stored: Stored) -> dict[str, np.ndarray]:
        """The arrays by name.

        Raises
        ------
        OSError: the file is missing. ValueError: it does not hold what was written.
        """
        content, at, found = zlib.decompress(self._packed(stored)), 0, {}
        for name, dtype, shape in stored.layout:
            count = int(np.prod(shape))
            found[name] = np.frombuffer(content, dtype, count, at).reshape(shape)
            at += found[name].nbytes
        return found

    def _descriptor(self, segment: str) -> int:
        if segment not in self._open:
            path = self.folder / (segment + ARRAYS)
            if path.exists() and not path.is_file():  # a pipe would be waited for
                raise ValueError(f"{path} is not a file")
            self._open[segment] = os.open(path, os.O_RDONLY)
        return self._open[segment]

    def _packed(self, stored: Stored) -> bytes:
        packed = os.pread(self._descriptor(stored.segment), stored.size, stored.start)
        if len(packed) != stored.size or zlib.crc32(packed) != stored.checksum:
            raise ValueError(f"{self.folder / (stored.segment + ARRAYS)} is damaged")
        return packed

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)


def _new_name() -> str:
    """Sorted by time, and unique among processes and machines."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
