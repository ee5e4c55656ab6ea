"""Calibration of `cdn`, and how reliable its probabilities are: `python benchmarks/reliability.py`.

The sigmoid of a logit of `cdn` is the probability that it gives to "is a target" under its training
laws. On data of other laws it may be too sure or not sure enough. This fits the two numbers of

    probability = sigmoid(slope * logit + offset)

on data of laws that neither the weights nor anybody's choices have seen, writes them to
`methods/cdn/weights/calibration.json` with the digest of the weights that they are for, and prints
how often variables of each predicted probability were targets, on further data.

Which data. A user's samples follow none of the training laws, so probabilities must hold where the
network does not know the law. Three sources count alike:

    cells    the simulator behind `perturbseq`, none of which is in training, with seeds that no
             suite has. Of the comparisons, a fifth is controls against controls, and in a fifth the
             target's column is missing, as is the rule in real screens.
    far      laws of `synthetic-far`: families of noise, measurement and intervention that training
             does not have, with numbers that the suite does not have. In every third data set one
             variable is not measured.
    worlds   laws of training, with a seed that training does not have: there the logits should need
             no change, and a map that spoilt them would be wrong.

The map is fitted to one half, and judged on the other half, of other seeds: other networks, lines
and worlds. The last table fits to two sources and judges on the third: what is to be expected of
data of yet another kind. The map has two numbers only: a finer one would follow these three sources
and say no more about a fourth. What is measured is printed, with the expected calibration error
over variables that are given 1 % or more.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cdnbench import Task, load_method
from cdnbench.datasets.cells.simulated.simulate import (
    CONTROL,
    Simulation,
    gene_name,
    simulate_line,
    targets_of,
)
from cdnbench.datasets.synthetic.far import INTERVENTIONS, MARGINALS, NOISE, FarRecipe
from cdnbench.datasets.synthetic.far import labelled_task as far_task
from cdnbench.datasets.worlds import WIDE, batch
from cdnbench.digest import generator
from cdnbench.prediction.calibration import Calibration, expected_error, fit, reliability
from cdnbench.prediction.verdict import at_rate

HALVES = ("fit", "judge")
SEEDS = {"fit": 730_000, "judge": 840_000}
SOURCES = ("cells", "far", "worlds")


class Answered(NamedTuple):
    """logits and targets: (V,) of all variables of all regimes. regime: (V,) its number."""

    logits: np.ndarray
    targets: np.ndarray
    regime: np.ndarray


def cells(seed: int, scale: float) -> Iterator[tuple[Task, np.ndarray]]:
    """Perturbations of simulated lines, 20 of each line."""
    for number in range(max(1, round(4 * scale))):
        n_genes = (150, 400, 800, 250)[number % 4]
        simulation = replace(
            Simulation(),
            lines=("calibration",),
            n_genes=n_genes,
            n_regulators=n_genes // 4,
            n_perturbed=16,
            n_controls=400,
            seed=seed + number,
        )
        counts, obs = simulate_line(simulation, "calibration")
        rates = counts.toarray() / np.asarray(counts.sum(axis=1)).reshape(-1, 1)
        x, label = np.log1p(1e4 * rates).astype(np.float32), obs["perturbation"].to_numpy()
        genes = [gene_name(g) for g in range(n_genes)]
        controls = x[label == CONTROL]
        sides = [
            (controls, x[label == name], own, i % 4 == 3)
            for i, (name, own) in enumerate(targets_of(simulation).items())
        ]
        for part in range(4):  # controls against controls
            apart = generator("reliability", seed, number, part).permutation(len(controls))
            sides.append((controls[apart[100:]], controls[apart[:100]], [], False))
        for before, after, own, hidden in sides:
            kept = np.array([not (hidden and g in own) for g in range(n_genes)])
            targets = np.isin(np.arange(n_genes), own)
            names = [gene for gene, keep in zip(genes, kept, strict=True) if keep]
            yield (
                Task(
                    name="cells",
                    variables=names,
                    symbols=names,
                    observational=before[:, kept],
                    regimes=[after[:, kept]],
                ),
                targets[None, kept],
            )


def far(seed: int, scale: float) -> Iterator[tuple[Task, np.ndarray]]:
    """Data sets of the laws of `synthetic-far`, 30 regimes each."""
    for number in range(round(24 * scale)):
        rng = generator("reliability", "far", seed, number)
        n = int(rng.choice([10, 20]))
        made = far_task(
            FarRecipe(
                n_variables=n,
                n_edges=int(rng.choice([n, 2 * n])),
                mechanism=str(rng.choice(["linear", "nn", "fourier", "sigmix"])),
                noise=NOISE[number % 2],
                intervention=INTERVENTIONS[number // 2 % 2],
                marginal=MARGINALS[number // 4 % 2],
                index=seed + number,
                rows=int(rng.choice([100, 500])),
                seed=("reliability",),
            )
        )
        kept = np.arange(n) != (0 if number % 3 == 2 else n)
        task = made.task
        yield (
            Task(
                name="far",
                variables=np.array(task.variables)[kept].tolist(),
                observational=task.observational[:, kept],
                regimes=[x[:, kept] for x in task.regimes],
            ),
            made.targets[:, kept],
        )


def worlds(seed: int, scale: float) -> Iterator[tuple[Task, np.ndarray]]:
    """Data sets of the training laws of worlds."""
    for step in range(round(40 * scale)):
        for example in batch(WIDE, seed, step, cells=12_000, most=2):
            yield example.task, example.targets


MAKE = {"cells": cells, "far": far, "worlds": worlds}


def answers(weights: str, source: str, half: str, scale: float) -> Answered:
    method, began = load_method("cdn", weights=weights), time.perf_counter()
    logits, targets, regimes = [], [], []
    for number, (task, truth) in enumerate(MAKE[source](SEEDS[half], scale), 1):
        logits.append(method.predict_targets(task, seed=0).ravel())
        targets.append(truth.ravel())
        first = regimes[-1][-1] + 1 if regimes else 0
        regimes.append(first + np.repeat(np.arange(len(truth)), truth.shape[1]))
        if number % 20 == 0:
            print(f"  {source}: {number}, {time.perf_counter() - began:.0f} s", flush=True)
    return Answered(*map(np.concatenate, (logits, targets, regimes)))


def kept_answers(
    folder: Path, digest: str, weights: str, source: str, half: str, scale: float
) -> Answered:
    """Answers, kept for another run with the same weights."""
    path = folder / f"{digest}-{source}-{half}-{scale:g}.npz"
    if path.exists():
        with np.load(path) as file:
            return Answered(*(file[name] for name in Answered._fields))
    found = answers(weights, source, half, scale)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(path, **found._asdict())
    return found


def claims(found: Answered, by: Calibration, rate: float = 0.1) -> str:
    """What the verdicts of all regimes would name, and how much of it is wrong."""
    p = by.probabilities(found.logits)
    ends = np.flatnonzero(np.diff(found.regime)) + 1
    named = wrong = sets = 0
    for part, truth in zip(np.split(p, ends), np.split(found.targets, ends), strict=True):
        chosen = at_rate(part, rate)
        sets += len(chosen) > 0
        named += len(chosen)
        wrong += int((~truth[chosen]).sum())
    share = f"{wrong / named:.3f}" if named else "-"
    return (
        f"sets at {100 * rate:g} %: {sets} of {len(ends) + 1} regimes name {named} variables, "
        f"{wrong} of them wrong ({share})"
    )


def show(title: str, found: Answered, by: Calibration) -> float:
    p, targets = by.probabilities(found.logits), found.targets
    error = expected_error(p, targets)
    print(f"\n{title}: {len(p):,} variables, {int(targets.sum()):,} targets, ECE {error:.4f}")
    print(f"{'probability':<16}{'variables':>11}{'predicted':>11}{'observed':>10}{'95 %':>16}")
    for row in reliability(p, targets):
        print(
            f"{row.low:.2f} to {row.high:<8.2f}{row.variables:>11,}{row.predicted:>11.4f}"
            f"{row.observed:>10.4f}{f'{row.least:.3f} to {row.most:.3f}':>16}"
        )
    print(claims(found, by))
    return error


def main(weights: str, out: Path, scale: float, keep: Path) -> None:
    began = time.perf_counter()
    digest = load_method("cdn", weights=weights).weights_digest()
    found: dict[tuple[str, str], Answered] = {}
    counts: dict[str, dict[str, int]] = {}
    for source in SOURCES:
        for half in HALVES:
            made = kept_answers(keep, digest, weights, source, half, scale)
            found[source, half] = made
            regimes = int(made.regime[-1]) + 1
            hit = np.unique(made.regime[made.targets]).size
            counts[f"{source}, {half}"] = {
                "regimes": regimes,
                "without_target": regimes - hit,
                "variables": len(made.logits),
                "targets": int(made.targets.sum()),
            }
            print(
                f"{source}, to {half}: {regimes} regimes, {regimes - hit} without a measured "
                f"target; {time.perf_counter() - began:.0f} s",
                flush=True,
            )
    fitted = {source: found[source, "fit"][:2] for source in SOURCES}
    slope, offset = fit(list(fitted.values()))
    raw = Calibration(digest)
    made = Calibration(digest, slope=slope, offset=offset)
    print(f"\nweights {digest}: probability = sigmoid({slope:.3f} logit {offset:+.3f})")
    errors = {}
    for source in SOURCES:
        show(f"{source}, as the network says", found[source, "judge"], raw)
        errors[source] = show(f"{source}, calibrated", found[source, "judge"], made)
    print("\nfitted to the two others      ECE raw   calibrated")
    for source in SOURCES:
        others = Calibration(digest, *fit([x for s, x in fitted.items() if s != source]))
        judged = found[source, "judge"]
        raw_error, error = (
            expected_error(by.probabilities(judged.logits), judged.targets) for by in (raw, others)
        )
        print(f"{source:<30}{raw_error:>7.4f}{error:>13.4f}")
    replace(
        made,
        provenance={
            "command": f"python benchmarks/reliability.py --weights {weights} --scale {scale:g}",
            "seeds": SEEDS,
            "counts": counts,
            "expected_calibration_error": {s: round(e, 5) for s, e in errors.items()},
        },
    ).write(out)
    print(f"\nWrote {out}; {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", default="cdn")
    parser.add_argument("--out", type=Path, default=Path("methods/cdn/weights/calibration.json"))
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of data sets")
    parser.add_argument(
        "--keep", type=Path, default=Path("results/reliability"), help="folder for answers"
    )
    a = parser.parse_args()
    main(a.weights, a.out, a.scale, a.keep)
