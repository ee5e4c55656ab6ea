"""One training iteration of DCDI for a data set: ours, mean of 32 data sets, and the reference's,
on one core in the same run.

    git clone https://github.com/MateuszGajewski/dcdi2_copy && git -C dcdi2_copy checkout 90f5c10
    python benchmarks/dcdi.py --reference dcdi2_copy

N = 10, 30 interventional regimes and the observational one of 970 rows each, minibatches of 64,
validation on all held-out rows every 100 iterations (both included, as a share), both in float64.
CPU seconds of one thread. How often a mechanism counts as intervened on decides how many of the
small networks of the regimes ours has to compute: as at the start, and half of the time.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cdnbench.methods.dcdi import single
from cdnbench.methods.dcdi.data import Options, Randomness, Rows

N, REGIMES, ROWS = 10, 30, 970
FAMILIES = {"dcdi-g": "gaussian", "dcdi-dsf": "flow"}


def rows(seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    regime = np.repeat(np.arange(REGIMES + 1), ROWS)
    return Rows.split(rng.normal(size=(len(regime), N)), regime, rng)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def ours(name: str, n_data: int, iterations: int, keep: float) -> float:
    """Seconds an iteration and data set. keep: log-odds of a mechanism being left alone, at the
    start."""
    spent = 0.0
    for i in range(n_data):
        training = single.Training(
            rows(i), REGIMES, FAMILIES[name], Options(), Randomness(np.random.default_rng(i))
        )
        training.network.keep[:] = keep
        training.run(1)  # compiles, and is left out: it is the one with the validation
        spent += (
            seconds(partial(training.run, 1 + iterations)) / iterations
            + seconds(training.validation_loss) / 100
        )
    return spent / n_data


def reference(name: str, checkout: Path, iterations: int, keep: float) -> float:
    path = (
        Path(__file__).resolve().parent.parent
        / "tests"
        / "methods"
        / "dcdi"
        / "golden"
        / "make_dcdi.py"
    )
    spec = importlib.util.spec_from_file_location("make_dcdi", path)
    assert spec and spec.loader
    golden = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(golden)
    golden.N, golden.E = N, REGIMES
    golden.load_reference(checkout)
    from dcdi import train as training  # type: ignore[import-not-found]

    training.monkey_patch_RMSprop = lambda optimiser: None
    data = rows(0)
    train, validation = (
        golden.Data(x, regime)
        for x, regime in (
            (data.train, data.train_regime),
            (data.validation, data.validation_regime),
        )
    )
    model = golden.build("g" if name == "dcdi-g" else "dsf")
    with torch.no_grad():
        model.gumbel_interv_w.log_alpha.fill_(keep)
    uniform = torch.distributions.Uniform(torch.tensor(0.0), torch.tensor(1.0))
    model.gumbel_adjacency.uniform = model.gumbel_interv_w.uniform = uniform

    def run(n: int) -> None:
        nothing = np.zeros((N, N)), np.zeros((N, REGIMES + 1))
        with contextlib.redirect_stdout(io.StringIO()):
            training.train(
                model, *nothing, train, validation, golden.options(n, {}), lambda **_: None, None
            )

    once = seconds(lambda: run(1))  # the validation at iteration 0 is nearly all of it
    many = seconds(lambda: run(1 + iterations))
    torch.set_default_dtype(torch.float32)
    torch.set_default_tensor_type(torch.FloatTensor)
    return (many - once) / iterations + once / 100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, help="checkout of the reference")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, iterations in (("dcdi-g", 90), ("dcdi-dsf", 30)):
        for keep in (3.0, 0.0):
            share = 1 / (1 + np.exp(keep))
            theirs = (
                reference(name, arguments.reference, iterations, keep)
                if arguments.reference
                else None
            )
            spent = ours(name, 32, 90, keep)
            line = f"{name:9} P(target) {share:.2f}   ours {1e3 * spent:6.3f} ms"
            print(
                line
                + (
                    f"   reference {1e3 * theirs:6.2f} ms   {theirs / spent:5.1f} times faster"
                    if theirs
                    else ""
                )
            )


if __name__ == "__main__":
    main()
