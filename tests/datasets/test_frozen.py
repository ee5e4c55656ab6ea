"""The suites are frozen: recipes and structure exactly, samples to 1e-5. See
`cdnbench.datasets.synthetic.freeze`."""

import json

import pytest

from cdnbench.datasets.synthetic.freeze import (
    FROZEN,
    far_fingerprint,
    far_sample,
    fingerprint,
    sample,
    suite_hashes,
)

FROZEN_NOW = json.loads(FROZEN.read_text())
CURE = (
    "if the change is meant: raise GENERATOR_VERSION, run `python -m "
    "cdnbench.datasets.synthetic.freeze`, "
    "note it in CHANGES.md"
)


def test_recipes_of_every_suite():
    assert suite_hashes() == FROZEN_NOW["suites"], CURE


def test_the_sample_is_the_one_that_was_frozen():
    assert [recipe.dataset for recipe in sample()] == list(FROZEN_NOW["datasets"]), CURE


@pytest.mark.parametrize("recipe", sample(), ids=lambda recipe: recipe.dataset)
def test_dataset(recipe):
    expected, found = FROZEN_NOW["datasets"][recipe.dataset], fingerprint(recipe)
    for exact in ("recipe", "adjacency", "targets"):
        assert found[exact] == expected[exact], CURE
    assert found["fingerprint"] == pytest.approx(expected["fingerprint"], rel=1e-5, abs=1e-5), CURE


@pytest.mark.parametrize("recipe", far_sample(), ids=lambda recipe: recipe.name)
def test_far_dataset(recipe):
    expected, found = FROZEN_NOW["far"][recipe.name], far_fingerprint(recipe)
    for exact in ("recipe", "adjacency", "targets"):
        assert found[exact] == expected[exact], CURE
    assert found["fingerprint"] == pytest.approx(expected["fingerprint"], rel=1e-5, abs=1e-5), CURE
