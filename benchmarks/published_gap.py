"""Where our values differ from the printed ones: which law of the data, or reading of the scores,
would close the gap?

    python benchmarks/published_gap.py ut-igsp [--interventions hard,soft]
    python benchmarks/published_gap.py dci --interventions hard
    python benchmarks/published_gap.py cdn-mlp --interventions soft
    python benchmarks/published_gap.py dcdi-g --interventions hard --variables 10 --datasets 2

Runs the published reading of a method on Table 11's linear and polynomial settings under the dcdi
protocol, changing one thing at a time: the sample size, the spread of the redrawn noise variance,
the law of the roots, the factors of soft interventions, the method's parameters, the order in which
regimes are read. Prints mAP and AUC
beside the printed means (the corrected ones of CDN, see `reports/printed/README.md`), and in how
many of the (setting, metric) pairs of the first kind of intervention the two agree by Welch's
interval. A law that closes the gap is a conjecture about data that are not public; the suites do
not use it.
"""

import argparse
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from cdnbench import load_method, load_suite
from cdnbench.datasets.synthetic import generate, tasks
from cdnbench.datasets.synthetic.recipe import HARD, Recipe
from cdnbench.metrics import evaluate
from cdnbench.reports import published
from cdnbench.reports.statistics import agreement_limit
from cdnbench.reports.tables.agreement import N_DATASETS


class RedrawnRoots:
    """Stands for the bound of the roots: each root gets a new scale sqrt(1 + U(0, 1)) in every data
    set, as the noise does."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __mul__(self, draws: np.ndarray) -> np.ndarray:
        return np.sqrt(1 + self.rng.random((len(draws), 1))) * draws


NOISE = {"NOISE_VARIANCE": (0.16, 0.64)}
ROOTS = {"ROOT_BOUND": {"dcdi": RedrawnRoots()}}

Changes = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
"""Factors on fields of the recipe (or, of its `factor`, the new range), constants of the generator,
parameters of the method."""

LATE = "regimes read one late"
"""Each regime's scores stand for the next regime, as where the observational one is counted."""
READINGS = {"ut-igsp": "ut-igsp-set", "dci": "dci-graph"}
"""Method -> its published reading, where that has another name."""
OF_CDN: dict[str, Changes] = {
    "the dcdi protocol": ({}, {}, {}),
    "factors 1.1 to 1.5": ({"factor": (1.1, 1.5)}, {}, {}),
    "noise variance U(.16, .64)": ({}, NOISE, {}),
    "noise and roots, both": ({}, NOISE | ROOTS, {}),
    "factors 1.1 to 1.5, noise, roots": ({"factor": (1.1, 1.5)}, NOISE | ROOTS, {}),
}
VARIANTS: dict[str, dict[str, Changes]] = {
    "ut-igsp": {
        "the dcdi protocol": ({}, {}, {}),
        "four times the rows": ({"rows": 4}, {}, {"max_rows": 4000}),
        "a quarter of the rows": ({"rows": 0.25}, {}, {}),
        "noise variance U(.16, .64)": ({}, NOISE, {}),
        "roots' scale redrawn as well": ({}, ROOTS, {}),
        "roots U(-2, 2)": ({}, {"ROOT_BOUND": {"dcdi": 2.0}}, {}),
        "noise and roots, both": ({}, NOISE | ROOTS, {}),
        "noise, and four times the rows": ({"rows": 4}, NOISE, {"max_rows": 4000}),
        "alpha_inv 1e-5": ({}, {}, {"alpha_inv": 1e-5}),
        "alpha_inv .05": ({}, {}, {"alpha_inv": 0.05}),
    },
    "dci": {
        "the dcdi protocol": ({}, {}, {}),
        "incoming and outgoing edges": ({}, {}, {"counted": "incident"}),
        "noise variance U(.16, .64)": ({}, NOISE, {}),
        "roots U(-2, 2)": ({}, {"ROOT_BOUND": {"dcdi": 2.0}}, {}),
    },
    "cdn-axial": OF_CDN,
    "cdn-mlp": OF_CDN,
    "dcdi-g": {
        "the dcdi protocol": ({}, {}, {}),
        LATE: ({}, {}, {}),
        "20,000 iterations": ({}, {}, {"max_iterations": 20_000}),
        "5,000 iterations": ({}, {}, {"max_iterations": 5_000}),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("method", choices=VARIANTS)
    parser.add_argument("--interventions", default="hard,soft")
    parser.add_argument("--variables", type=int, help="only the settings of so many variables")
    parser.add_argument("--datasets", type=int, help="only the first so many of each setting")
    arguments = parser.parse_args()
    wanted = arguments.interventions.split(",")
    suite = load_suite("synthetic", protocol="dcdi")
    specs = [
        spec
        for spec in suite.specs()
        if spec.metadata["mechanism"] != "sigmoid"
        and published.INTERVENTIONS[spec.metadata["intervention"]] in wanted
        and arguments.variables in (None, spec.metadata["n_nodes"])
        and (arguments.datasets is None or spec.metadata["index"] < arguments.datasets)
    ]
    axes = ["n_nodes", "n_edges", "mechanism", "intervention", "metric"]
    printed = published.table11()
    source = "corrected" if arguments.method.startswith("cdn") else "printed"
    printed = printed[(printed["method"] == arguments.method) & (printed["source"] == source)]
    if arguments.variables:
        printed = printed[printed["n_nodes"] == arguments.variables]
    printed = printed.set_index(axes)[["mean", "sd"]].fillna(0.0)
    columns = [(intervention, metric) for intervention in wanted for metric in ("map", "auc")]
    reading = READINGS.get(arguments.method, arguments.method)
    print(f"{reading:32} " + "  ".join(f"{i} {m}" for i, m in columns) + f"  agree ({wanted[0]})")
    means = [
        printed.xs(column, level=("intervention", "metric"))["mean"].mean() for column in columns
    ]
    print(f"{source:32} " + "  ".join(f"{m:8.3f}" for m in means), flush=True)
    done: dict[tuple[str, str], np.ndarray] = {}
    for name, changes in VARIANTS[arguments.method].items():
        recipe, constants, parameters = changes
        values: dict[tuple, list[float]] = {}
        method = load_method(reading, **parameters)
        with mock.patch.multiple(
            generate, **{"NOISE_VARIANCE": generate.NOISE_VARIANCE, **constants}
        ):
            for spec in specs:
                simulation = generate.simulate(changed(spec.recipe, recipe))
                known = (spec.name, repr(changes))
                if known not in done:
                    done[known] = method.predict_targets(tasks.task(simulation), seed=0)
                scores = done[known]
                if name == LATE:
                    scores = np.roll(scores, 1, axis=0)
                found = evaluate(scores, simulation.targets[:, simulation.observed])
                about = spec.metadata
                setting = (about["n_nodes"], about["n_edges"], about["mechanism"])
                setting = (*setting, published.INTERVENTIONS[about["intervention"]])
                values.setdefault((*setting, "map"), []).append(found["average_precision"].mean())
                values.setdefault((*setting, "auc"), []).append(found["auroc"].mean())
        agree = [
            agrees(ours, *printed.loc[key]) for key, ours in values.items() if key[3] == wanted[0]
        ]
        means = [
            np.mean([np.mean(v) for k, v in values.items() if k[3:] == column])
            for column in columns
        ]
        print(
            f"{name:32} "
            + "  ".join(f"{m:8.3f}" for m in means)
            + f"  {sum(agree)} of {len(agree)}",
            flush=True,
        )


def changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """The recipe with these changes; hard interventions have no factor."""
    new = {
        name: value if name == "factor" else int(getattr(recipe, name) * value)
        for name, value in changes.items()
        if name != "factor" or recipe.intervention not in HARD
    }
    return replace(recipe, **new)


def agrees(ours: list[float], mean: float, sd: float) -> bool:
    """Welch's interval, as in the table `agreement`."""
    limit = agreement_limit(float(np.std(ours, ddof=1)), sd, N_DATASETS, N_DATASETS)
    return abs(np.mean(ours) - mean) <= limit


if __name__ == "__main__":
    main()
