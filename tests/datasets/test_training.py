"""Training data keep to their laws, never meet a test, and are the same whenever a step is made
again."""

from dataclasses import replace

import numpy as np
import pytest

from cdnbench.datasets.synthetic import training
from cdnbench.datasets.synthetic.graphs import topological_order
from cdnbench.datasets.synthetic.mechanisms import MECHANISMS
from cdnbench.datasets.synthetic.recipe import SHIFT_RANGE
from cdnbench.datasets.synthetic.training import (
    HELD_OUT_MECHANISMS,
    Laws,
    batch,
    draw_recipe,
    example,
    graphs,
)
from cdnbench.digest import generator
from cdnbench.registry import SUITES, entries, load_suite
from cdnbench.training.curricula import EVERYTHING, GRAPHS, HARD

FEW = Laws(sizes=((5, 8), (12, 12)), rows=((30, 60),), regimes=(2, 6))


def recipes(laws: Laws, count=200, n=20, regimes=6) -> list:
    rng = generator("test recipes")
    return [draw_recipe(laws, rng, n, regimes, (i,)) for i in range(count)]


def examples(laws: Laws, count=30, n=12, regimes=4) -> list:
    rng = generator("test examples")
    return [example(laws, rng, n, regimes, (i,)) for i in range(count)]


# --- a step can be made again


def test_a_batch_is_a_function_of_laws_seed_and_step():
    def content(laws=FEW, seed=0, step=3, cells=600):
        np.random.seed(step)  # noqa: NPY002  (global state is not read)
        return [
            (e.task.content_hash, e.recipe, e.targets.tolist())
            for e in batch(laws, seed, step, cells=cells)
        ]

    assert content() == content()
    others = [content(seed=1), content(step=4), content(laws=replace(FEW, many=0.1))]
    hashes = [{task for task, *_ in made} for made in (content(), *others)]
    assert all(not a & b for i, a in enumerate(hashes) for b in hashes[:i])


def test_graphs_are_a_function_of_laws_seed_and_step():
    def content(**changes):
        made = graphs(**{"laws": FEW, "seed": 0, "step": 1, "cells": 400, "most": 3, **changes})
        return [(x.tobytes(), a.tobytes()) for x, a in made]

    assert content() == content()
    assert content()[0] not in content(step=2) + content(seed=1)


# --- sizes


def test_datasets_of_a_batch_have_one_size_and_fill_the_cells():
    sizes, counts = set(), []
    for step in range(40):
        made = batch(FEW, 0, step, cells=2000, most=16)
        shapes = {(e.task.n_variables, e.task.n_regimes) for e in made}
        assert len(shapes) == 1
        ((n, r),) = shapes
        assert n in {5, 6, 7, 8, 12} and 2 <= r <= 6
        assert len(made) == min(16, 2000 // (r * n * n))
        sizes.add(n)
        counts.append(len(made))
        for e in made:
            assert e.targets.shape == (r, n) and e.adjacency.shape == (n, n)
    assert sizes >= {5, 6, 7, 12} and max(counts) == 16


def test_where_one_dataset_is_too_much_regimes_are_fewer_and_one_is_made():
    laws = replace(FEW, sizes=((30, 30),))
    assert {
        (len(m), m[0].task.n_regimes) for m in (batch(laws, 0, s, cells=1800) for s in range(5))
    } == {(1, 2)}
    assert len(batch(laws, 0, 0, cells=100)) == 1


def test_graphs_have_one_size_and_fill_the_cells():
    for step in range(10):
        made = graphs(FEW, 0, step, cells=700, most=5)
        n = made[0][0].shape[1]
        assert len(made) == min(5, 700 // n**2)
        for samples, adjacency in made:
            assert (
                samples.shape[1] == n and 30 <= len(samples) <= 60 and samples.dtype == np.float32
            )
            assert adjacency.shape == (n, n) and len(topological_order(adjacency)) == n


def test_rows_and_sizes_are_log_uniform():
    laws = Laws(sizes=((5, 8),), rows=((30, 3000),))
    rows = np.array([r.rows for r in recipes(laws, 400)])
    assert rows.min() >= 30 and rows.max() <= 3000
    assert np.median(rows) == pytest.approx(300, rel=0.25)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 10])
def test_any_number_of_variables_has_a_graph_of_a_fitting_density(n):
    laws = Laws(sizes=((n, n),), densities=(1, 2, 4), rows=((30, 40),))
    edges = set()
    for recipe in recipes(laws, 60, n=n):
        assert recipe.n_edges <= n * (n - 1) // 2 or recipe.graph == "sf"
        edges.add(recipe.n_edges)
    assert max(edges) <= n * max(1, (n - 1) // 2)
    for made in examples(laws, 15, n=n, regimes=2):
        assert made.task.n_variables == n and len(topological_order(made.adjacency)) == n
        assert (made.targets.sum(1) >= 1).all()


# --- laws


def test_every_choice_of_the_laws_is_drawn_and_nothing_else():
    laws = replace(FEW, densities=(1, 2), factors=((1.5, 6.0), (1.1, 1.5)), standardised=0.5)
    made = recipes(laws)
    assert {r.mechanism for r in made} == {"linear", "nn", "nn_add"}
    assert {r.graph for r in made} == {"er", "sf"}
    assert {r.intervention for r in made} == set(laws.interventions)
    assert {r.protocol for r in made} == {"clean", "dcdi"}
    assert {r.n_edges for r in made} == {20, 40}
    assert {r.standardise for r in made} == {"none", "obs", "each"}
    assert {r.factor for r in made if r.intervention == "soft-scale"} == set(laws.factors)
    assert {r.factor for r in made if r.intervention == "soft-shift"} == {SHIFT_RANGE, (0.2, 2.0)}
    assert {r.factor for r in made if r.intervention.startswith("hard")} == {(1.0, 1.0)}
    assert {r.noise for r in made} == {"gaussian"}
    assert np.mean([r.graph == "er" for r in made]) == pytest.approx(
        2 / 3, abs=0.12
    )  # repeated in the laws


def test_one_two_or_three_targets_a_regime_and_up_to_ten_where_the_laws_say_so():
    few, many = examples(FEW, n=20, regimes=6), examples(replace(FEW, many=1.0), n=20, regimes=6)
    assert {int(c) for e in few for c in e.targets.sum(1)} == {1, 2, 3}
    assert {int(c) for e in many for c in e.targets.sum(1)} == {1, 5, 10}
    assert {int(c) for e in examples(replace(FEW, many=1.0), n=19) for c in e.targets.sum(1)} == {
        1,
        2,
        3,
    }


def test_any_number_of_regimes_is_left_of_a_dataset():
    for regimes in (1, 2, 4, 7):
        for made in examples(FEW, 5, regimes=regimes):
            assert made.task.n_regimes == len(made.targets) == regimes
            assert made.task.candidates.all() and made.task.candidates.shape == made.targets.shape


def test_hidden_nodes_are_confounders_and_their_graph_is_not_learnt_from():
    for made in examples(replace(FEW, hidden=1.0)):
        hidden = made.recipe.n_hidden
        assert made.task.n_variables == 12 and made.adjacency.shape == (12, 12)
        assert made.targets.any(1).all()  # a hidden node is never a target
        assert made.graph_known == (hidden == 0)
    assert any(e.recipe.n_hidden for e in examples(replace(FEW, hidden=1.0)))
    assert not any(r.n_hidden for r in recipes(replace(FEW, hidden=1.0), n=9))
    assert all(e.graph_known for e in examples(FEW))


def test_without_confounders_in_the_graph_nothing_is_hidden_and_the_graph_is_known(monkeypatch):
    """The recipe of an example is that of its samples."""
    simulate = training.simulate

    def without_confounders(recipe):
        if recipe.n_hidden:
            raise ValueError("fewer than 1 nodes have two children")
        return simulate(recipe)

    monkeypatch.setattr(training, "simulate", without_confounders)
    for made in examples(replace(FEW, hidden=1.0), 5):
        assert made.recipe.n_hidden == 0 and made.graph_known
        assert made.recipe.n_edges in (12, 24)
        again = simulate(made.recipe)
        assert (again.adjacency == made.adjacency).all()


def test_uneven_regimes_have_fewer_rows_and_never_fewer_than_thirty():
    even, uneven = examples(FEW), examples(replace(FEW, uneven=1.0, rows=((50, 400),)))
    for e in even:
        assert {len(x) for x in (e.task.observational, *e.task.regimes)} == {e.recipe.rows}
    for e in uneven:
        assert len(e.task.observational) == e.recipe.rows
        assert all(30 <= len(x) <= e.recipe.rows for x in e.task.regimes)
        assert len({len(x) for x in e.task.regimes}) > 1
    tiny = examples(replace(FEW, uneven=1.0, rows=((20, 25),)), 5)
    assert all(len(x) == e.recipe.rows for e in tiny for x in e.task.regimes)


def test_the_answer_is_that_of_the_samples():
    """After a strong shift, the targets of a regime are the variables that moved most in it, up to
    their descendants."""
    laws = replace(
        FEW,
        interventions=("soft-scale",),
        factors=((5.9, 6.0),),
        rows=((2000, 2100),),
        mechanisms=("linear",),
        protocols=("clean",),
    )
    for made in examples(laws, 5):
        variance = np.array([x.var(0) for x in made.task.regimes]) / made.task.observational.var(0)
        log_ratio = np.abs(np.log(variance))
        ancestors = np.linalg.matrix_power(np.eye(12) + made.adjacency, 12) > 0
        touched = (made.targets @ ancestors) > 0
        assert log_ratio[~touched].max() < 0.25 < log_ratio[made.targets].min()


# --- held out


def test_held_out_mechanisms_are_refused():
    for mechanism in HELD_OUT_MECHANISMS:
        with pytest.raises(ValueError, match=f"{mechanism}.*held out from training"):
            replace(FEW, mechanisms=("linear", mechanism))
    assert {"polynomial", "sigmoid"} <= set(HELD_OUT_MECHANISMS) <= set(MECHANISMS)


@pytest.mark.parametrize("laws", [EVERYTHING, HARD, GRAPHS], ids=["cdn", "paper", "sea"])
def test_what_ships_is_trained_on_nothing_that_is_held_out(laws):
    for recipe in recipes(laws, 150, n=20):
        assert recipe.mechanism in ("linear", "nn", "nn_add") and recipe.noise == "gaussian"
        assert recipe.intervention in ("hard-uniform", "hard-normal", "soft-scale", "soft-shift")
        assert recipe.seed[0] == "training"


def test_no_suite_has_a_seed_of_training():
    suites = [name for name in entries(SUITES) if name.startswith("synthetic")]
    assert len(suites) >= 7
    for name in suites:
        for spec in load_suite(name).specs():
            assert spec.recipe.seed[0] != "training"


def test_datasets_of_a_run_have_seeds_of_their_own():
    seeds = [
        e.recipe.seed
        for seed in range(2)
        for step in range(6)
        for e in batch(FEW, seed, step, cells=900)
    ]
    assert len(set(seeds)) == len(seeds)
    assert {s[0] for s in seeds} == {"training"}


def test_laws_are_plain_values():
    assert Laws(**EVERYTHING.plain()) == EVERYTHING
