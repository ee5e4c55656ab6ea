"""Reads append-only segments, whatever may have happened to their files since."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.files import NotAFile, nobody_writes, opened, opened_file, what_is, write_atomically
from cdnbench.problems import Problems
from cdnbench.segments import ARRAYS, CHECK, FORMAT, LINES, SEGMENT, Stored

_IGNORED = (".nfs",)
"""Names of files that a network file system makes for those that are deleted while open."""


@dataclass(frozen=True)
class Line:
    """One line of a segment. start, end: its bytes in the file, newline included."""

    path: Path
    number: int
    start: int
    end: int
    value: dict[str, Any]


@dataclass
class _Read:
    """How far a segment has been read. format: None until its first line is known. file: number
    (inode) and bytes of the file that was read, by which another one in its place is told."""

    end: int = 0
    lines: int = 0
    format: int | None = None
    file: tuple[int, int] | None = None
    broken: dict[int, int] = field(default_factory=dict)


@dataclass
class SegmentReader:
    """Reads the segments of `folder`, and later what has been added to them.

    problems: takes what could not be read. skip: name of a segment whose lines are known already.
    """

    folder: Path
    problems: Problems
    skip: str = ""
    _read: dict[str, _Read] = field(default_factory=dict)
    _open: dict[str, int] = field(default_factory=dict)

    def new_lines(self) -> Iterator[Line]:
        """The lines that were not given before, segment by segment."""
        found = what_is(self.folder)
        if found == "nothing":
            return
        try:
            if found != "a folder":
                raise NotAFile(f"it is {found}, not a folder")
            names = sorted(os.listdir(self.folder))
        except OSError as error:
            self.problems.whole(self.folder, error.strerror or error)
            return
        for name in names:
            path = self.folder / name
            if ".partial-" in name or name.startswith(_IGNORED) or self.problems.is_whole(path):
                continue
            if name.startswith(".") or not name.endswith((LINES, ARRAYS)):
                self.problems.whole(path, "it is not part of a store")
            elif (found := what_is(path)) not in ("a file", "nothing"):
                self.problems.whole(path, f"it is {found}, not a file")
            elif name.endswith(LINES) and name != self.skip + LINES:
                yield from self._new_lines_of(path)

    def reject(self, line: Line, why: object) -> None:
        """Tell that a line is not what it should be."""
        self._reject(line.path, line.number, line.start, line.end, why)

    def _new_lines_of(self, path: Path) -> Iterator[Line]:
        read = self._read.setdefault(path.name, _Read())
        try:
            with opened_file(path) as file:
                status = os.fstat(file.fileno())
                size = status.st_size
                if size <= read.end and size:
                    return
                file.seek(read.end)
                content = file.read()
            read.file = status.st_ino, read.end + len(content)
            ended = content.rfind(b"\n") + 1  # the last line may still be written
            if ended < len(content) or not size:
                with nobody_writes(path) as dead:
                    if dead and not size:
                        self.problems.whole(path, "it is empty")
                    elif dead:
                        self._reject(
                            path,
                            read.lines + 1 + content.count(b"\n"),
                            read.end + ended,
                            read.end + len(content),
                            "it ends in the middle of a line",
                        )
        except FileNotFoundError:  # another run set it aside
            return
        except OSError as error:
            self.problems.whole(path, error.strerror or error)
            return
        for text in content[:ended].splitlines(keepends=True):
            if read.format is not None and read.format > FORMAT:
                return
            line = self._line(path, read, text)
            read.lines, read.end = read.lines + 1, read.end + len(text)
            if line is not None:
                yield line

    def _line(self, path: Path, read: _Read, text: bytes) -> Line | None:
        """The line, or None if it is broken or no record."""
        start, end, number = read.end, read.end + len(text), read.lines + 1
        try:
            value = json.loads(text)
            if not isinstance(value, dict):
                raise ValueError("it is not a JSON object")
            self._check(text, required=read.format == FORMAT)
            if value.get("kind") == SEGMENT:
                read.format = int(value["format"])
                if read.format > FORMAT:
                    self.problems.newer(
                        path,
                        f"was written by a newer version of bench (form {read.format}, and this "
                        f"version knows up to {FORMAT}): update cdnbench",
                    )
                return None
        except (KeyError, OverflowError, TypeError, ValueError, RecursionError) as error:
            said = error if str(error).startswith("it") else f"it is not a record: {text[:60]!r}"
            self._reject(path, number, start, end, said)
            return None
        read.format = read.format or 1
        return Line(path, number, start, end, value)

    @staticmethod
    def _check(text: bytes, required: bool) -> None:
        body, check, said = text.rstrip(b"\n").rpartition(CHECK)
        if check and said == str(zlib.crc32(body)).encode() + b"}":
            return
        if check or required:
            raise ValueError("it is not what was written")

    def _reject(self, path: Path, number: int, start: int, end: int, why: object) -> None:
        self._read[path.name].broken[start] = end
        self.problems.part(path, f"line {number}", why)

    # Setting aside

    def heal(self) -> None:
        """Write segments with broken lines anew without them, and set the damaged ones aside.

        A segment that is not the one that was read, since another run has healed it meanwhile, is
        left as it is. Its lines are given again by `new_lines`.
        """
        for name, read in self._read.items():
            path = self.folder / name
            if not read.broken or self.problems.is_whole(path):
                continue
            with contextlib.suppress(FileNotFoundError), nobody_writes(path) as mine:
                if mine:
                    self._heal(path, read)

    def _heal(self, path: Path, read: _Read) -> None:
        with opened_file(path) as file:
            number, content = os.fstat(file.fileno()).st_ino, file.read()
        if read.file != (number, len(content)):  # its broken lines are at other places, or gone
            self.problems.forget(path)
            self._read[path.name] = _Read()
            return
        kept, at = [], 0
        for start, end in sorted(read.broken.items()):
            kept.append(content[at:start])
            at = end
        left = b"".join([*kept, content[at:]])
        why = f"{len(read.broken)} of its lines cannot be used"
        lines = left.splitlines(keepends=True)
        if len(lines) == sum(b'"kind":"segment"' in line for line in lines):
            self.problems.whole(path, why)  # nothing is left of it
            self.problems.move(path)
            return
        aside = self.problems.place(path)
        write_atomically(aside, content)
        write_atomically(path, left)  # the good lines are in one place or in both at any moment
        self.problems.tell(path, aside, f"{why}, and the others stay in place")
        read.end, read.lines, read.broken = len(left), len(lines), {}

    # Arrays

    def has(self, stored: Stored) -> bool:
        """Whether they are there and undamaged. If not, it is a problem of their file."""
        try:
            self._packed(stored)
        except (OSError, ValueError) as error:
            path = self.folder / (stored.segment + ARRAYS)
            self.problems.part(path, f"at byte {stored.start}", error)
            return False
        return True

    def arrays(self, stored: Stored) -> dict[str, np.ndarray]:
        """The arrays by name.

        Raises
        ------
        OSError: the file is missing or no plain file. ValueError: it does not hold what was
            written.
        """
        packed, size, at, found = self._packed(stored), stored.n_bytes, 0, {}
        try:
            content = zlib.decompressobj().decompress(packed, size + 1)
        except (zlib.error, MemoryError) as error:
            raise self._damaged(stored, error) from None
        if len(content) != size:
            raise self._damaged(stored, f"{len(content)} bytes in place of {size}")
        for name, dtype, shape in stored.layout:
            count = int(np.prod(shape))
            found[name] = np.frombuffer(content, dtype, count, at).reshape(shape)
            at += found[name].nbytes
        return found

    def _descriptor(self, segment: str) -> int:
        if segment not in self._open:
            self._open[segment] = opened(self.folder / (segment + ARRAYS))
        return self._open[segment]

    def _packed(self, stored: Stored) -> bytes:
        descriptor = self._descriptor(stored.segment)
        if stored.start + stored.size > os.fstat(descriptor).st_size:
            raise self._damaged(stored, "it ends before them")
        packed = os.pread(descriptor, stored.size, stored.start)
        if len(packed) != stored.size or zlib.crc32(packed) != stored.checksum:
            raise self._damaged(stored, "they are not what was written")
        return packed

    def _damaged(self, stored: Stored, why: object) -> ValueError:
        path = self.folder / (stored.segment + ARRAYS)
        return ValueError(f"{path} is damaged: arrays at byte {stored.start}: {why}")

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
