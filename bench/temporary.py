"""A folder for what can be made again, where the places that are meant for it cannot be written."""

from __future__ import annotations

import os
import stat
import tempfile
from functools import cache
from pathlib import Path


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@cache
def temporary_folder() -> Path:
    """A folder of this user below the system's temporary one, the same for all processes.

    What lies in it may be run as code, so a folder that others own or may write is not taken; a new
    one for this process is, and processes that it starts do not find it.

    Raises
    ------
    OSError: there is no temporary folder that can be written.
    """
    path = Path(tempfile.gettempdir()) / f"cdnbench-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        about = path.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="cdnbench-"))
    mine = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid()
    if mine and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and can_write(path):
        return path
    return Path(tempfile.mkdtemp(prefix="cdnbench-"))
