"""Training sets for methods with `fit`: labelled tasks from the laws of `synthetic-dev`.

Their settings are those of `synthetic-dev` under both protocols (N = 10, 20; E = N, 2 N; linear,
nn, nn_add; hard-uniform, soft-scale), each with 50, 100, 200, 500 and 1000 rows: 240 in all. Their
seed family is "training", which no test has. Held out are the mechanisms polynomial and sigmoid,
and all laws of `synthetic-ood` and `synthetic-far`.

All synthetic suites offer the same set, so a fit is shared by all tasks, and by all suites that are
run into one folder. A smaller set is the beginning of every larger one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from cdnbench.datasets.synthetic.options import DATASETS, PROTOCOLS, has_size
from cdnbench.datasets.synthetic.recipe import Recipe
from cdnbench.datasets.synthetic.training import HELD_OUT_MECHANISMS
from cdnbench.digest import digest
from cdnbench.errors import InvalidParameter
from cdnbench.suite import Suite, TaskSpec
from cdnbench.truth import LabelledTask

SEED = ("training", "synthetic-dev")
ROWS = (50, 100, 200, 500, 1000)

_PLAIN = {"marginal": "plain", "challenge": ""}
"""Names that some suites' settings have besides those of a recipe."""
_NAMES = ("mechanism", "intervention", "noise", "marginal", "graph", "protocol")
_NUMBERS = ("n_nodes", "rows", "n_hidden")


class WithTraining(Suite):
    """A suite whose tasks methods can be trained for, with `options.TRAINING` among its options.

    Raises
    ------
    InvalidParameter: a number of training datasets below 1.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.options["training_datasets"] < 1:
            raise InvalidParameter(
                f"{self.info.name}: training_datasets takes whole numbers from 1 on; got "
                f"{self.options['training_datasets']}."
            )

    @abstractmethod
    def load_test(self, spec: TaskSpec) -> LabelledTask:
        """Make the task of a spec of `specs`."""

    def load(self, spec: TaskSpec) -> LabelledTask:
        return training_task(spec.recipe) if spec.recipe.seed == SEED else self.load_test(spec)

    @cached_property
    def _training(self) -> Sequence[TaskSpec]:
        return training_specs(
            self.options["training_datasets"],
            variables=self.options["training_variables"],
            standardise=self.options.get("standardise", "none"),
        )

    def training(self, spec: TaskSpec) -> Sequence[TaskSpec]:
        """The same for all tasks: whole datasets, standardised as the suite's own."""
        return self._training

    @property
    def training_set(self) -> str:
        n, variables = self.options["training_datasets"], self.options["training_variables"]
        of = "" if variables == "all" else f" of {variables} variables"
        return f"{n} training datasets{of}" if of or n != DATASETS else ""

    def training_laws(self, trained: Sequence[TaskSpec]) -> Mapping[str, Any]:
        facts = [spec.metadata for spec in trained]
        laws: dict[str, Any] = {name: sorted({each[name] for each in facts}) for name in _NAMES}
        for name in _NUMBERS:
            values = [each[name] for each in facts]
            laws[name] = {"from": min(values), "to": max(values)}
        return laws


def training_specs(
    n_datasets: int, *, variables: str = "all", standardise: str = "none"
) -> list[TaskSpec]:
    """The first `n_datasets` of an endless list.

    variables: "10" or "20" for datasets of that size alone. standardise: as in `Recipe`.
    """
    settings = [setting for setting in _settings() if has_size(setting.n_variables, variables)]
    # Their number and that of ROWS have no common factor: each setting meets each number of rows.
    return [
        recipe_spec(
            replace(
                settings[i % len(settings)],
                index=i,
                rows=ROWS[i % len(ROWS)],
                standardise=standardise,
            ),
            _PLAIN,
        )
        for i in range(n_datasets)
    ]


def _settings() -> list[Recipe]:
    """Those of `synthetic-dev` under both protocols, in an order without meaning, so that a few
    are of all kinds."""
    from cdnbench.datasets.synthetic.suites import SyntheticDev

    found = [
        replace(setting, seed=SEED, protocol=protocol)
        for _, setting in SyntheticDev().settings()
        for protocol in PROTOCOLS
    ]
    if held_out := {setting.mechanism for setting in found} & set(HELD_OUT_MECHANISMS):
        raise ValueError(f"{sorted(held_out)} are held out from training")
    return sorted(found, key=lambda setting: digest("order of training settings", setting.hash))


def recipe_spec(recipe: Recipe, more: Mapping[str, str]) -> TaskSpec:
    """The spec of a recipe. more: metadata besides those of the recipe."""
    return TaskSpec(
        name=recipe.name,
        hash=recipe.hash,
        n_variables=recipe.n_variables,
        n_regimes=recipe.n_regimes,
        n_samples=recipe.rows,
        metadata={**recipe.metadata(), **more},
        recipe=recipe,
        origin=recipe.origin,
    )


def training_task(recipe: Recipe) -> LabelledTask:
    """The task of a recipe with its targets; no ceiling is computed."""
    from cdnbench.datasets.synthetic.generate import simulate
    from cdnbench.datasets.synthetic.tasks import detectable, task

    simulation = simulate(recipe)
    return LabelledTask(
        task=task(simulation),
        targets=simulation.targets[:, simulation.observed],
        detectable=detectable(simulation)[:, simulation.observed],
    )
