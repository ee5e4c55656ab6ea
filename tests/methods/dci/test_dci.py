"""DCI's engine against a slow version of its formulas, and what the method adds to it. Against
causaldag: test_parity.py."""

from dataclasses import replace
from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy.special import fdtr

from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.methods.dci import compiled_orientation, compiled_skeleton, orientation
from cdnbench.methods.dci.compiled_orientation import invariant_sets
from cdnbench.methods.dci.covariances import Covariances, covariances, critical_f
from cdnbench.methods.dci.dci import DCI, changed_edges
from cdnbench.methods.dci.orientation import swapped
from cdnbench.methods.dci.skeleton import difference_graphs, skeletons
from cdnbench.task import Task

CHEAP = {"bootstraps": 4}


def chain(rng, n_variables, n_rows, target=None):
    x = rng.normal(size=(n_rows, n_variables))
    for i in range(1, n_variables):
        x[:, i] = 1.5 * x[:, i] if i == target else x[:, i] + 0.9 * x[:, i - 1]
    return x


def chain_task(n_variables=5, n_regimes=2, n_rows=200, seed=0) -> Task:
    rng = np.random.default_rng(seed)
    regimes = [chain(rng, n_variables, n_rows, 1 + r % (n_variables - 1)) for r in range(n_regimes)]
    observational = chain(rng, n_variables, n_rows)
    return Task(
        name="t",
        variables=[f"v{i}" for i in range(n_variables)],
        observational=observational,
        regimes=regimes,
    )


def two_sides(
    n_variables=6, n_rows=(300, 250), bootstraps=3, seed=0
) -> tuple[Covariances, Covariances]:
    rng = np.random.default_rng(seed)
    sides = []
    for rows, target in zip(n_rows, (None, 2), strict=True):
        samples = chain(rng, n_variables, rows, target)
        subsamples = rng.permuted(np.tile(np.arange(rows), (bootstraps, 1)), axis=1)[:, : rows // 2]
        sides.append(Covariances(covariances(samples, subsamples), rows // 2))
    return sides[0], sides[1]


# --- the engine's formulas


def test_covariances_are_those_of_the_subsamples():
    x = np.random.default_rng(0).normal(size=(30, 4)) + 100
    rows = np.array([[0, 3, 5, 9, 20], [29, 28, 7, 1, 2]])
    for found, subsample in zip(covariances(x, rows), rows, strict=True):
        np.testing.assert_allclose(found, np.cov(x[subsample], rowvar=False), rtol=1e-10)


def test_residual_variances_of_all_sets():
    before, after = two_sides()
    q, i = np.array([0, 0, 2]), np.array([1, 4, 4])
    allowed = np.ones((3, 6), dtype=bool)
    allowed[np.arange(3), i] = False
    required = np.zeros((3, 6), dtype=bool)
    required[2, 3] = True
    for size in range(5):
        owners, members, ratios = invariant_sets(
            before.matrices, after.matrices, q, i, allowed, required, size, 0.0, np.inf, 1.1
        )
        found = {(row, *sorted(given)) for row, given in zip(owners, members.tolist(), strict=True)}
        assert len(found) == len(owners) == 2 * comb(5, size) + (comb(4, size - 1) if size else 0)
        for row, given, ratio in zip(owners, members.tolist(), ratios, strict=True):
            chosen = [i[row], *given]
            variances = [
                1 / np.linalg.inv(side.matrices[q[row]][np.ix_(chosen, chosen)])[0, 0]
                for side in (before, after)
            ]
            np.testing.assert_allclose(ratio, 1.1 * variances[0] / variances[1], rtol=1e-8)
            assert row < 2 or not size or 3 in given
    middle = float(np.median(ratios))
    owners, _, some = invariant_sets(
        before.matrices, after.matrices, q, i, allowed, required, 4, middle, np.inf, 1.1
    )
    np.testing.assert_array_equal(some, ratios[ratios > middle])


def test_subsamples_of_any_size_have_their_covariances():
    x = np.random.default_rng(0).normal(size=(30, 4)) + 100
    for size in (3, 15, 16, 29, 30):
        rows = np.random.default_rng(1).permuted(np.tile(np.arange(30), (2, 1)), axis=1)[:, :size]
        for found, subsample in zip(covariances(x, rows), rows, strict=True):
            np.testing.assert_allclose(found, np.cov(x[subsample], rowvar=False), rtol=1e-9)


def test_the_server_compiles_all_that_a_job_needs():
    from cdnbench.methods.dci import warm

    warm.warm()
    loops = [
        loop
        for module in (compiled_skeleton, compiled_orientation)
        for loop in vars(module).values()
        if hasattr(loop, "signatures")
    ]
    known = [list(loop.signatures) for loop in loops]
    DCI(**CHEAP).predict_targets(chain_task())
    DCI(bootstraps=1, alpha_ug=(0.01,), max_set_size=1).predict_targets(chain_task(n_regimes=1))
    assert any(known) and [list(loop.signatures) for loop in loops] == known


def slow_skeleton(s0, s1, n0, n1, pairs, nodes, alpha, max_set_size) -> set[tuple[int, int]]:
    """causaldag's formula, one regression at a time."""
    kept = set()
    for i, j in pairs:
        largest = 0.0
        for size in range(max_set_size + 1):
            for given in combinations(nodes - {i, j}, size):
                for response, regressor in ((i, j), (j, i)):
                    k = [*given, regressor]
                    inverses = [np.linalg.inv(s[np.ix_(k, k)]) for s in (s0, s1)]
                    slopes = [
                        inverse @ s[k, response]
                        for inverse, s in zip(inverses, (s0, s1), strict=True)
                    ]
                    noise = [
                        (s[response, response] - s[response, k] @ b) * n / (n - len(k) + 1)
                        for s, b, n in zip((s0, s1), slopes, (n0, n1), strict=True)
                    ]
                    spread = noise[0] * inverses[0] / (n0 - 1) + noise[1] * inverses[1] / (n1 - 1)
                    statistic = (slopes[0][-1] - slopes[1][-1]) ** 2 * np.linalg.inv(spread)[-1, -1]
                    largest = max(largest, 1 - fdtr(1, n0 + n1 - 2 * len(k), statistic))
        if largest <= alpha:
            kept.add((i, j))
    return kept


@pytest.mark.parametrize("seed", range(4))
def test_skeletons_are_those_of_single_regressions(seed):
    before, after = two_sides(n_rows=(60, 300) if seed % 2 else (300, 250), seed=seed)
    alpha_ug, alpha_skeleton = np.array([0.001, 0.05]), np.array([0.01, 0.1, 0.5])
    pair_level = difference_graphs(before, after, alpha_ug)
    found = skeletons(before, after, pair_level, alpha_skeleton, max_set_size=3)
    for b in range(3):
        for g in range(2):
            pairs = [(i, j) for i, j in combinations(range(6), 2) if pair_level[b, i, j] <= g]
            nodes = {i for pair in pairs for i in pair}
            for a, alpha in enumerate(alpha_skeleton):
                mine = (found.subsample == b) & found.kept[:, g, a]
                sides = before.matrices[b], after.matrices[b], before.n_rows, after.n_rows
                slow = slow_skeleton(*sides, pairs, nodes, alpha, max_set_size=3)
                assert (
                    set(zip(found.first[mine].tolist(), found.second[mine].tolist(), strict=True))
                    == slow
                )


def test_extreme_levels():
    before, after = two_sides()
    level = difference_graphs(before, after, np.array([0.0, 1.0]))
    assert (
        level[:, ~np.eye(6, dtype=bool)] == 1
    ).all()  # alpha 1 lets everything in, alpha 0 nothing
    all_kept = skeletons(before, after, level, np.array([0.0, 1.0]), 3).kept
    assert all_kept[:, 1, 1].all() and not all_kept[:, 0].any() and not all_kept[:, 1, 0].any()


def test_critical_values():
    alpha = np.array([0.0, 1e-4, 0.1, 0.5, 1.0])
    values = critical_f(3, 40, alpha)
    np.testing.assert_allclose(1 - fdtr(3, 40, values[1:]), alpha[1:], rtol=1e-9)
    assert values[0] == np.inf and values[-1] == 0 and np.isnan(critical_f(1, 0, alpha)).all()


def test_a_small_pool_changes_nothing(monkeypatch):
    before, after = two_sides(bootstraps=5)
    grid = ((0.001, 0.05), (0.1, 0.5), (0.001, 0.01), 3)
    counts = changed_edges(before, after, *grid)
    assert counts.any()
    for name, value in (("_POOL", 30), ("_KEPT", 1000)):
        monkeypatch.setattr(orientation, name, value)
    np.testing.assert_array_equal(changed_edges(before, after, *grid), counts)


def test_order_of_pairs_is_that_of_a_set_of_sets():
    for i, j in combinations(range(40), 2):
        skeleton = {(a, b) for a, b in {frozenset({i, j})}}  # what causaldag does
        ((first, _),) = ({frozenset({a, b}) for a, b in skeleton},)[0]
        assert swapped(i, j) == (first == j)


# --- the method


def test_a_regime_does_not_depend_on_the_others():
    task = chain_task()
    together = DCI(**CHEAP).predict_targets(task)
    assert together.any()
    np.testing.assert_array_equal(together[1:], DCI(**CHEAP).predict_targets(task.regime(1)))


def test_nothing_changes_with_units():
    task = chain_task()
    units = np.float32([1024, 1 / 1024, 1, 2**20, 2**-20])
    scaled = replace(
        task, observational=task.observational * units, regimes=[x * units for x in task.regimes]
    )
    before, after = two_sides()
    again = [Covariances(s.matrices * 4.0, s.n_rows) for s in (before, after)]
    grid = ((0.001, 0.01), (0.1, 0.5), (0.001, 0.01), 3)
    np.testing.assert_array_equal(changed_edges(before, after, *grid), changed_edges(*again, *grid))
    assert DCI(**CHEAP).predict_targets(scaled).any()


def test_readings():
    task = chain_task(n_rows=500)
    outputs = DCI(**CHEAP).predict_outputs(task)
    ones = DCI(**CHEAP, indicator=True).predict_outputs(task)["graph"]
    np.testing.assert_array_equal(ones, outputs["graph"] > 0)
    incident = DCI(**CHEAP, counted="incident").predict_outputs(task)
    assert (incident["stability"] >= outputs["stability"]).all() and (
        incident["graph"] >= outputs["graph"]
    ).all()
    np.testing.assert_allclose(incident["stability"].sum(), 2 * outputs["stability"].sum())
    with pytest.raises(InvalidParameter, match="outgoing"):
        DCI(counted="outgoing").predict_targets(task)  # type: ignore[arg-type]


def test_a_constant_column_is_left_out():
    task = chain_task()
    first = np.array(task.regimes[0])
    first[:, 3] = 0
    scores = DCI(**CHEAP).predict_targets(replace(task, regimes=[first, task.regimes[1]]))
    assert (
        np.isnan(scores[0]).tolist() == [False, False, False, True, False]
        and np.isfinite(scores[1]).all()
    )


def test_collinear_and_nearly_constant_columns_have_scores():
    task = chain_task(n_variables=6)
    arrays = [np.array(x) for x in (task.observational, *task.regimes)]
    for x in arrays:
        x[:, 5] = x[:, 0] + x[:, 1]
        x[:, 4] = 0
        x[7, 4] = 1  # constant in most subsamples
    degenerate = replace(task, observational=arrays[0], regimes=arrays[1:])
    assert np.isfinite(DCI(**CHEAP).predict_targets(degenerate)).all()


def test_rows_are_capped():
    task = chain_task(n_rows=400)
    capped = DCI(**CHEAP, max_rows=60)
    scores = capped.predict_targets(task)
    np.testing.assert_array_equal(scores, capped.predict_targets(task))
    assert not np.array_equal(scores, DCI(**CHEAP).predict_targets(task))


def test_too_few_rows_or_variables():
    task = chain_task(n_rows=8)
    with pytest.raises(CannotRun, match="subsamples of 5 rows"):
        DCI(**CHEAP).predict_targets(task)
    x = np.random.default_rng(0).normal(size=(100, 1))
    with pytest.raises(CannotRun, match="two variables"):
        DCI(**CHEAP).predict_targets(Task(name="t", variables=["a"], observational=x, regimes=[x]))


@pytest.mark.slow
def test_hundred_variables():
    task = chain_task(n_variables=100, n_regimes=1, n_rows=900)
    scores = DCI(max_set_size=2, bootstraps=10).predict_targets(task)
    assert scores[0].argmax() == 1  # the target of the first regime
