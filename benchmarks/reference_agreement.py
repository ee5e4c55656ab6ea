"""Whole runs of DCDI and BaCaDI beside their references, on the same 12 small data sets, with other
random numbers.

    python benchmarks/reference_agreement.py dcdi-g --reference CHECKOUT --out results/agreement
    python benchmarks/reference_agreement.py bacadi --reference CHECKOUT --out results/agreement
    --python PYTHON

Checkouts and PYTHON as for tests/methods/dcdi/golden/make_dcdi.py and
tests/methods/bacadi/golden/make_bacadi.py. N = 5 and 6 in turn, N regimes of one or two targets,
linear mechanisms in every other pair of data sets, else tanh. The schedules are shorter than the
defaults, for both sides alike, so that the reference ends within minutes: BaCaDI does fewer steps;
DCDI starts with a larger multiplier, which grows faster, learns faster and has less patience, and
its runs converge. A finished run is kept in --out, and not made again.

Printed: mean average precision over the regimes of all data sets, and the mean over data sets of
Spearman's correlation of all
scores: of the reference with ours, and, as the level of chance, of two seeds of ours.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
N_DATA_SETS = 12
DCDI = {"learning_rate": 1e-2, "max_iterations": 40_000}
SCHEDULE = {"mu_init": 100.0, "mu_mult_factor": 10.0, "train_patience": 1, "train_patience_post": 1}
BACADI = {
    "n_steps": 400,
    "alpha_linear": 0.05,
    "n_grad_samples": 64,
    "n_acyclicity_samples": 32,
    "observational_rows": 0,
    "regime_rows": 0,
}
METHODS = ("dcdi-g", "dcdi-dsf", "bacadi")
SETTINGS = hashlib.sha256(repr((DCDI, SCHEDULE, BACADI)).encode()).hexdigest()[
    :6
]  # in the names of the files of --out


def data(k: int, method: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Rows of each regime, the observational ones first, and targets (R, N)."""
    rng = np.random.default_rng(100 + k)
    n = 5 + k % 2
    rows, scale = ((60, 15), 0.3) if method == "bacadi" else ((500, 500), 0.4)
    weights = np.triu(
        (rng.random((n, n)) < 0.5) * rng.uniform(0.7, 1.4, (n, n)) * rng.choice([-1, 1], (n, n)), 1
    )
    weights[np.arange(n - 1), np.arange(1, n)] += 0.8 * (
        weights[np.arange(n - 1), np.arange(1, n)] == 0
    )
    places = rng.permutation(n)
    found, targets = [], np.zeros((n, n), dtype=bool)
    for regime in range(n + 1):
        hit = rng.choice(n, rng.integers(1, 3), replace=False) if regime else []
        x = np.zeros((rows[regime > 0], n))
        for i in range(n):
            parents = x @ weights[:, i]
            noise = scale * rng.normal(size=len(x))
            x[:, i] = (
                rng.uniform(-1, 1, len(x))
                if i in hit
                else (parents if k % 4 < 2 else 1.5 * np.tanh(parents)) + noise
            )
        found.append(x[:, places].astype(np.float32).astype(np.float64))
        if regime:
            targets[regime - 1, hit] = True
    return found, targets[:, places]


def ours(k: int, method: str, seed: int) -> dict[str, np.ndarray]:
    from cdnbench import Task, load_method

    samples, _ = data(k, method)
    names = [f"v{i}" for i in range(samples[0].shape[1])]
    task = Task(name=f"small-{k}", variables=names, observational=samples[0], regimes=samples[1:])
    if method == "bacadi":
        return load_method("bacadi", **BACADI).predict_outputs(task, seed=seed)
    from cdnbench.methods.dcdi import single
    from cdnbench.methods.dcdi.data import Randomness, Rows
    from cdnbench.methods.dcdi.dcdi import _rows

    # Through the engine, since the multipliers are not parameters of the method.
    rng = np.random.default_rng(seed)
    split = Rows.split(*_rows(task, False), rng)
    family = {"dcdi-g": "gaussian", "dcdi-dsf": "flow"}[method]
    ended = single.train(split, task.n_regimes, family, dcdi_options(), Randomness(rng))
    return {
        "": ended.probability.T,
        "iterations": np.array(ended.iterations),
        "reason": np.array(ended.reason),
    }


def dcdi_options():
    from cdnbench.methods.dcdi.data import Options
    from cdnbench.methods.dcdi.schedule import Constants

    return Options(constants=Constants(**SCHEDULE), **DCDI)


def golden(name: str):
    path = ROOT / "tests" / "methods" / name / "golden" / f"make_{name}.py"
    spec = importlib.util.spec_from_file_location(f"make_{name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dcdi_reference(k: int, method: str, checkout: Path) -> dict[str, np.ndarray]:
    import torch

    torch.set_num_threads(1)
    make = golden("dcdi")
    samples, _ = data(k, method)
    n = samples[0].shape[1]
    make.N, make.E = n, n
    make.load_reference(checkout)
    from dcdi import train as training  # type: ignore[import-not-found]

    training.monkey_patch_RMSprop = lambda optimiser: None
    x, regime = np.concatenate(samples), np.repeat(np.arange(n + 1), [len(s) for s in samples])
    order = np.random.default_rng(k).permutation(len(x))
    cut = int(0.8 * len(x))
    train, validation = (make.Data(x[i], regime[i]) for i in (order[:cut], order[cut:]))
    model = make.build("g" if method == "dcdi-g" else "dsf")
    uniform = torch.distributions.Uniform(torch.tensor(0.0), torch.tensor(1.0))
    model.gumbel_adjacency.uniform = model.gumbel_interv_w.uniform = uniform
    torch.manual_seed(k)
    changed = {"lr": DCDI["learning_rate"], "lr_reinit": DCDI["learning_rate"], **SCHEDULE}
    last: list[int] = []

    def record(stage: str, step: int, metrics: dict) -> None:
        last.append(step)

    nothing = np.zeros((n, n)), np.zeros((n, n + 1))
    options = make.options(DCDI["max_iterations"], changed)
    with contextlib.redirect_stdout(io.StringIO()):
        training.train(model, *nothing, train, validation, options, record, None)
    probability = torch.sigmoid(-model.gumbel_interv_w.log_alpha).detach().numpy()
    return {"": probability.T, "iterations": np.array(last[-1])}


def bacadi_reference(k: int, checkout: Path) -> dict[str, np.ndarray]:
    import builtins

    make = golden("bacadi")
    jax = make.import_reference(str(checkout))
    from bacadi.inference import bacadi_joint  # type: ignore[import-not-found]

    bacadi_joint.range = lambda n, *more: builtins.range(BACADI["n_steps"])
    model = make.reference_model(
        jax,
        "linear",
        seed=k,
        alpha_linear=BACADI["alpha_linear"],
        n_grad_mc_samples=BACADI["n_grad_samples"],
        n_acyclicity_mc_samples=BACADI["n_acyclicity_samples"],
    )
    samples, _ = data(k, "bacadi")
    model.fit(np.concatenate(samples), np.repeat(range(len(samples)), [len(x) for x in samples]))
    gamma = np.asarray(model.particles_gamma)
    log_weight = np.asarray(model.particle_mixture()[3])
    weight = np.exp(log_weight - log_weight.max())
    hard = (gamma > 0).astype(float)
    return {
        "soft": (1 / (1 + np.exp(-gamma))).mean(0),
        "e": hard.mean(0),
        "m": np.einsum("p,prn->rn", weight / weight.sum(), hard),
    }


def kept(path: Path, make) -> dict[str, np.ndarray]:
    if not path.exists():
        began = time.process_time()
        result = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.npz")
        np.savez(
            partial,
            cpu_s=np.array(time.process_time() - began),
            **{f"score_{v}": s for v, s in result.items()},
        )
        partial.rename(path)
        print(path.stem, flush=True)
    return {key.removeprefix("score_"): value for key, value in np.load(path).items()}


def summary(method: str, runs: list[tuple[dict, dict, dict]]) -> None:
    from scipy.stats import spearmanr
    from sklearn.metrics import average_precision_score

    def precision(k: int, scores: np.ndarray) -> float:
        return float(
            np.mean(
                [
                    average_precision_score(t, s)
                    for t, s in zip(data(k, method)[1], scores, strict=True)
                ]
            )
        )

    def correlation(a: np.ndarray, b: np.ndarray) -> float:
        return float(spearmanr(a.ravel(), b.ravel())[0])

    for variant in ("soft", "e", "m") if method == "bacadi" else ("",):
        mean = [
            np.mean([precision(k, run[i][variant]) for k, run in enumerate(runs)]) for i in range(3)
        ]
        pairs = [
            np.mean([correlation(run[i][variant], run[j][variant]) for run in runs])
            for i, j in ((0, 1), (0, 2), (1, 2))
        ]
        print(
            f"{method} {variant}: {len(runs)} data sets; mean AP reference {mean[0]:.3f}, ours "
            f"{mean[1]:.3f} and {mean[2]:.3f}; "
            f"Spearman reference with ours {pairs[0]:.3f} and {pairs[1]:.3f}, ours with ours "
            f"{pairs[2]:.3f}"
        )
    cpu = [sum(float(run[i]["cpu_s"]) for run in runs) for i in range(3)]
    print(f"CPU seconds: reference {cpu[0]:.0f}, ours {cpu[1]:.0f} and {cpu[2]:.0f}")
    if "iterations" in runs[0][0]:
        print("iterations", [[int(r["iterations"]) for r in run] for run in runs])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--python", default=sys.executable, help="of the environment with jax, for bacadi"
    )
    parser.add_argument("--data-sets", type=int, default=N_DATA_SETS)
    parser.add_argument("--only-reference", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    method, out = arguments.method, arguments.out

    def path(k: int, who: str) -> Path:
        return out / f"{method}-{SETTINGS}-{k}-{who}.npz"

    if arguments.only_reference is not None:
        k = arguments.only_reference
        run = (
            dcdi_reference
            if method != "bacadi"
            else lambda k, _, checkout: bacadi_reference(k, checkout)
        )
        kept(path(k, "reference"), lambda: run(k, method, arguments.reference))
        return
    runs = []
    for k in range(arguments.data_sets):
        if not path(k, "reference").exists():
            python = arguments.python if method == "bacadi" else sys.executable
            command = [
                python,
                __file__,
                method,
                "--reference",
                str(arguments.reference),
                "--out",
                str(out),
            ]
            limits = {
                "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
                "OMP_NUM_THREADS": "1",
            }
            log = out / f"{method}-{k}.log"
            out.mkdir(parents=True, exist_ok=True)
            with log.open("w") as stream:
                subprocess.run(
                    [*command, "--only-reference", str(k)],
                    env=os.environ | limits,
                    check=True,
                    stdout=stream,
                    stderr=stream,
                )
        runs.append(
            (
                kept(path(k, "reference"), lambda: {}),
                *(
                    kept(path(k, f"ours-{seed}"), lambda k=k, s=seed: ours(k, method, s))
                    for seed in (0, 1)
                ),
            )
        )
        summary(method, runs)


if __name__ == "__main__":
    main()
