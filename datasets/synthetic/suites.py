"""The synthetic suites: named lists of recipes.

Specs are in index-major order: the first dataset of every setting comes before the second of any. A
suite is frozen: `frozen.json` holds a hash over its recipes and fingerprints of its data.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from cdnbench.datasets.synthetic.options import (
    PROTOCOL,
    PROTOCOLS,
    STANDARDISE,
    TRACK,
    TRAINING,
    VARIABLES,
    has_size,
)
from cdnbench.datasets.synthetic.recipe import HARD, PAPER_ROWS, SCALE_RANGE, SHIFT_RANGE, Recipe
from cdnbench.datasets.synthetic.training_sets import WithTraining, recipe_spec
from cdnbench.suite import SuiteInfo, SuiteOption, TaskSpec
from cdnbench.truth import LabelledTask

SETTING = (
    "protocol",
    "n_nodes",
    "n_edges",
    "graph",
    "mechanism",
    "intervention",
    "noise",
    "rows",
    "n_hidden",
    "standardise",
    "track",
)
FACTORS = {"protocol": "", "standardise": "none", "track": "joint"}


class SyntheticSuite(WithTraining):
    """What the suites share. A suite defines its `settings` and the number of datasets of each."""

    n_datasets: ClassVar[int]

    @classmethod
    def small(cls, folder: Path) -> dict[str, Any]:
        return {"variables": "10"} if VARIABLES in cls.info.options else {}

    @abstractmethod
    def settings(self) -> Iterator[tuple[str, Recipe]]:
        """Label of the challenge ("" for none) and recipe of each setting."""

    def recipes(self) -> Iterator[tuple[str, Recipe]]:
        """(challenge, recipe) of every task, in order."""
        protocol = self.options.get("protocol", "clean")
        protocols = PROTOCOLS if protocol == "both" else (protocol,)
        size = self.options.get("variables", "all")
        settings = [
            (challenge, s) for challenge, s in self.settings() if has_size(s.n_variables, size)
        ]
        for index, (challenge, setting), protocol in product(
            range(self.n_datasets), settings, protocols
        ):
            recipe = replace(
                setting, index=index, protocol=protocol, standardise=self.options["standardise"]
            )
            if self.options["track"] == "joint":
                yield challenge, recipe
            else:
                for regime in range(recipe.n_dataset_regimes):
                    yield challenge, replace(recipe, track="single", regime=regime)

    @cached_property
    def _specs(self) -> list[TaskSpec]:
        return [
            recipe_spec(recipe, {"challenge": challenge} if challenge else {})
            for challenge, recipe in self.recipes()
        ]

    def specs(self) -> Sequence[TaskSpec]:
        return self._specs

    def load_test(self, spec: TaskSpec) -> LabelledTask:
        from cdnbench.datasets.synthetic.tasks import labelled_task

        return labelled_task(spec.recipe)


def _setting(mechanism: str, intervention: str, **parameters: Any) -> Recipe:
    """A recipe with the intervention's usual range of factors."""
    usual = (
        (1.0, 1.0)
        if intervention in HARD
        else SHIFT_RANGE
        if intervention == "soft-shift"
        else SCALE_RANGE
    )
    return Recipe(mechanism=mechanism, intervention=intervention, **{"factor": usual, **parameters})


def _paper_settings(
    seed: str, mechanisms: tuple[str, ...], interventions: tuple[str, ...]
) -> Iterator[tuple[str, Recipe]]:
    """The settings of the paper: N = 10, 20 and E = N, 2 N; N regimes each with 1, 2 and 3 targets;
    30,000 or 60,000 rows in all."""
    for n, density, mechanism, intervention in product((10, 20), (1, 2), mechanisms, interventions):
        yield (
            "",
            _setting(
                mechanism,
                intervention,
                seed=(seed,),
                n_variables=n,
                n_edges=density * n,
                rows=PAPER_ROWS[n],
                regimes_per_count=n,
            ),
        )


def _info(
    name: str, summary: str, *options: SuiteOption, setting: tuple[str, ...] = SETTING
) -> SuiteInfo:
    return SuiteInfo(
        name=name,
        summary=summary,
        options=(*options, *TRAINING),
        setting=setting,
        factors=FACTORS,
    )


TEST_MECHANISMS = ("linear", "polynomial", "sigmoid")


class Synthetic(SyntheticSuite):
    info: ClassVar[SuiteInfo] = _info(
        "synthetic",
        "the paper's 120 datasets: 10 and 20 variables, linear, polynomial, sigmoid, hard and "
        "soft interventions",
        PROTOCOL, STANDARDISE, TRACK, VARIABLES,
    )  # fmt: skip
    n_datasets: ClassVar[int] = 5

    def settings(self) -> Iterator[tuple[str, Recipe]]:
        return _paper_settings("synthetic", TEST_MECHANISMS, ("hard-uniform", "soft-scale"))


class SyntheticFull(SyntheticSuite):
    """The datasets of `synthetic` are among these, under the same hashes."""

    info: ClassVar[SuiteInfo] = _info(
        "synthetic-full",
        "synthetic and two more interventions, hard-normal and soft-shift: 240 datasets",
        PROTOCOL, STANDARDISE, TRACK, VARIABLES,
    )  # fmt: skip
    n_datasets: ClassVar[int] = 5

    def settings(self) -> Iterator[tuple[str, Recipe]]:
        interventions = ("hard-uniform", "soft-scale", "hard-normal", "soft-shift")
        return _paper_settings("synthetic", TEST_MECHANISMS, interventions)


class SyntheticStat(Synthetic):
    """The datasets of `synthetic` are the first five of each setting, under the same hashes."""

    info: ClassVar[SuiteInfo] = _info(
        "synthetic-stat",
        "the settings of synthetic, 30 datasets each: 720",
        PROTOCOL,
        STANDARDISE,
        TRACK,
        VARIABLES,
    )
    n_datasets: ClassVar[int] = 30


class SyntheticDev(SyntheticSuite):
    info: ClassVar[SuiteInfo] = _info(
        "synthetic-dev",
        "for tuning only: other seeds, mechanisms linear, nn, nn_add: 72 datasets",
        PROTOCOL, STANDARDISE, TRACK, VARIABLES,
    )  # fmt: skip
    n_datasets: ClassVar[int] = 3

    def settings(self) -> Iterator[tuple[str, Recipe]]:
        return _paper_settings(
            "synthetic-dev", ("linear", "nn", "nn_add"), ("hard-uniform", "soft-scale")
        )


class SyntheticHard(SyntheticSuite):
    """Each challenge changes one thing of a base: 20 variables, 40 edges, 200 rows, the clean
    protocol, and 10 regimes each with 1, 2 and 3 targets."""

    info: ClassVar[SuiteInfo] = _info(
        "synthetic-hard",
        "where methods can still be told apart: few rows, weak factors, 50 and 100 variables, "
        "scale-free graphs, "
        "hidden confounders, many targets: 126 datasets",
        STANDARDISE, TRACK,
        setting=("challenge", *SETTING),
    )  # fmt: skip
    n_datasets: ClassVar[int] = 3
    base: ClassVar[dict[str, Any]] = {
        "seed": ("synthetic-hard",),
        "n_variables": 20,
        "n_edges": 40,
        "rows": 200,
        "regimes_per_count": 10,
    }
    challenges: ClassVar[tuple[tuple[str, dict[str, Any]], ...]] = (
        ("few-rows", {"rows": 50}),
        ("few-rows", {"rows": 100}),
        ("few-rows", {"rows": 200}),
        (
            "weak",
            {"factor": (1.1, 1.5), "rows": 50},
        ),  # the one where even the ceiling falls below 1
        ("weak", {"factor": (1.1, 1.5), "rows": 200}),
        ("weak", {"factor": (1.1, 1.5), "rows": 1000}),
        ("wide", {"n_variables": 50, "n_edges": 100}),
        ("wide", {"n_variables": 100, "n_edges": 200}),
        ("scale-free", {"graph": "sf"}),
        ("scale-free", {"graph": "sf", "n_variables": 50, "n_edges": 100}),
        ("hidden", {"n_hidden": 4, "n_edges": 48}),
        ("many-targets", {"n_variables": 50, "n_edges": 100, "target_counts": (1, 5, 10)}),
    )

    def settings(self) -> Iterator[tuple[str, Recipe]]:
        for (challenge, change), mechanism, intervention in product(
            self.challenges, ("linear", "sigmoid"), ("hard-uniform", "soft-scale")
        ):
            if challenge != "weak" or intervention == "soft-scale":
                yield challenge, _setting(mechanism, intervention, **{**self.base, **change})


class SyntheticOOD(SyntheticSuite):
    info: ClassVar[SuiteInfo] = _info(
        "synthetic-ood",
        "random-Fourier and mixed-sigmoid mechanisms, which no training here has, with other "
        "noise, variance-only and edge-reweighting interventions, which only cdn was trained on: "
        "96 datasets",
        STANDARDISE, TRACK, VARIABLES,
    )  # fmt: skip
    n_datasets: ClassVar[int] = 2

    def settings(self) -> Iterator[tuple[str, Recipe]]:
        for n, mechanism, noise, intervention in product(
            (10, 20),
            ("fourier", "sigmix"),
            ("gaussian", "laplace", "heteroscedastic"),
            ("hard-uniform", "soft-scale", "variance", "reweight"),
        ):
            yield (
                "",
                _setting(
                    mechanism,
                    intervention,
                    seed=("synthetic-ood",),
                    n_variables=n,
                    n_edges=2 * n,
                    noise=noise,
                    rows=500,
                    regimes_per_count=10,
                ),
            )


class SyntheticMini(SyntheticSuite):
    info: ClassVar[SuiteInfo] = _info(
        "synthetic-mini",
        "8 small datasets of 10 variables, for a first look and for tests",
        PROTOCOL, STANDARDISE, TRACK,
    )  # fmt: skip
    n_datasets: ClassVar[int] = 2

    def settings(self) -> Iterator[tuple[str, Recipe]]:
        for mechanism, intervention in product(
            ("linear", "polynomial"), ("hard-uniform", "soft-scale")
        ):
            yield (
                "",
                _setting(
                    mechanism,
                    intervention,
                    seed=("synthetic-mini",),
                    n_variables=10,
                    n_edges=10,
                    rows=300,
                    regimes_per_count=2,
                ),
            )


class SyntheticDemo(SyntheticSuite):
    info: ClassVar[SuiteInfo] = _info(
        "synthetic-demo",
        "24 datasets of 10 variables and 60 rows, on which methods differ: the suite of make demo",
        STANDARDISE, TRACK,
    )  # fmt: skip
    n_datasets: ClassVar[int] = 6

    def settings(self) -> Iterator[tuple[str, Recipe]]:
        for mechanism, intervention in product(
            ("linear", "sigmoid"), ("hard-uniform", "soft-scale")
        ):
            yield (
                "",
                _setting(
                    mechanism,
                    intervention,
                    seed=("synthetic-demo",),
                    n_variables=10,
                    n_edges=20,
                    rows=60,
                    regimes_per_count=3,
                    factor=(1.2, 2.0),
                ),
            )


SUITES: tuple[type[SyntheticSuite], ...] = (
    SyntheticDemo,
    Synthetic,
    SyntheticFull,
    SyntheticStat,
    SyntheticDev,
    SyntheticHard,
    SyntheticOOD,
    SyntheticMini,
)
