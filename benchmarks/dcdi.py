"""One training iteration of DCDI for a data set: ours in batches, and the reference's, on one core in the same run.

    git clone https://github.com/MateuszGajewski/dcdi2_copy && git -C dcdi2_copy checkout 90f5c10
    python benchmarks/dcdi.py --reference dcdi2_copy

N = 10, 30 interventional regimes and the observational one of 970 rows each, minibatches of 64, validation on all held-out rows every
100 iterations (both included, as a share). CPU seconds of one thread; the reference runs in float64.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from cdnbench.methods._memory import keep_freed_memory
from cdnbench.methods.dcdi.densities import Gaussian, SigmoidalFlow
from cdnbench.methods.dcdi.training import Options, Randomness, Rows, _Training

N, REGIMES, ROWS = 10, 30, 970
TOGETHER = {"dcdi-g": 16, "dcdi-dsf": 2}


def rows(seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    regime = np.repeat(np.arange(REGIMES + 1), ROWS)
    return Rows.split(rng.normal(size=(len(regime), N)), regime, rng)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def ours(name: str, batch: int, dtype: torch.dtype, iterations: int) -> float:
    """Seconds an iteration and data set."""
    density = Gaussian() if name == "dcdi-g" else SigmoidalFlow()
    training = _Training(
        [rows(i) for i in range(batch)],
        REGIMES,
        density,
        Options(dtype=dtype, together=TOGETHER[name]),
        [Randomness(np.random.default_rng(i)) for i in range(batch)],
    )
    training.step(0)
    spent = seconds(lambda: [training.step(i) for i in range(1, iterations + 1)])
    validation = min(seconds(lambda: training._validation_loss(0)) for _ in range(2))
    return spent / iterations / batch + validation / 100


def reference(name: str, checkout: Path, iterations: int) -> float:
    path = Path(__file__).resolve().parent.parent / "tests" / "methods" / "dcdi" / "golden" / "make_dcdi.py"
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
        for x, regime in ((data.train, data.train_regime), (data.validation, data.validation_regime))
    )
    model = golden.build("g" if name == "dcdi-g" else "dsf")
    uniform = torch.distributions.Uniform(torch.tensor(0.0), torch.tensor(1.0))
    model.gumbel_adjacency.uniform = model.gumbel_interv_w.uniform = uniform

    def run(n: int) -> None:
        nothing = np.zeros((N, N)), np.zeros((N, REGIMES + 1))
        with contextlib.redirect_stdout(io.StringIO()):
            training.train(model, *nothing, train, validation, golden.options(n, {}), lambda **_: None, None)

    once = seconds(lambda: run(1))  # the validation at iteration 0 is nearly all of it
    many = seconds(lambda: run(1 + iterations))
    torch.set_default_dtype(torch.float32)
    torch.set_default_tensor_type(torch.FloatTensor)
    return (many - once) / iterations + once / 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="checkout of the reference")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as `train` does
    for name, iterations in (("dcdi-g", 60), ("dcdi-dsf", 20)):
        theirs = reference(name, arguments.reference, iterations) if arguments.reference else None
        if theirs:
            print(f"{name:9} reference              {1e3 * theirs:8.2f} ms", flush=True)
        for dtype in (torch.float64, torch.float32):
            for batch in arguments.batches:
                spent = ours(name, batch, dtype, iterations)
                ratio = f"  {theirs / spent:5.1f} times faster" if theirs else ""
                kind = str(dtype).removeprefix("torch.")
                print(f"{name:9} batch of {batch:2}, {kind}  {1e3 * spent:8.2f} ms{ratio}", flush=True)


if __name__ == "__main__":
    main()
