"""What `bench data prepare` costs: a synthetic raw screen is written, then prepared in a child
process that is watched.

    python benchmarks/preparation.py --cells 500000 --genes 8000 --perturbations 1000 --density .1
    --folder DIR python benchmarks/preparation.py ... --stop-in writing        # SIGTERM half-way
    through that pass, then the same command again

Printed are wall-clock and CPU seconds of each pass and of all, the peak of the resident memory
(proportional set size of the child, sampled every 50 ms; the peak of its resident set as the kernel
counts it stands beside), and what was made. Ten bytes of disk a non-zero count are needed in DIR (8
for the raw file, 6 for the outcome at most); they are freed at the end unless --keep.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from screens import Screen

PASSES = ("looking", "controls", "testing", "counting", "writing")
# The command itself, with a line of progress for every range of cells instead of one in ten
# seconds.
COMMAND = (
    "import cdnbench.commands.data as data; data.LOG_EVERY_S = 0; from cdnbench.cli import "
    "main; main()"
)


@dataclass
class Watched:
    """What one run of the command took.

    passes: name -> (wall-clock, CPU) seconds at its first and after
    its last range of cells."""

    code: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    peak_pss: float = 0.0  # MB
    peak_rss: float = 0.0
    passes: list[tuple[str, float, float]] = field(default_factory=list)
    last_lines: list[str] = field(default_factory=list)


def watch(command: list[str], stop_in: str = "") -> Watched:
    """Run the command to its end, or to SIGTERM half-way through the pass `stop_in`."""
    seen, start = Watched(), time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    process, done = psutil.Process(child.pid), threading.Event()

    def sample() -> None:
        while not done.wait(0.05):
            try:
                tree = [process, *process.children(recursive=True)]
                seen.peak_pss = max(
                    seen.peak_pss, sum(p.memory_full_info().pss for p in tree) / 1e6
                )
            except psutil.Error:
                continue

    sampler = threading.Thread(target=sample)
    sampler.start()
    assert child.stdout
    for line in child.stdout:
        what, _, rest = line.partition(": ")
        if what not in PASSES:
            seen.last_lines.append(line.rstrip())
            continue
        if not seen.passes or seen.passes[-1][0] != what:
            used = process.cpu_times()
            seen.passes.append((what, time.perf_counter() - start, used.user + used.system))
        reached, _, of = rest.removesuffix(" cells\n").replace(",", "").partition(" of ")
        if what == stop_in and 2 * int(reached) >= int(of):
            child.send_signal(signal.SIGTERM)
    done.set()
    sampler.join()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = seen.code = os.waitstatus_to_exitcode(status)
    seen.wall, seen.cpu = time.perf_counter() - start, used.ru_utime + used.ru_stime
    seen.peak_rss = used.ru_maxrss / 1e3
    return seen


def show(seen: Watched) -> None:
    marks = [("starting", 0.0, 0.0), *seen.passes, ("", seen.wall, seen.cpu)]
    for (what, wall, cpu), (_, next_wall, next_cpu) in zip(marks, marks[1:], strict=False):
        print(f"  {what:10} {next_wall - wall:8.1f} s  {next_cpu - cpu:8.1f} s CPU")
    print(f"  {'all':10} {seen.wall:8.1f} s  {seen.cpu:8.1f} s CPU   exit code {seen.code}")
    print(
        f"  peak {seen.peak_pss:,.0f} MB (proportional set size), {seen.peak_rss:,.0f} MB "
        "(resident set)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--genes", type=int, default=8_000)
    parser.add_argument("--perturbations", type=int, default=100)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--dtype", default="float32", help="of the counts: float32, int32, ...")
    parser.add_argument(
        "--compression", default=None, help="gzip or lzf; default: none, as anndata writes"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder",
        type=Path,
        help="where the files are made; default: the folder for temporary files",
    )
    parser.add_argument("--stop-in", choices=PASSES, default="", help="stop there once, and go on")
    parser.add_argument("--keep", action="store_true", help="leave the files")
    arguments = parser.parse_args()
    if arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="preparation-", dir=arguments.folder))
    try:
        sizes = arguments.cells, arguments.genes, arguments.perturbations
        start = time.perf_counter()
        raw = folder / "screen.h5ad"
        n_values = Screen(*sizes, arguments.density, seed=arguments.seed).write(
            raw, arguments.dtype, arguments.compression
        )
        print(
            f"{sizes[0]:,} cells x {sizes[1]:,} genes, {sizes[2]:,} perturbations: "
            f"{n_values / 1e6:,.1f} M counts as {arguments.dtype}, "
            f"{raw.stat().st_size / 1e6:,.0f} MB, written in {time.perf_counter() - start:.0f} s",
            flush=True,
        )
        command = [
            sys.executable,
            "-c",
            COMMAND,
            "data",
            "prepare",
            str(raw),
            "--line",
            "screen",
            "--out",
            str(folder),
        ]
        if arguments.stop_in:
            print(f"stopped by SIGTERM half-way through {arguments.stop_in}:")
            show(watch(command, arguments.stop_in))
            print("the same command again:")
        seen = watch(command)
        show(seen)
        print("\n".join(f"  {line}" for line in seen.last_lines))
        for made in sorted(folder.iterdir()):
            print(f"  {made.name}: {made.stat().st_size / 1e6:,.0f} MB")
        if seen.code:
            sys.exit(1)
    finally:
        if arguments.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
