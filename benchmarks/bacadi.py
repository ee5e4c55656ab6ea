"""Time of a step of `bacadi`: `python benchmarks/bacadi.py [--threads 1] [--steps 10] [--reference
CHECKOUT --python PYTHON]`.

N = 10, 30 regimes and an observational data set, 20 particles, the paper's 200 and 20 rows; batches
of 1, 8 and 32 data sets in one fit, both likelihoods (the linear one also with 967 rows a data
set). Seconds of this process's CPU time, which a busy machine disturbs least. With --reference, the
reference's step in between, on the same rows, in the environment of PYTHON (see
tests/methods/bacadi/golden/make_bacadi.py).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

N, R = 10, 30


def data(seed: int, rows: tuple[int, int] = (200, 20)) -> list[np.ndarray]:
    """Rows of a linear system without intervention, and of R regimes that set one variable."""
    rng = np.random.default_rng(seed)
    weights = np.triu((rng.random((N, N)) < 0.3) * rng.uniform(0.3, 0.9, (N, N)), 1)
    found = []
    for regime in range(R + 1):
        effects = weights.copy()
        if regime:
            effects[:, regime % N] = 0
        noise = rng.normal(0, 0.1**0.5, (rows[regime > 0], N))
        noise[:, regime % N] += 2.0 * (regime > 0)
        found.append(noise @ np.linalg.inv(np.eye(N) - effects))
    return found


def ours(
    likelihood: str, n_data_sets: int, n_steps: int, rows: tuple[int, int] = (200, 20)
) -> float:
    """CPU milliseconds per step and data set."""
    from cdnbench.methods.bacadi.likelihood import FullyConnected, Linear, Regimes
    from cdnbench.methods.bacadi.posterior import Posterior, Prior
    from cdnbench.methods.bacadi.svgd import Draws, fit

    samples = [data(seed, rows) for seed in range(n_data_sets)]
    posterior = Posterior(
        {"linear": Linear, "fc": FullyConnected}[likelihood](samples),
        Regimes.of(samples, "cpu"),
        Prior(),
    )
    fit(
        posterior,
        Draws([np.random.default_rng(d) for d in range(n_data_sets)]),
        n_regimes=R,
        n_steps=1,
    )
    draws = Draws([np.random.default_rng(d) for d in range(n_data_sets)])
    began = time.process_time()
    fit(posterior, draws, n_regimes=R, n_steps=n_steps)
    return 1000 * (time.process_time() - began) / n_steps / n_data_sets


def reference(checkout: str, likelihood: str, n_steps: int) -> float:
    """CPU milliseconds of a step of the reference, once compiled."""
    sys.path.insert(
        0, str(Path(__file__).resolve().parent.parent / "tests" / "methods" / "bacadi" / "golden")
    )
    from make_bacadi import import_reference, reference_model

    model = reference_model(import_reference(checkout), likelihood)
    spent: list[float] = []
    step = type(model).svgd_step

    class Enough(Exception):
        pass

    def timed(self, *args):
        import jax

        if len(spent) == n_steps + 1:
            raise Enough
        began = time.process_time()
        result = jax.block_until_ready(step(self, *args))
        spent.append(1000 * (time.process_time() - began))
        return result

    type(model).svgd_step = timed
    samples = data(0)
    try:
        model.fit(np.concatenate(samples), np.repeat(range(R + 1), [len(x) for x in samples]))
    except Enough:
        return float(np.median(spent[1:]))
    raise RuntimeError("the reference ended before its steps were timed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--reference", metavar="CHECKOUT")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--only-reference", choices=("linear", "fc"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only_reference:
        print(reference(arguments.reference, arguments.only_reference, arguments.steps))
        raise SystemExit
    import torch

    torch.set_num_threads(arguments.threads)
    for kind in ("linear", "fc"):
        own = ours(kind, 1, arguments.steps)
        print(f"{kind}, batch of 1: {own:.1f} ms a step", flush=True)
        if arguments.reference:
            command = [
                arguments.python,
                __file__,
                "--only-reference",
                kind,
                "--reference",
                arguments.reference,
            ]
            limits = {
                "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
                "OMP_NUM_THREADS": "1",
            }
            steps = ["--steps", str(min(5, arguments.steps))]
            printed = subprocess.run(
                command + steps, env=os.environ | limits, capture_output=True, text=True, check=True
            )
            theirs = float(printed.stdout.split()[-1])
            again = ours(kind, 1, arguments.steps)
            print(
                f"{kind}, reference: {theirs:.0f} ms a step; again ours: {again:.1f}; "
                f"{theirs / again:.0f} times",
                flush=True,
            )
        for n_data_sets in (8, 32):
            n_steps = max(1, arguments.steps // n_data_sets) if kind == "fc" else arguments.steps
            if kind == "linear" or n_data_sets == 8:
                took = ours(kind, n_data_sets, n_steps)
                print(
                    f"{kind}, batch of {n_data_sets}: {took:.1f} ms a step and data set", flush=True
                )
    print(
        f"linear, 967 rows per data set: {ours('linear', 1, arguments.steps, (967, 967)):.1f} ms a "
        "step"
    )
