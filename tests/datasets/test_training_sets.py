"""What the synthetic suites offer to methods with `fit`: laws of `synthetic-dev`, none that is held
out, never a test, the same for all tasks."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cdnbench import load_suite
from cdnbench.datasets.synthetic import training_sets
from cdnbench.datasets.synthetic.freeze import FROZEN, training_hash
from cdnbench.datasets.synthetic.leaks import audit
from cdnbench.datasets.synthetic.suites import SyntheticDev, SyntheticOOD
from cdnbench.datasets.synthetic.tasks import labelled_task
from cdnbench.datasets.synthetic.training import HELD_OUT_MECHANISMS
from cdnbench.datasets.synthetic.training_sets import ROWS, training_specs
from cdnbench.errors import InvalidParameter
from cdnbench.registry import SUITES, entries

SYNTHETIC = [name for name in entries(SUITES) if name.startswith("synthetic")]


def training(name, **options):
    suite = load_suite(name, **options)
    sets = [suite.training(spec) for spec in suite.specs()]
    assert len({id(each) for each in sets}) == 1, "one fit for all tasks"
    return suite, sets[0]


@pytest.mark.parametrize("name", SYNTHETIC)
def test_nothing_that_is_held_out_is_trained_on(name):
    suite, trained = training(name)
    assert len(SYNTHETIC) == 9 and len(trained) == 240
    recipes = [spec.recipe for spec in trained]
    assert {r.mechanism for r in recipes} == {"linear", "nn", "nn_add"}
    assert not {r.mechanism for r in recipes} & {"polynomial", "sigmoid", *HELD_OUT_MECHANISMS}
    assert {r.intervention for r in recipes} == {"hard-uniform", "soft-scale"}
    assert {r.noise for r in recipes} == {"gaussian"} and {r.graph for r in recipes} == {"er"}
    seeds = {spec.recipe.seed for spec in suite.specs()}
    assert not seeds & {r.seed for r in recipes}
    assert not {s.origin for s in suite.specs()} & {s.origin for s in trained}


def test_no_sample_of_a_test_is_trained_on():
    """The same setting and number of rows as in a test still give other data."""
    suite = load_suite("synthetic-dev")
    (test,) = [spec for spec in suite.specs() if spec.name.startswith("dev-n10-e10-nn_add-hard")][
        :1
    ]
    twin = replace(training_specs(1)[0].recipe, **{
        name: getattr(test.recipe, name)
        for name in ("n_variables", "n_edges", "mechanism", "intervention", "factor", "rows",
                     "regimes_per_count", "protocol", "index")
    })  # fmt: skip
    assert replace(twin, seed=test.recipe.seed) == test.recipe
    one, other = suite.load(test), training_sets.training_task(twin)
    assert np.isin(one.task.observational, other.task.observational).mean() < 0.01
    assert (one.targets != other.targets).any()


def test_a_law_that_becomes_held_out_is_refused(monkeypatch):
    sigmoid = replace(SyntheticDev().specs()[0].recipe, mechanism="sigmoid")
    monkeypatch.setattr(SyntheticDev, "settings", lambda self: iter([("", sigmoid)]))
    with pytest.raises(ValueError, match="sigmoid.*held out from training"):
        training_specs(1)


def test_every_setting_of_the_dev_suite_meets_every_number_of_rows():
    def setting(recipe):
        return recipe.n_variables, recipe.n_edges, recipe.mechanism, recipe.intervention

    recipes = [spec.recipe for spec in training_specs(240)]
    dev = {setting(spec.recipe) for spec in SyntheticDev().specs()}
    kinds = Counter((*setting(r), r.protocol, r.rows) for r in recipes)
    assert {setting(r) for r in recipes} == dev and len(dev) == 24
    assert len(kinds) == 24 * 2 * len(ROWS) and set(kinds.values()) == {1}
    assert len({r.index for r in recipes}) == 240


def test_a_smaller_set_is_the_beginning_of_a_larger_one():
    hashes = [spec.hash for spec in training_specs(300)]
    assert [spec.hash for spec in training_specs(40)] == hashes[:40]
    assert len(set(hashes)) == 300
    assert {s.recipe.mechanism for s in training_specs(12)} == {"linear", "nn", "nn_add"}


@pytest.mark.parametrize("variables", [10, 20])
def test_one_number_of_variables_for_methods_that_need_it(variables):
    suite, trained = training("synthetic", training_variables=str(variables))
    assert {spec.n_variables for spec in trained} == {variables} and len(trained) == 240
    assert {suite.load(spec).targets.shape[1] for spec in trained[:3]} == {variables}
    assert {spec.n_variables for spec in suite.specs()} == {10, 20}, "the test stays"


def test_it_is_frozen():
    assert training_hash() == json.loads(FROZEN.read_text())["training"]


def test_all_suites_share_it_whatever_is_tested():
    hashes = {tuple(s.hash for s in training(name)[1]) for name in SYNTHETIC}
    for options in ({"protocol": "both"}, {"track": "single"}, {"variables": "10"}):
        hashes.add(tuple(spec.hash for spec in training("synthetic", **options)[1]))
    assert len(hashes) == 1


def test_it_is_standardised_as_the_test_is():
    suite, trained = training("synthetic-mini", standardise="obs")
    x = suite.load(trained[0]).task.observational
    np.testing.assert_allclose(x.std(axis=0), 1, rtol=1e-4)
    assert {spec.origin for spec in trained} == {s.origin for s in training("synthetic-mini")[1]}


def test_training_tasks_are_those_of_the_generator_without_its_ceiling():
    suite, trained = training("synthetic-far")
    made, whole = suite.load(trained[0]), labelled_task(trained[0].recipe)
    assert made.task.content_hash == whole.task.content_hash
    np.testing.assert_array_equal(made.targets, whole.targets)
    np.testing.assert_array_equal(made.detectable, whole.detectable)
    assert made.ceiling_scores is None and made.targets.sum(1).max() == 3
    assert made.task.metadata == {}


@pytest.mark.parametrize("n", [0, -3])
def test_no_training_dataset_is_refused(n):
    with pytest.raises(InvalidParameter, match="training_datasets takes whole numbers from 1 on"):
        load_suite("synthetic-far", training_datasets=n)


def test_laws_are_those_of_what_was_trained_on():
    suite, trained = training("synthetic-hard")
    laws = suite.training_laws(trained)
    assert laws["mechanism"] == ["linear", "nn", "nn_add"] and laws["marginal"] == ["plain"]
    assert laws["n_nodes"] == {"from": 10, "to": 20} and laws["rows"] == {"from": 50, "to": 1000}
    linear = [spec for spec in trained if spec.recipe.mechanism == "linear"][:5]
    assert suite.training_laws(linear)["mechanism"] == ["linear"]


def test_the_usual_training_set_goes_without_saying():
    assert load_suite("synthetic").training_set == ""
    assert load_suite("synthetic", training_datasets=48).training_set == "48 training datasets"
    one = load_suite("synthetic", training_variables="10")
    assert one.training_set == "240 training datasets of 10 variables"


def test_the_leak_check_counts_what_is_shared(monkeypatch):
    leaks = {leak.suite: leak for leak in audit()}
    assert set(leaks) == set(SYNTHETIC)
    assert not any(leak.same_dataset for leak in leaks.values())
    assert leaks["synthetic"].same_laws == 40 and leaks["synthetic-dev"].same_laws == 72
    assert leaks["synthetic-ood"].same_laws == leaks["synthetic-far"].same_laws == 0
    assert len(SyntheticOOD().specs()) == leaks["synthetic-ood"].n_test
    stolen = [
        training_sets.recipe_spec(spec.recipe, training_sets._PLAIN)
        for spec in SyntheticDev().specs()[:5]
    ]
    monkeypatch.setattr(training_sets, "training_specs", lambda *_, **__: stolen)
    assert {leak.suite: leak.same_dataset for leak in audit()}["synthetic-dev"] == 5
