"""One training batch of PDGrapher: the reference's and ours, on one core in the same run.

    git clone https://github.com/mims-harvard/PDGrapher && git -C PDGrapher checkout 41285f9
    python benchmarks/pdgrapher.py --reference PDGrapher

1000 genes, 11,300 edges, a batch of 32, one layer each: the step of the response, and that of the
discovery through the frozen response; losses, gradients and Adam included. CPU seconds of one
thread, the median of the steps after the first. The reference runs as in the golden test
(`tests/methods/pdgrapher/golden/make_pdgrapher.py`); torch's scatter_add, which stands in for that
of torch_scatter, takes 2 % of its time, finding the bins more than half.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from cdnbench.methods.pdgrapher import training
from cdnbench.methods.pdgrapher.network import Graph, Layers

GENES, EDGES, SAMPLES, BATCH, BINS = 1000, 11_300, 256, 32, 500


def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """before, after, targets (P, N), edges (E, 2)."""
    rng = np.random.default_rng(0)
    level = rng.uniform(size=GENES)
    before, after = (
        np.clip(level + 0.05 * rng.normal(size=(SAMPLES, GENES)), 0, 1).astype(np.float32)
        for _ in "ab"
    )
    targets = np.zeros((SAMPLES, GENES), dtype=bool)
    targets[np.arange(SAMPLES), rng.integers(0, GENES, SAMPLES)] = True
    pairs = rng.integers(0, GENES, (2 * EDGES, 2))
    edges = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    return before, after, targets, rng.permutation(edges)[:EDGES]


def seconds(step: Callable[[], object], repeats: int) -> float:
    spent = []
    for _ in range(1 + repeats):
        start = time.process_time()
        step()
        spent.append(time.process_time() - start)
    return float(np.median(spent[1:]))


def ours(repeats: int) -> tuple[float, float]:
    """Seconds a step: response, discovery."""
    before, after, targets, edges = problem()
    rng = np.random.default_rng(0)
    bins = [training.Binning.of(x, np.ones_like(targets), BINS) for x in (before, after)]
    networks = training.networks(
        *bins,
        GENES,
        Layers(),
        lambda name, codes, n: rng.normal(size=(len(codes), 16)).astype(np.float32),
        rng,
    )
    pair = training.Pair(*networks, Graph.of(GENES, edges), float(GENES - 1), 0.01)
    rows = (torch.from_numpy(b.rows(x)) for b, x in zip(bins, (before, after), strict=True))
    numbers = (
        torch.from_numpy(np.ascontiguousarray(a.T, np.float32))
        for a in (after, np.ones_like(after), targets)
    )
    data = training.Batches(*rows, *numbers)
    spent = []
    for k, loss in enumerate((pair.response_loss, pair.discovery_loss)):
        for j, network in enumerate(networks):
            network.train(j == k).requires_grad_(j == k)
        optimiser = torch.optim.Adam(networks[k].parameters(), lr=0.01, foreach=True)

        def step(loss=loss, optimiser=optimiser) -> None:
            optimiser.zero_grad()
            loss(data.of(rng.permutation(SAMPLES)[:BATCH])).backward()
            optimiser.step()

        spent.append(seconds(step, repeats))
    return spent[0], spent[1]


def reference(checkout: Path, repeats: int) -> tuple[float, float]:
    """Seconds a step of `Trainer._train_one_pass`: response, discovery."""
    path = (
        Path(__file__).resolve().parent.parent
        / "tests"
        / "methods"
        / "pdgrapher"
        / "golden"
        / "make_pdgrapher.py"
    )
    spec = importlib.util.spec_from_file_location("make_pdgrapher", path)
    assert spec and spec.loader
    golden = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(golden)
    modules = golden.load_reference(checkout)
    before, after, targets, edges = problem()
    golden.N = GENES
    data = {
        "before": before,
        "after": after,
        "targets": targets.astype(np.float32),
        "mutations": 0 * before,
    }
    i, j = edges.T
    loops = np.arange(GENES)
    edge_index = torch.from_numpy(np.array([np.r_[i, j, loops], np.r_[j, i, loops]]))
    arguments = modules.models.GCNArgs(num_vars=GENES, n_layers_nn=1)
    networks = (
        modules.models.ResponsePredictionModel(arguments, edge_index),
        modules.models.PerturbationDiscoveryModel(arguments, edge_index),
    )
    trainer = modules.train.Trainer(
        use_forward_data=False,
        use_backward_data=True,
        use_supervision=True,
        supervision_multiplier=0.01,
    )
    for k, network in enumerate(networks, 1):
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
        setattr(trainer, f"_op{k}_zero_grad", optimiser.zero_grad)
        setattr(trainer, f"_op{k}_step", optimiser.step)
    single = [golden.batch(data, slice(p, p + 1)) for p in range(SAMPLES)]
    for sample in single:
        vars(sample).update(
            {k: v.float() for k, v in vars(sample).items() if k not in ("num_nodes", "batch")}
        )
    thresholds = modules.utils.get_thresholds(types.SimpleNamespace(train_dataset_backward=single))
    positive = torch.tensor(float(GENES - 1))
    batch = golden.batch(data, slice(0, BATCH))
    vars(batch).update(
        {k: v.float() for k, v in vars(batch).items() if k not in ("num_nodes", "batch")}
    )
    stops = [types.SimpleNamespace(is_stopped=False), types.SimpleNamespace(is_stopped=False)]
    spent = []
    for k in (0, 1):
        stops[k].is_stopped, stops[1 - k].is_stopped = False, True
        spent.append(
            seconds(
                lambda: trainer._train_one_pass(
                    *networks, *stops, [], [batch], thresholds, positive
                ),
                repeats,
            )
        )
    return spent[0], spent[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, help="checkout of the reference")
    parser.add_argument(
        "--repeats",
        type=int,
        default=3,
        help="timed steps of the reference; ours has ten times as many",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    spent = ours(10 * arguments.repeats)
    theirs = reference(arguments.reference, arguments.repeats) if arguments.reference else None
    rows = dict(zip(("response", "discovery", "both"), (*spent, sum(spent)), strict=True))
    for k, (name, own) in enumerate(rows.items()):
        line = f"{name:9}   ours {1e3 * own:6.1f} ms"
        if theirs:
            other = (*theirs, sum(theirs))[k]
            line += f"   reference {1e3 * other:6.0f} ms   {other / own:5.1f} times faster"
        print(line)


if __name__ == "__main__":
    main()
