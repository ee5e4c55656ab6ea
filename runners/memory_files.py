"""Files that lie in memory: what a job writes to them is memory that it uses.

Where the system allows it (Linux, as root or with user namespaces), each job gets a /dev/shm of its
own. It has a size, can be asked how full it is, and vanishes with the job. Elsewhere the files are
told by what the job's processes have open or mapped, which misses one that is closed between two
looks.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

SHM = "/dev/shm"
MB = 1024.0 * 1024.0

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000  # linux/sched.h
_PRIVATE, _ALL_BELOW, _NO_SETUID, _NO_DEVICES = 1 << 18, 1 << 14, 2, 4  # linux/mount.h


def own_shared_memory(size_mb: float) -> bool:
    """Give this process, which must have one thread only, a /dev/shm of its own; whether it has.

    Not where a program that serves the GPU lets others talk to it through /dev/shm.
    """
    if sys.platform != "linux" or not os.path.isdir(SHM):
        return False
    if any(name.startswith("cuda.") for name in os.listdir(SHM)):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    # Root needs no user namespace. In one, special rights to others' files would be lost.
    if user and _has_rights():
        return False
    if libc.unshare(_NEW_MOUNTS if user == 0 else _NEW_MOUNTS | _NEW_USER):
        return False
    try:
        if user:
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{user} {user} 1")
            _write("/proc/self/gid_map", f"{group} {group} 1")
    except OSError:
        return False
    if libc.mount(b"none", b"/", None, ctypes.c_ulong(_PRIVATE | _ALL_BELOW), None):
        return False
    options = f"size={max(1, int(size_mb * 1024))}k,mode=1777".encode()
    flags = ctypes.c_ulong(_NO_SETUID | _NO_DEVICES)
    return libc.mount(b"tmpfs", SHM.encode(), b"tmpfs", flags, options) == 0


@dataclass
class MemoryFiles:
    """The files in memory of one job, from the outside.

    folder: where the job works. own: whether it has a /dev/shm of its own.
    """

    pid: int
    folder: Path
    own: bool = False
    _began: float = field(default_factory=lambda: time.time() - 1.0)  # clocks of files are coarse
    _named: dict[str, os.stat_result] = field(default_factory=dict)

    def mb(self, pids: Sequence[int]) -> float:
        """What they take now. pids: the processes of the job."""
        used = 0.0
        if self.own:
            with contextlib.suppress(OSError):
                about = os.statvfs(f"/proc/{self.pid}/root{SHM}")
                used += (about.f_blocks - about.f_bfree) * about.f_frsize
        else:
            self._look(pids)
        sizes = {(s.st_dev, s.st_ino): s.st_blocks * 512 for s in self._named.values()}
        for number in pids:
            sizes |= _open_in_memory(number, self._began)
        if self.folder.exists() and os.stat(self.folder).st_dev in _in_memory():
            for path in _files(self.folder):
                with contextlib.suppress(OSError):
                    about = os.lstat(path)
                    sizes[about.st_dev, about.st_ino] = about.st_blocks * 512
        return (used + sum(sizes.values())) / MB

    def remove(self) -> None:
        """Remove what ended processes have left in the /dev/shm that all share."""
        for path, about in self._named.items():
            with contextlib.suppress(OSError):
                now = os.lstat(path)
                if (now.st_dev, now.st_ino) == (about.st_dev, about.st_ino):
                    os.unlink(path)

    def _look(self, pids: Sequence[int]) -> None:
        """Note the files in /dev/shm that are younger than the job, and that it has in use."""
        young = {}
        with contextlib.suppress(OSError):
            for entry in os.scandir(SHM):
                with contextlib.suppress(OSError):
                    about = entry.stat(follow_symlinks=False)
                    if about.st_uid == os.geteuid() and about.st_ctime >= self._began:
                        young[entry.path] = about
        mine = young.keys() & self._named.keys()
        if young.keys() - mine:
            mine |= {path for number in pids for path in _in_use(number)}
        self._named = {path: about for path, about in young.items() if path in mine}


def _open_in_memory(pid: int, began: float) -> dict[tuple[int, int], int]:
    """(device, number) -> bytes of the files in memory that a process has open: those without a
    name, and younger ones than `began`; none of a /dev/shm of its own."""
    found = {}
    for number in _listed(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            about = os.stat(f"/proc/{pid}/fd/{number}")
            own = about.st_nlink == 0 or about.st_ctime >= began
            if own and about.st_dev in _in_memory():
                found[about.st_dev, about.st_ino] = about.st_blocks * 512
    return found


def _in_use(pid: int) -> Iterator[str]:
    """The paths in /dev/shm that a process has open or mapped."""
    for number in _listed(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            yield os.readlink(f"/proc/{pid}/fd/{number}")
    with contextlib.suppress(OSError), open(f"/proc/{pid}/maps", "rb") as file:
        for line in file:
            if b" " + SHM.encode() + b"/" in line:
                yield os.fsdecode(line.rstrip(b"\n").split(None, 5)[5])


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # it ended, or there is no /proc
        return []


def _files(folder: Path) -> Iterator[str]:
    for above, _, names in os.walk(folder):
        yield from (os.path.join(above, name) for name in names)


@cache
def _in_memory() -> frozenset[int]:
    """The devices of all file systems in memory, and that of files without a name."""
    found = set()
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.memfd_create("probe")
        found.add(os.fstat(descriptor).st_dev)
        os.close(descriptor)
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if after.split()[0] in ("tmpfs", "ramfs"):
                major, minor = map(int, before.split()[2].split(":"))
                found.add(os.makedev(major, minor))
    return frozenset(found)


def _has_rights() -> bool:
    """Whether this process has any of root's rights (capabilities)."""
    with open("/proc/self/status", "rb") as file:
        found = next((line.split()[1] for line in file if line.startswith(b"CapEff:")), b"0")
    return int(found, 16) != 0


def _write(path: str, text: str) -> None:
    with open(path, "wb") as file:  # as bytes: nothing may be imported by now
        file.write(text.encode())
