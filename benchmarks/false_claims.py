"""How often a target is claimed where there is none:
`CDNBENCH_DATA=FOLDER python benchmarks/false_claims.py [--methods auto,cdn,target-shift]`.

1. Controls against controls. Some controls of a data set are set apart at random, 200 times, and
   called perturbed: nothing moved. At a level of 10 % a verdict may name a variable in 10 % of the
   splits; an exact binomial test says whether it does so more often. Each split is judged alone, so
   that its q is its p-value. Data: Papalexi 2021, Hill 2018, and lines of the simulator behind
   `perturbseq`.
2. Perturbations of genes that are not measured (Papalexi 2021: 16 of 25). Something moves, but no
   variable is the target: every claim is wrong. The 9 measured ones stand beside them.

Methods run only where the permutation test says that something moved: elsewhere the verdict is
"nothing moved", whatever the method says. `--ungated K` also counts what they would claim in the
first K splits if that test were left out. Without CDNBENCH_DATA the real data are left out.

`auto` stands for the method whose scores make the verdict of `bench predict --method auto` on as
many rows: the first one that it chooses. `--controls 6 --perturbed 6` asks about few rows.

Verdicts on splits are kept in `--keep FILE`, so that an interrupted run goes on where it was, and a
run with other methods or weights repeats only what depends on them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from cdnbench import Task, load_method
from cdnbench.datasets.cells.simulated.simulate import CONTROL, Simulation, gene_name, simulate_line
from cdnbench.datasets.real import hill, papalexi
from cdnbench.datasets.real.counts import read_cells
from cdnbench.digest import digest, generator
from cdnbench.loaded import LoadedMethod
from cdnbench.multiple_testing import q_values
from cdnbench.prediction.certainty import Controls, Moved, moved
from cdnbench.prediction.choice import choose
from cdnbench.prediction.verdict import Verdict, verdict

CLAIMS = ("targets", "moved")
MOST = 500
"""Rows per side that methods get; the permutation test gets all."""


class Kept:
    """Answers by key, one JSON line each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self.answers = dict(json.loads(line) for line in lines)

    def get(self, key: str, make: Callable[[], float | str]) -> float | str:
        if key not in self.answers:
            self.answers[key] = make()
            with self.path.open("a") as file:
                file.write(json.dumps([key, self.answers[key]]) + "\n")
        return self.answers[key]


def identity(method: LoadedMethod) -> str:
    """What the verdicts of a method depend on, besides the samples."""
    calibration = method.calibration()
    map_ = () if calibration is None else (calibration.slope, calibration.offset)
    return digest(method.label, method.all_parameters, method.weights_digest(), map_, size=6)


def judged(
    method: LoadedMethod, genes: list[str], before: np.ndarray, after: np.ndarray, q: float,
    test: Moved, fdr: float,
) -> Verdict:  # fmt: skip
    """The verdict of a method; it runs only if something moved."""
    nothing = np.zeros(len(genes))
    if not q <= fdr:
        return verdict(
            genes, q, scores=nothing, method=method.label, probabilities=nothing, fdr=fdr
        )
    task = Task(
        name="claims",
        variables=genes,
        symbols=genes,
        observational=before[:MOST],
        regimes=[after[:MOST]],
    )
    scores = method.predict_targets(task, seed=0)[0]
    calibration = method.calibration()
    return verdict(
        genes,
        q,
        scores=scores,
        method=method.label,
        probabilities=None if calibration is None else calibration.probabilities(scores),
        variable_p=test.variable_p,
        fdr=fdr,
        note="" if calibration is None else calibration.note,
    )


def loaded_for(names: list[str], n_control: int, n_perturbed: int, n: int) -> list[LoadedMethod]:
    """The methods for n genes; `auto` becomes the one that decides on so many rows."""
    chosen = choose(n_control, n_perturbed, n, "log", genes=True).methods[0]
    if "auto" in names:
        print(f"auto is {chosen} for {n_control} against {n_perturbed} rows of {n} genes")
    every = dict.fromkeys(chosen if name == "auto" else name for name in names)
    return [load_method(name) for name in every]


def real_controls(reader, folder: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Genes, and the cells (M, N) of each perturbation, controls among them."""
    path = reader.FILE.find(folder, reader.__name__)
    if reader is papalexi:
        cells = read_cells(path, ("perturbation", "guide_frac", "total_umis"))
        kept, total = cells.obs["guide_frac"] > 0.5, cells.obs["total_umis"]
    else:
        cells = read_cells(path, ("perturbation", "n_targets", "nUMI"))
        kept, total = cells.obs["n_targets"] == 1, cells.obs["nUMI"]
    label = cells.obs["perturbation"]
    return list(cells.genes), {
        str(name): cells.log_normalised(kept & (label == name), total)
        for name in sorted(set(label[kept]))
    }


def simulated_controls(line: str) -> tuple[list[str], np.ndarray]:
    simulation = replace(Simulation(), lines=(line,), n_perturbed=1)
    counts, obs = simulate_line(simulation, line)
    x = counts[np.flatnonzero(obs["perturbation"].to_numpy() == CONTROL)].toarray()
    x = np.log1p(1e4 * x / x.sum(axis=1, keepdims=True)).astype(np.float32)
    return [gene_name(g) for g in range(x.shape[1])], x


def splits(
    name: str,
    genes: list[str],
    controls: np.ndarray,
    names: list[str],
    n_splits: int,
    rows: tuple[int, int],
    fdr: float,
    ungated: int,
    kept: Kept,
) -> None:
    """Verdicts on controls against controls, and a table of them."""
    began = time.perf_counter()
    n1 = min(rows[1], len(controls) // 3)
    n0 = min(rows[0], len(controls) - n1)
    methods = loaded_for(names, n0, n1, len(genes))
    p, claims, without = np.empty(n_splits), Counter(), Counter()
    for number in range(n_splits):
        order = generator("false claims", name, number).permutation(len(controls))[: n0 + n1]
        before, after = controls[order[n1:]], controls[order[:n1]]
        test = cache(
            lambda a=before, b=after, i=number: moved(
                a, b, rng=generator("false claims", "moved", name, i)
            )
        )
        key = f"{name}/{n0}/{n1}/{number}"
        p[number] = kept.get(key, lambda t=test: t().p)
        gates = [(float(p[number]), claims)] + ([(0.0, without)] if number < ungated else [])
        for method in methods:
            for q, count in gates:
                said = "nothing moved"
                if q <= fdr:
                    said = kept.get(
                        f"{key}/{fdr:g}/{method.label}/{identity(method)}",
                        lambda m=method, a=before, b=after, q=q, t=test: (
                            judged(m, genes, a, b, q, t(), fdr).kind
                        ),
                    )
                count[method.label] += said in CLAIMS
    print(
        f"{name}: {len(genes)} variables, {n0} against {n1} rows, {n_splits} splits, "
        f"{time.perf_counter() - began:.0f} s"
    )
    rowed = [("something moved", int((p <= fdr).sum()))]
    rowed += [(f"claim of {m.label}", claims[m.label]) for m in methods]
    for what, k in rowed:
        chance = binomtest(k, n_splits, fdr, alternative="greater").pvalue
        said = "more than the level" if chance < 0.05 else "within the level"
        print(f"  {what:<28}{k:>5} of {n_splits}  {k / n_splits:.3f}  p {chance:.3f}  {said}")
    for m in methods if ungated else ():
        print(f"  {'without the test, ' + m.label:<28}{without[m.label]:>5} of {ungated}")
    print(flush=True)


def unmeasured(
    genes: list[str], cells: dict[str, np.ndarray], names_of_methods: list[str], fdr: float
) -> None:
    rng = generator("false claims", "unmeasured")
    before = cells[papalexi.CONTROL]
    before = before[rng.permutation(len(before))[:1000]]
    names = [name for name in cells if name != papalexi.CONTROL]
    fewest = min(len(cells[name]) for name in names)
    methods = loaded_for(names_of_methods, len(before), fewest, len(genes))
    shared = Controls(before, rng)
    tests = [moved(shared, cells[name], rng=rng) for name in names]
    q = q_values(np.array([test.p for test in tests]))
    print(f"papalexi: {len(names)} perturbations against {len(before)} controls")
    print(f"{'perturbed':<12}{'measured':<10}{'cells':>6}{'p':>10}{'q':>10}  verdicts")
    counts: dict[str, Counter] = {m.label: Counter() for m in methods}
    for i in sorted(range(len(names)), key=lambda i: (names[i] not in genes, names[i])):
        measured = names[i] in genes
        words = []
        for method in methods:
            said = judged(method, genes, before, cells[names[i]], q[i], tests[i], fdr)
            if said.kind in CLAIMS:
                right = names[i] in said.targets
                kind = f"{said.kind}, {'right' if right else 'wrong'}"
                shown = f"{said.kind}: {', '.join(said.targets[:3])}"
                shown += f" of {len(said.targets)}" if len(said.targets) > 3 else ""
            else:
                kind = shown = said.kind
            counts[method.label]["measured" if measured else "not measured", kind] += 1
            words.append(f"{method.label}: {shown}")
        print(
            f"{names[i]:<12}{'yes' if measured else 'no':<10}{len(cells[names[i]]):>6}"
            f"{tests[i].p:>10.2g}{q[i]:>10.2g}  {'; '.join(words)}",
            flush=True,
        )
    for label, found in counts.items():
        for (measured, kind), k in sorted(found.items()):
            print(f"  {label:<16}{measured:<14}{kind:<20}{k:>3}")
    print(flush=True)


def main(
    methods: list[str],
    n_splits: int,
    rows: tuple[int, int],
    fdr: float,
    ungated: int,
    data: list[str],
    keep: Path,
) -> None:
    kept = Kept(keep)
    folder = os.environ.get("CDNBENCH_DATA")
    how = (methods, n_splits, rows, fdr, ungated, kept)
    for reader in (papalexi, hill):
        name = reader.__name__.rpartition(".")[2]
        if folder and {name, f"{name}-unmeasured"} & set(data):
            genes, cells = real_controls(reader, Path(folder))
            if f"{name}-unmeasured" in data:
                unmeasured(genes, cells, methods, fdr)
            if name in data:
                splits(name, genes, cells[reader.CONTROL], *how)
    for line in ("sim-a", "sim-b"):
        if line in data:
            splits(line, *simulated_controls(line), *how)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", default="auto,cdn,target-shift")
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--controls", type=int, default=300, help="most control rows of a split")
    parser.add_argument("--perturbed", type=int, default=100, help="most rows set apart")
    parser.add_argument("--fdr", type=float, default=0.1)
    parser.add_argument("--ungated", type=int, default=0)
    parser.add_argument("--data", default="papalexi-unmeasured,papalexi,hill,sim-a,sim-b")
    parser.add_argument("--keep", type=Path, default=Path("results/false_claims.jsonl"))
    a = parser.parse_args()
    rows = (a.controls, a.perturbed)
    methods, data = a.methods.split(","), a.data.split(",")
    main(methods, a.splits, rows, a.fdr, a.ungated, data, a.keep)
