"""Kills: SIGKILL to a process of a run at a random moment, and what the next run finds."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from cdnbench.digest import generator
from cdnbench.record import JobRecord, Status
from cdnbench.store import Store

SUMMARY = "runs whose main process, fork server or a job is killed: nothing is lost or left behind"
NUMBER = 200
VICTIMS = ("main process", "fork server", "another process")
"""The last one is a job, the maker of tasks or the reaper, whichever is there."""
COMMAND = (
    *("run", "--suite", "synthetic-mini", "--methods", "random,target-shift"),
    *("--limit", "4", "--seeds", "0,1,2", "--jobs", "2"),
)
JOBS = 16
"""4 tasks, with 3 seeds of one method and one of the other."""
_MARK = "CDNBENCH_KILL_TRIAL"
_LIMIT_S = 600


@dataclass(frozen=True)
class Kill:
    """One killed run and the next one.

    done: records before the next run. lost: those of them that it does not have any more, or with
    other scores. doubled: jobs that were stored as "ok" more than once. alive: processes 5 s after
    the run has ended. folders: temporary folders after the next run. ends: the exit codes of both.
    problems: what in the store could not be used after the kill.
    """

    victim: str
    done: int
    lost: int
    missing: int
    doubled: int
    alive: int
    folders: int
    ends: tuple[int, int]
    problems: int


def trial(number: int, seed: int, length_s: float, whole: dict[str, np.ndarray]) -> Kill:
    rng = generator("kills", seed, number)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as box:
        out, temporary = Path(box, "out"), Path(box, "tmp")
        temporary.mkdir()
        process = _start(out, temporary, mark := f"{os.getpid()}-{number}")
        _wait(rng, process, out, length_s)
        victim = _kill(rng, process, mark)
        first = process.wait(_LIMIT_S)
        time.sleep(5)
        left = _processes(mark)
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        store = Store(out)
        before = _scores(store)
        second = _start(out, temporary, mark).wait(_LIMIT_S)
        after = _scores(Store(out))
        return Kill(
            victim=victim,
            done=len(before),
            lost=sum(not _same(after.get(key), scores) for key, scores in before.items()),
            missing=sum(not _same(after.get(key), scores) for key, scores in whole.items()),
            doubled=_doubled(out),
            alive=len(left),
            folders=len(list(temporary.glob("cdnbench-*"))),
            ends=(first, second),
            problems=len(store.problems),
        )


def _start(out: Path, temporary: Path, mark: str) -> subprocess.Popen:
    environment = {**os.environ, "TMPDIR": str(temporary), _MARK: mark, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "cdnbench.cli", *COMMAND, "--out", str(out)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        words, env=environment, stdout=quiet, stderr=quiet, start_new_session=True
    )


def _wait(rng: np.random.Generator, process: subprocess.Popen, out: Path, length_s: float) -> None:
    """Wait for the moment of the kill: a part of a run's length, or a number of stored jobs."""
    if rng.random() < 0.25:
        time.sleep(float(rng.uniform(0, length_s)))
        return
    n_jobs, after = int(rng.integers(JOBS)), float(rng.uniform(0, 0.2))
    while process.poll() is None and _n_lines(out) < n_jobs:
        time.sleep(0.01)
    time.sleep(after)


def _n_lines(folder: Path) -> int:
    """How many records of jobs there are, those that are being written included."""
    found = (path.read_bytes() for path in (folder / "records").glob("*.jsonl"))
    return sum(content.count(b'"kind":"predict"') for content in found)


def _kill(rng: np.random.Generator, process: subprocess.Popen, mark: str) -> str:
    """Kill one process of the run; the name of what was chosen."""
    chosen = VICTIMS[int(rng.integers(len(VICTIMS)))]
    others = [each for each in _processes(mark) if each.pid != process.pid]
    servers = [each for each in others if _is_server(each)]
    victims = {
        "main process": [],
        "fork server": servers,
        "another process": [each for each in others if each not in servers],
    }[chosen]
    if not victims:  # it has not started yet, or is over
        process.kill()
        return "main process"
    with contextlib.suppress(psutil.NoSuchProcess):
        victims[int(rng.integers(len(victims)))].send_signal(signal.SIGKILL)
    return chosen


def _is_server(process: psutil.Process) -> bool:
    """Whether it is the process that the jobs are forked from."""
    with contextlib.suppress(psutil.Error):
        words = " ".join(process.cmdline())
        parent = process.parent()
        is_child = parent is not None and "forkserver" in " ".join(parent.cmdline())
        return "forkserver" in words and not is_child
    return False


def _processes(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(_MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _scores(store: Store) -> dict[str, np.ndarray]:
    """The scores of the jobs that are done."""
    done = [record for record in store.jobs() if record.status == Status.ok]
    return {r.key: store.scores(r.key)[""] for r in done if store.is_done(r)}


def _same(found: np.ndarray | None, expected: np.ndarray) -> bool:
    return found is not None and np.array_equal(found, expected, equal_nan=True)


def _doubled(folder: Path) -> int:
    """Jobs with more than one record that is "ok" in the segments."""
    counts: Counter[str] = Counter()
    for path in (folder / "records").glob("*.jsonl"):
        for text in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                line = json.loads(text)
                if line.get("kind") == JobRecord.kind and line.get("status") == Status.ok:
                    counts[line["key"]] += 1
    return sum(n > 1 for n in counts.values())


def main(number: int, seed: int) -> str:
    """The table of `number` killed runs."""
    with tempfile.TemporaryDirectory() as box:
        begin = time.time()
        code = _start(Path(box, "out"), Path(box), "whole").wait(_LIMIT_S)
        length = time.time() - begin
        whole = _scores(Store(Path(box, "out")))
    assert code == 0 and len(whole) == JOBS, f"the undisturbed run: {code}, {len(whole)} jobs"
    kills = []
    with contextlib.suppress(KeyboardInterrupt):  # the table of those that are done
        for i in range(number):
            kills.append(trial(i, seed, length, whole))
            print(i, kills[-1], file=sys.stderr, flush=True)
    return table(kills, seed, length)


def table(kills: Sequence[Kill], seed: int, length_s: float) -> str:
    """One row per kind of victim."""
    rows = [
        f"{len(kills)} runs of {JOBS} jobs (seed {seed}), two at once, each killed and run again. "
        "A quarter is killed at a",
        f"random moment of the {length_s:.0f} s that an undisturbed run takes on this machine, the "
        "others when a random number",
        "of jobs is done.",
        "",
        f"{'killed':16} {'runs':>5} {'records':>8} {'lost':>5} {'missing':>8} {'doubled':>8} "
        f"{'alive':>6} {'folders':>8} {'problems':>9}",
    ]
    for victim in [*VICTIMS, "all"]:
        own = [kill for kill in kills if victim in (kill.victim, "all")]
        names = ("done", "lost", "missing", "doubled", "alive", "folders", "problems")
        done, lost, missing, doubled, alive, folders, problems = (
            sum(getattr(kill, name) for kill in own) for name in names
        )
        rows.append(
            f"{victim:16} {len(own):5} {done:8} {lost:5} {missing:8} {doubled:8} {alive:6} "
            f"{folders:8} {problems:9}"
        )
    ends = Counter(kill.ends for kill in kills)
    rows += [
        "",
        "records: jobs that were done before the next run. lost: those of them that it does not "
        "have. missing: jobs",
        "  that the next run lacks. doubled: jobs that were stored twice. alive: processes 5 s "
        "after the end of the run.",
        "folders: temporary folders after the next run. problems: files that the kill damaged.",
        "exit codes of the killed and of the next run: "
        + ", ".join(f"{a} and {b} ({n} times)" for (a, b), n in ends.most_common()),
    ]
    return "\n".join(rows)
