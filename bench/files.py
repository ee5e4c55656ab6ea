"""Files that appear whole or not at all, and files of others that may be anything."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_LONGEST_NAME = 120
"""Bytes of a name that becomes a file's; the rest is left for endings such as `.parquet`."""
_PLAIN_NAME = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{,{_LONGEST_NAME - 1}}}")
"""Almost every name in a store, told at once."""
_QUIET_S = 3600.0
"""A file that has not changed for so long has no writer, where the file system has no locks."""
_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


FULL = (errno.ENOSPC, errno.EDQUOT)
"""A disk that is full, or a user's share of it."""


class NotAFile(OSError):
    """Something else stands where a plain file or a folder belongs; the message names it."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old content or the new one, and nothing between."""
    with whole(path) as file:
        file.write(content)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when the block ends without an error."""
    partial = partial_of(path)
    try:
        with naming(path), open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


_OPEN_ALREADY = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")


@contextlib.contextmanager
def output(path: Path) -> Iterator[BinaryIO]:
    """A file to write that a user named. As `whole`, but a link stays and what it points to is
    written, and into a device or a pipe, such as /dev/stdout, the content goes at once."""
    if str(path).startswith(_OPEN_ALREADY):
        # Standard output may be a file itself, with more in it: it is neither cut nor replaced.
        with naming(path), open(path, "ab") as file:
            yield file
    elif path.exists() and not path.is_file():
        with naming(path), open(path, "wb") as file:
            yield file
    else:
        with whole(path.resolve()) as file:
            yield file


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of the block name a path, unless they name one: the system does not say where a write
    that failed went to."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def partial_of(path: Path) -> Path:
    """Where the content lies until it is whole: a name that no other thread or process uses."""
    return path.with_name(f".{path.name}.partial-{os.getpid()}-{threading.get_ident()}")


def is_name(text: str) -> bool:
    """Whether a text from a store can be a file's name that stays in its folder."""
    return _PLAIN_NAME.fullmatch(text) is not None or (
        0 < len(text.encode(errors="surrogateescape")) <= _LONGEST_NAME
        and not text.startswith(".")
        and text.isprintable()
        and not set(text) & set("/\\:")
    )


def what_is(path: Path) -> str:
    """What stands at a path, in words; "nothing" if nothing does. Links are not followed."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    except OSError as error:  # a folder above it that may not be entered
        return f"out of reach ({error.strerror})"
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "a device")


def check_folders(folder: Path, path: Path) -> None:
    """Check that no part of the way from a folder to a path inside it leads elsewhere.

    Raises
    ------
    NotAFile: a part of it is no folder of its own, such as a link.
    """
    for parent in [*path.relative_to(folder).parents][-2::-1]:
        found = what_is(folder / parent)
        if found not in ("a folder", "nothing"):
            raise NotAFile(f"{folder / parent} is {found}, not a folder")


def opened(path: Path) -> int:
    """A descriptor for reading a plain file. Links are not followed and pipes not waited for.

    Raises
    ------
    NotAFile: it is something else. OSError: it is missing or cannot be read.
    """
    if (found := what_is(path)) not in ("a file", "nothing"):
        raise NotAFile(f"{path} is {found}, not a file")
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAFile(f"{path} is not a file")
    return descriptor


def opened_file(path: Path) -> BinaryIO:
    """As `opened`, as a file."""
    return os.fdopen(opened(path), "rb")


@contextlib.contextmanager
def nobody_writes(path: Path) -> Iterator[bool]:
    """Whether no process has the file open to append to it; none can begin within the block.

    Raises
    ------
    OSError: as `opened`.
    """
    descriptor = opened(path)
    try:
        yield _locked(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return time.time() - os.fstat(descriptor).st_mtime > _QUIET_S
    return True
