"""DCI: our engine against causaldag, on the same regimes in the same run, one thread; CPU seconds.

    python benchmarks/dci.py [--bootstraps 5] [--regimes 3]
    python benchmarks/dci.py --before COMMIT [--regimes 6]

Linear and sigmoid, hard and soft settings of the synthetic suite at N = 10 and N = 20, the first
regimes of each, both methods with the published grid of levels. causaldag takes 1 to 130 s a regime
with the published 50 subsamples, so both get 5 here; its time grows in proportion to them, ours
more slowly, so the ratio at 50 is higher than this one. Our time with 50 is printed besides.
"""

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from cdnbench.methods.dci.dci import DCI
from cdnbench.methods.dci.reference import DCIReference
from cdnbench.registry import load_suite
from cdnbench.runners.provenance import host

parser = argparse.ArgumentParser()
parser.add_argument("--bootstraps", type=int, default=5)
parser.add_argument("--regimes", type=int, default=3, help="of each task")
parser.add_argument("--before", help="a commit whose engine is run instead of causaldag")
arguments = parser.parse_args()


def engine_of(commit: str):
    """The class DCI as it was at a commit, from a copy of its folder under another name."""
    archive = subprocess.run(
        ["git", "archive", commit, "methods/dci"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        check=True,
    )
    folder = Path(tempfile.mkdtemp())
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    package = (folder / "methods/dci").rename(folder / "dci_before")
    for file in package.glob("*.py"):
        file.write_text(file.read_text().replace("cdnbench.methods.dci", "dci_before"))
    sys.path.insert(0, str(folder))
    from dci_before.dci import DCI as Before  # type: ignore[import-not-found]

    return Before()


def seconds(method, task) -> float:
    begin = time.process_time()
    method.predict_outputs(task)
    return time.process_time() - begin


def against(before, after, specs) -> None:
    """Times and differing scores of both, one line for each number of variables."""
    for n in (10, 20):
        times, differing = [], 0
        for spec in specs:
            if spec.n_variables == n:
                task = suite.load(spec).task
                for r in range(arguments.regimes):
                    outputs = []
                    single = task.regime(5 * r)
                    for method in (before, after):
                        begin = time.process_time()
                        outputs.append(method.predict_outputs(single))
                        times.append(time.process_time() - begin)
                    differing += sum(
                        int((scores != outputs[1][variant]).sum())
                        for variant, scores in outputs[0].items()
                    )
        old, new = np.array(times).reshape(-1, 2).T
        print(
            f"N = {n}, {len(old)} regimes, 50 subsamples: {1000 * old.mean():.1f} ms a regime "
            f"before, {1000 * new.mean():.1f} ms after: {old.sum() / new.sum():.1f} times as fast; "
            f"{differing} scores differ",
            flush=True,
        )


with threadpool_limits(1):
    ours, theirs = (
        DCI(bootstraps=arguments.bootstraps),
        DCIReference(bootstraps=arguments.bootstraps),
    )
    published = DCI()
    suite = load_suite("synthetic")
    specs = [
        spec
        for spec in suite.specs()
        if spec.recipe.index == 0
        and spec.recipe.mechanism in ("linear", "sigmoid")
        and spec.n_variables == spec.recipe.n_edges
    ]
    warm = suite.load(specs[0]).task.regime(0)
    seconds(ours, warm)
    if arguments.before:
        before = engine_of(arguments.before)
        before.predict_outputs(warm)
        against(before, published, [s for s in suite.specs() if s.recipe.index == 0])
        print(host())
        sys.exit()
    seconds(
        DCIReference(bootstraps=1, alpha_ug=(0.001,), alpha_skeleton=(0.1,), alpha_orient=(0.001,)),
        warm,
    )
    for n in (10, 20):
        times = []
        for spec in specs:
            if spec.n_variables == n:
                task = suite.load(spec).task
                for r in range(arguments.regimes):
                    single = task.regime(r)
                    times.append([seconds(method, single) for method in (theirs, ours, published)])
        reference, batched, full = np.array(times).T
        print(
            f"N = {n}, {len(times)} regimes, {arguments.bootstraps} subsamples: causaldag "
            f"{reference.mean():.2f} s a regime "
            f"(median {np.median(reference):.2f}), ours {1000 * batched.mean():.0f} ms "
            f"(median {1000 * np.median(batched):.0f}): {reference.sum() / batched.sum():.0f} "
            "times as fast; median "
            f"ratio {np.median(reference / batched):.0f}. Ours with 50 subsamples: "
            f"{1000 * full.mean():.0f} ms",
            flush=True,
        )
print(host())
