"""The descendants of a process.

Linux tells the children of each thread, so that the cost does not grow with the number of processes
of the machine. Elsewhere, and on kernels without that file, all processes are looked through.
"""

from __future__ import annotations

import os
from functools import cache

import psutil


def descendants(pid: int) -> list[int]:
    """The numbers of all descendants of a process that are there now; none if it has ended."""
    if not _children_are_told():
        try:
            return [process.pid for process in psutil.Process(pid).children(recursive=True)]
        except psutil.Error:
            return []
    found: list[int] = []
    todo = [pid]
    while todo:
        children = _children(todo.pop())
        found += children
        todo += children
    return found


@cache
def _children_are_told() -> bool:
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def _children(pid: int) -> list[int]:
    numbers: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                numbers += map(int, file.read().split())
    except OSError:  # it ended meanwhile
        return numbers
    return numbers
