"""The temporary folder of a run: made, told from those of runs that are gone, and removed.

Jobs may do anything to it. Whatever they delete is made again when it is next needed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from cdnbench.runners.reaper import remove_tree

PREFIX = "cdnbench-"
_OWNER = "owner"
"""A file that the run holds a lock on, for processes of other containers, where its number means
nothing."""


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for one run. Those that runs left behind which were killed are removed first."""
    root = Path(tempfile.gettempdir())
    remove_abandoned(root)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=root))
    # The lock belongs to this process alone: jobs that inherit the descriptor do not hold it.
    with open(folder / _OWNER, "w", encoding="ascii") as owner:
        with contextlib.suppress(OSError):  # file systems without locks
            fcntl.lockf(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield folder
        finally:
            remove_tree(str(folder))


def remove_abandoned(root: Path) -> None:
    """Remove the folders of this user's runs that no process owns any more."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(root):
            named = re.fullmatch(rf"{PREFIX}(\d+)-\w+", entry.name)
            if named and _is_abandoned(entry, int(named[1])):
                remove_tree(entry.path)


def new_folder(scratch: Path) -> Path:
    """A new folder under a name that says nothing. The one above it is made if a job deleted it."""
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(tempfile.mkdtemp(dir=scratch))


def why(error: OSError) -> str:
    """What went wrong with a temporary file, in words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk with the temporary folder {tempfile.gettempdir()} is full; make room, or "
            "set TMPDIR to a folder on another disk"
        )
    return str(error)


def _is_abandoned(entry: os.DirEntry[str], pid: int) -> bool:
    try:
        ours = entry.is_dir(follow_symlinks=False) and entry.stat().st_uid == os.getuid()
        if not ours or psutil.pid_exists(pid):
            return False
        try:
            with open(Path(entry.path, _OWNER), "r+", encoding="ascii") as owner:
                fcntl.lockf(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return True
    except OSError:  # it is locked, or it vanished meanwhile
        return False
    return True
