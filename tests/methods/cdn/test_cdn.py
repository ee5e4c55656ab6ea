"""The method `cdn`: shipped weights, units, few rows, many variables, silence."""

import json

import numpy as np
import pytest

from cdnbench import Task, load_method
from cdnbench.methods.cdn.weights import SHIPPED, read_card


def chain(n_variables=8, rows=200, target=3, seed=0, regimes=2) -> Task:
    rng = np.random.default_rng(seed)

    def sample(hit=None):
        x = rng.normal(size=(rows, n_variables))
        for i in range(1, n_variables):
            x[:, i] = 4 + x[:, i] if i == hit else x[:, i] + 0.8 * x[:, i - 1]
        return x

    return Task(
        name="t",
        variables=[f"v{i}" for i in range(n_variables)],
        observational=sample(),
        regimes=[sample(target), *(sample(1 + r) for r in range(regimes - 1))],
    )


def test_the_shipped_weights_say_how_they_were_made():
    card = read_card("cdn", "cdn")
    assert card["dirty"] is False and card["steps"] > 1000
    assert "sigmix" in card["held_out"] and "synthetic-far" in card["held_out"]
    assert (SHIPPED / "cdn.safetensors").stat().st_size < 8_000_000
    laws = load_method("cdn").trained_on()
    assert not {"polynomial", "sigmoid", "fourier", "sigmix"} & set(laws["mechanism"])
    assert {"variance", "reweight"} <= set(laws["intervention"])
    assert json.dumps(laws)


def test_the_target_of_a_chain_is_found_in_any_units():
    method, task = load_method("cdn"), chain()
    scores = method.predict_targets(task)
    assert scores[0].argmax() == 3
    rng = np.random.default_rng(1)
    scale, shift = 10 ** rng.uniform(-2, 2, 8), rng.normal(size=8)
    other = Task(
        name="t",
        variables=task.variables,
        observational=task.observational * scale + shift * scale,
        regimes=[x * scale + shift * scale for x in task.regimes],
    )
    np.testing.assert_allclose(method.predict_targets(other), scores, atol=0.05)


@pytest.mark.parametrize("rows", [3, 10])
def test_few_rows_give_finite_scores(rows):
    assert np.isfinite(load_method("cdn").predict_targets(chain(rows=rows))).all()


def test_hundreds_of_variables_are_screened():
    rng = np.random.default_rng(0)
    control, treated = rng.normal(size=(60, 500)), rng.normal(size=(60, 500))
    treated[:, 417] += 4
    task = Task(
        name="t",
        variables=[f"v{i}" for i in range(500)],
        observational=control,
        regimes=[treated],
    )
    assert load_method("cdn").predict_targets(task)[0].argmax() == 417


def test_nothing_moved_scores_below_something_moved():
    method = load_method("cdn")
    rng = np.random.default_rng(2)
    moved, silent = [], []
    for seed in range(6):
        task = chain(seed=seed, regimes=1)
        moved.append(method.predict_targets(task).max())
        order = rng.permutation(len(task.observational))
        halves = task.observational[order[:100]], task.observational[order[100:]]
        null = Task(
            name="t", variables=task.variables, observational=halves[0], regimes=[halves[1]]
        )
        silent.append(method.predict_targets(null).max())
    assert min(moved) > max(silent)
