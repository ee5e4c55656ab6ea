"""What of the tests of the synthetic suites a fitted method has seen in training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cdnbench.datasets.synthetic.far import SyntheticFar
from cdnbench.datasets.synthetic.suites import SUITES
from cdnbench.datasets.synthetic.training_sets import WithTraining

LAWS = {"mechanism": "", "intervention": "", "noise": "", "marginal": "plain"}
"""What a setting must share with training, and what goes without saying."""


@dataclass(frozen=True)
class Leak:
    """Of one suite. same_dataset: test datasets that training has, in whatever view. same_laws:
    test datasets whose mechanism, intervention, noise and marginal were all in training."""

    suite: str
    n_training: int
    n_test: int
    same_dataset: int
    same_laws: int


def audit() -> Iterator[Leak]:
    """Each suite against the training set that it offers."""
    suites: tuple[type[WithTraining], ...] = (*SUITES, SyntheticFar)
    for cls in suites:
        suite = cls()
        specs = suite.specs()
        trained = suite.training(specs[0])
        laws, seen = suite.training_laws(trained), {spec.origin for spec in trained}
        alike = [
            all(spec.metadata.get(name, usual) in laws[name] for name, usual in LAWS.items())
            for spec in specs
        ]
        shared = sum(spec.origin in seen for spec in specs)
        yield Leak(suite.info.name, len(trained), len(specs), shared, sum(alike))
