"""The laws that `benchmarks/published_gap.py` tries can be tried, and change what they name."""

from __future__ import annotations

import pytest

from cdnbench import load_method, load_suite
from cdnbench.datasets.synthetic import generate


@pytest.fixture
def gap(benchmark_module):
    return benchmark_module("published_gap")


def recipes(intervention):
    specs = load_suite("synthetic", protocol="dcdi").specs()
    return [s.recipe for s in specs if s.metadata["intervention"] == intervention]


def test_every_law_names_what_there_is(gap):
    recipe = recipes("soft-scale")[0]
    for method, laws in gap.VARIANTS.items():
        for fields, constants, parameters in laws.values():
            assert gap.changed(recipe, fields) == recipe or fields
            assert all(hasattr(generate, name) for name in constants)
            load_method(gap.READINGS.get(method, method), **parameters)


def test_hard_interventions_keep_their_factor(gap):
    soft, hard = recipes("soft-scale")[0], recipes("hard-uniform")[0]
    changes = {"factor": (1.1, 1.5), "rows": 4}
    assert gap.changed(soft, changes).factor == (1.1, 1.5)
    assert gap.changed(hard, changes).factor == hard.factor
    assert gap.changed(hard, changes).rows == 4 * hard.rows


def test_the_interval_is_that_of_the_table(gap):
    """Welch's with 5 datasets a side: t(.975, 8) sqrt(2 / 5) sd for equal deviations."""
    ours = [0.4, 0.5, 0.6, 0.5, 0.5]
    sd = 0.0707
    limit = 2.306 * (2 / 5) ** 0.5 * sd
    assert gap.agrees(ours, 0.5 + 0.98 * limit, sd)
    assert not gap.agrees(ours, 0.5 + 1.02 * limit, sd)
