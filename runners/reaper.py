"""Ends what a run leaves behind when it dies: run as a script, in a session of its own, by the
runner.

It reads process groups from standard input, `+<pgid>` when a job starts and `-<pgid>` when it has
ended. When the input closes (the runner ended, however it ended) it kills the groups that are still
open with all their descendants, and removes the folders named on its command line. It imports
nothing of the package, so that it starts in milliseconds.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys


def main(folders: list[str]) -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        sign, group = line[0], int(line[1:])
        if sign == "+":
            groups.add(group)
        else:
            groups.discard(group)
    # Descendants are looked up before anything dies: an orphan can no longer be told from a
    # stranger.
    left = descendants(groups)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for pid in groups | left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    for folder in folders:
        remove_tree(folder)


def remove_tree(folder: str) -> None:
    """Remove a folder with all that is in it, also where a folder was made read-only."""
    shutil.rmtree(folder, ignore_errors=True)
    if not os.path.isdir(folder) or os.path.islink(folder):
        return
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
    for path, names, _ in os.walk(folder):
        for name in names:
            below = os.path.join(path, name)
            if not os.path.islink(below):
                with contextlib.suppress(OSError):
                    os.chmod(below, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def descendants(roots: set[int]) -> set[int]:
    """All processes below `roots`; each group's leader has the group's number."""
    if not roots:
        return set()
    children: dict[int, list[int]] = {}
    for pid, parent in parents():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        new = [pid for pid in children.get(todo.pop(), []) if pid not in found]
        found.update(new)
        todo += new
    return found


def parents() -> list[tuple[int, int]]:
    """(pid, parent's pid) of every process."""
    if not os.path.isdir("/proc/self"):
        lines = subprocess.run(
            ["ps", "-axo", "pid=,ppid="], capture_output=True, text=True
        ).stdout.splitlines()
        return [(int(pid), int(parent)) for pid, parent in map(str.split, lines)]
    pairs = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                pairs.append((int(name), int(file.read().rpartition(b")")[2].split()[1])))
    return pairs


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    main(sys.argv[1:])
