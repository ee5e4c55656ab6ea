"""What keeps the suites from drifting: `frozen.json`, written by `python -m
cdnbench.datasets.synthetic.freeze`.

It holds, for each suite and protocol, the number of its datasets and one hash over their recipes;
the same for the training set that they offer; and for a sample of datasets the exact digests of
graph and targets and a fingerprint of the samples, four numbers that agree to 1e-5 on every
machine. A test compares. If a change of the generator is meant, raise `GENERATOR_VERSION` (every
stored result of a generated task is then out of date), run this module, and say so in CHANGES.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.datasets.synthetic.far import FarRecipe, SyntheticFar
from cdnbench.datasets.synthetic.far import simulate as simulate_far
from cdnbench.datasets.synthetic.generate import simulate
from cdnbench.datasets.synthetic.options import DATASETS
from cdnbench.datasets.synthetic.recipe import Recipe
from cdnbench.datasets.synthetic.suites import (
    SUITES,
    Synthetic,
    SyntheticHard,
    SyntheticMini,
    SyntheticOOD,
    SyntheticSuite,
)
from cdnbench.datasets.synthetic.tasks import task
from cdnbench.datasets.synthetic.training_sets import training_specs
from cdnbench.digest import digest

FROZEN = Path(__file__).with_name("frozen.json")


def protocols(suite: type[SyntheticSuite]) -> tuple[dict[str, str], ...]:
    """The options under which a suite is frozen: each protocol, where it has more than one."""
    has_protocols = any(option.name == "protocol" for option in suite.info.options)
    return ({"protocol": "clean"}, {"protocol": "dcdi"}) if has_protocols else ({},)


def suite_hashes() -> dict[str, dict[str, dict[str, Any]]]:
    """suite -> protocol -> number of datasets and the hash over their recipes."""
    hashes: dict[str, dict[str, dict[str, Any]]] = {}
    for suite in SUITES:
        for options in protocols(suite):
            specs = suite(**options).specs()
            entry = {"datasets": len(specs), "hash": digest([spec.hash for spec in specs])}
            hashes.setdefault(suite.info.name, {})[options.get("protocol", "clean")] = entry
    far = [spec.hash for spec in SyntheticFar().specs()]
    hashes[SyntheticFar.info.name] = {"clean": {"datasets": len(far), "hash": digest(far)}}
    return hashes


def training_hash() -> dict[str, Any]:
    """Number of training datasets and the hash over their recipes."""
    specs = training_specs(DATASETS)
    return {"datasets": len(specs), "hash": digest([spec.hash for spec in specs])}


def sample() -> list[Recipe]:
    """All of `synthetic-mini`; one dataset per setting of `synthetic` (under both protocols) and of
    `synthetic-hard`; and one of every fifth setting of `synthetic-ood`.
    """
    specs = list(SyntheticMini(protocol="both").specs())
    specs += [s for s in Synthetic(protocol="both").specs() if s.metadata["index"] == 0]
    specs += [s for s in SyntheticHard().specs() if s.metadata["index"] == 0]
    specs += [s for s in SyntheticOOD().specs() if s.metadata["index"] == 0][::5]
    return [spec.recipe for spec in specs]


def fingerprint(recipe: Recipe) -> dict[str, Any]:
    """Exact digests of the structure and four weighted means of the samples."""
    simulation = simulate(recipe)
    visible = task(simulation)
    return {
        "recipe": recipe.hash,
        "adjacency": digest(simulation.adjacency),
        "targets": digest(simulation.targets),
        "fingerprint": _numbers(visible.observational, visible.regimes[-1]),
    }


def far_sample() -> list[FarRecipe]:
    """The first dataset of each setting of `synthetic-far` with 10 variables."""
    recipes = SyntheticFar().recipes()
    return [recipe for recipe in recipes if recipe.index == 0 and recipe.n_variables == 10]


def far_fingerprint(recipe: FarRecipe) -> dict[str, Any]:
    """As `fingerprint`, of a dataset of `synthetic-far`."""
    made = simulate_far(recipe)
    return {
        "recipe": recipe.hash,
        "adjacency": digest(made.adjacency),
        "targets": digest(made.targets),
        "fingerprint": _numbers(made.measured[:, 0].T, made.measured[:, -1].T),
    }


def _numbers(*data_sets: np.ndarray) -> list[float]:
    numbers = []
    for samples in data_sets:
        x = samples.astype(np.float64)
        row, column = np.indices(x.shape)
        # Weights without a pattern that the samples could share; positive ones for the squares, so
        # that nothing cancels.
        numbers.append(float((x * np.cos(1.3 * row + 2.1 * column)).sum() / np.sqrt(x.size)))
        numbers.append(float((x**2 * (2 + np.sin(0.7 * row + 1.7 * column))).mean()))
    return [round(number, 9) for number in numbers]


def main() -> None:
    content = {
        "suites": suite_hashes(),
        "training": training_hash(),
        "datasets": {recipe.dataset: fingerprint(recipe) for recipe in sample()},
        "far": {recipe.name: far_fingerprint(recipe) for recipe in far_sample()},
    }
    FROZEN.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
