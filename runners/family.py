"""The descendants of a process.

Linux tells the children of each thread, so that the cost does not grow with the number of processes
of the machine. Elsewhere, and on kernels without that file, all processes are looked through.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def descendants(pid: int) -> list[psutil.Process]:
    """All descendants of a process that are there now; none if the process has ended."""
    numbers = _below(pid)
    if numbers is None:
        try:
            return psutil.Process(pid).children(recursive=True)
        except psutil.Error:
            return []
    found = []
    for number in numbers:
        try:
            found.append(psutil.Process(number))
        except psutil.Error:  # it ended meanwhile
            continue
    return found


def _below(pid: int) -> list[int] | None:
    """The numbers of all descendants, or None where the kernel does not tell them."""
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        return None
    found: list[int] = []
    todo = [pid]
    while todo:
        children = _children(todo.pop())
        found += children
        todo += children
    return found


def _children(pid: int) -> list[int]:
    numbers: list[int] = []
    try:
        for thread in os.scandir(f"/proc/{pid}/task"):
            numbers += map(int, Path(thread.path, "children").read_text().split())
    except OSError:  # it ended meanwhile
        return numbers
    return numbers
