"""Copies of a column: found whatever the units, and scored as if there were only one."""

import numpy as np
import pytest

from cdnbench.methods.copies import first_copies, solve_without_copies
from cdnbench.registry import load_method
from cdnbench.task import Task


def chain(after: bool, rng: np.random.Generator) -> np.ndarray:
    """x0 -> x1 -> ... -> x5; after the intervention x2 is N(3, .5^2)."""
    x = rng.normal(size=(400, 6))
    for i in range(1, 6):
        x[:, i] = 3 + 0.5 * x[:, i] if after and i == 2 else 0.8 * x[:, i - 1] + x[:, i]
    return x


def task_of(before: np.ndarray, *regimes: np.ndarray) -> Task:
    variables = [f"v{i}" for i in range(before.shape[1])]
    return Task(name="t", variables=variables, observational=before, regimes=regimes)


@pytest.mark.parametrize("seed", range(20))
def test_groups_equal_an_all_pairs_search(seed):
    """Against the plain definition: the residual of one column on the other is rounding."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 6))
    picks = rng.integers(0, 6, 14)
    units = rng.choice([-1, 1], 14) * 10 ** rng.uniform(-3, 3, 14)
    columns = (x[:, picks] * units + rng.normal(size=14) * np.abs(units)).astype(np.float32)
    columns[:, 5] = 7  # constant columns are nobody's copies
    columns[:, 9] = 7
    groups = picks.copy()
    groups[[5, 9]] = 100, 101
    expected = [int(np.flatnonzero(groups == g)[0]) for g in groups]
    assert first_copies(columns[:40], columns[40:]).tolist() == expected


def test_nearly_equal_columns_are_no_copies():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 1))
    near = x + 1e-3 * rng.normal(size=(100, 1))
    assert first_copies(np.hstack([x, near]), np.hstack([x, near])).tolist() == [0, 1]


def test_a_copy_that_the_regime_breaks_is_a_variable_of_its_own():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 50, 2))
    before[:, 1] = before[:, 0]
    assert first_copies(before, after).tolist() == [0, 1]
    shifted = np.column_stack([after[:, 0], after[:, 0] + 1])
    assert first_copies(before, shifted).tolist() == [0, 1]


def test_large_offsets_in_float32_do_not_hide_a_copy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 1))
    both = np.hstack([x, 1000 + 0.1 * x]).astype(np.float32)
    assert first_copies(both, both).tolist() == [0, 0]


def test_regimes_with_other_copies_are_solved_apart():
    rng = np.random.default_rng(0)
    before, first, second = rng.normal(size=(3, 50, 3))
    before[:, 2], first[:, 2] = before[:, 0], first[:, 0]
    seen = []

    def solve(task: Task) -> dict[str, np.ndarray]:
        seen.append((task.n_regimes, task.n_variables))
        return {"": np.stack([x[0] for x in task.regimes]).astype(float)}

    scores = solve_without_copies(task_of(before, first, second), solve)[""]
    assert seen == [(1, 2), (1, 3)]
    np.testing.assert_allclose(scores[0], first[0, [0, 1, 0]], rtol=1e-6)
    np.testing.assert_allclose(scores[1], second[0], rtol=1e-6)


@pytest.mark.parametrize("units", [1.0, 250.0])
@pytest.mark.parametrize(
    "name",
    [
        "cd-nod",
        "rcd",
        "quantile-invariance",
        "regression-invariance",
        "prediter",
        "precision-shift",
        "cholesky-root-cause",
    ],
)
def test_a_second_copy_of_the_target_changes_nothing(name, units):
    rng = np.random.default_rng(1)
    before, after = chain(False, rng), chain(True, rng)
    doubled = (np.hstack([x, units * x[:, 2:3] + (units != 1)]) for x in (before, after))
    method = load_method(name)
    alone = method.predict_outputs(task_of(before, after))
    for variant, scores in method.predict_outputs(task_of(*doubled)).items():
        if units == 1 or not method.info.stochastic:  # other units draw other random numbers
            np.testing.assert_allclose(scores[0, :6], alone[variant][0], rtol=1e-4, atol=1e-4)
        assert scores[0, 6] == scores[0, 2] == scores[0].max(), variant
