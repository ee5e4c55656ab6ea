"""Mechanism Shift Score: graphs and targets of small linear models are recovered."""

import random

import numpy as np
import pytest

from cdnbench import load_suite
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.methods import mechanism_shift
from cdnbench.methods.mechanism_shift import MechanismShift
from cdnbench.task import Task


def linear_task(weights, targets, n_rows=1000, seed=0):
    """weights[i, j]: coefficient of i -> j for i < j. In a regime its targets lose their parents
    and are N(0, 2)."""
    rng = np.random.default_rng(seed)
    n = len(weights)

    def sample(intervened):
        noise = rng.normal(size=(n_rows, n))
        x = np.zeros((n_rows, n))
        for j in range(n):
            x[:, j] = (
                2 * noise[:, j] if j in intervened else noise[:, j] + x[:, :j] @ weights[:j, j]
            )
        return x

    return Task(
        name="t",
        variables=[f"v{j}" for j in range(n)],
        observational=sample(()),
        regimes=[sample(t) for t in targets],
    )


CHAIN = np.diag([0.9, -0.8, 0.7, 0.9], k=1)


@pytest.mark.parametrize("seed", range(3))
def test_recovers_the_targets_of_a_chain(seed):
    """The class of a chain has five members; the regimes together leave the true one."""
    targets = [(0,), (1,), (2,), (3,), (4,), (1, 3)]
    outputs = MechanismShift().predict_outputs(linear_task(CHAIN, targets, seed=seed))
    truth = np.zeros((6, 5), bool)
    for r, t in enumerate(targets):
        truth[r, list(t)] = True
    for r in range(6):
        assert outputs["soft"][r, truth[r]].min() > outputs["soft"][r, ~truth[r]].max()
    assert outputs["set"][truth].min() == 1
    assert outputs["set"][~truth].mean() < 0.1


def test_other_regimes_orient_the_graph():
    """x0 - x1 alone could point either way; a regime that leaves p(x1 | x0) alone and moves x0
    decides for all regimes."""
    task = linear_task(np.array([[0, 0.9], [0, 0]]), [(0,), (1,)])
    alone = MechanismShift().predict_targets(task.regime(1))
    jointly = MechanismShift().predict_targets(task)
    assert jointly[1, 1] > 20 > 10 > jointly[1, 0]
    assert jointly[1, 0] <= alone[0, 0] + 1e-9


def test_colliders_are_oriented_without_regimes():
    weights = np.zeros((3, 3))
    weights[0, 2] = weights[1, 2] = 1.0
    for search in ("boss", "pc"):
        cpdag = MechanismShift(search=search)._cpdag(
            linear_task(weights, [()]), np.random.default_rng(0)
        )
        np.testing.assert_array_equal(cpdag, weights != 0)


def test_enumeration_is_capped():
    dense = np.triu(np.ones((7, 7)), k=1) * 0.5
    task = linear_task(dense, [(3,)], n_rows=500)
    scores = MechanismShift(max_dags=5).predict_targets(task)
    assert np.isfinite(scores).all()


def test_splines_see_what_lines_do_not():
    """In a collider x -> y <- z, y = x + z + x^2 becomes y = x + z - x^2 + 2: same slopes, same
    variance."""
    rng = np.random.default_rng(0)

    def sample(sign):
        x, z, noise = rng.normal(size=(3, 1500))
        return np.column_stack([x, z, x + z + sign * (x**2 - 1) + 0.3 * noise])

    task = Task(name="t", variables="xzy", observational=sample(1), regimes=[sample(-1)])
    splines, lines = (
        MechanismShift().predict_targets(task)[0],
        MechanismShift(n_knots=0).predict_targets(task)[0],
    )
    assert splines[2] > 100 > 20 > lines[2]
    assert splines.argmax() == 2


def test_needs_more_rows_than_variables():
    x = np.random.default_rng(0).normal(size=(8, 6))
    with pytest.raises(CannotRun, match="8 observational rows"):
        MechanismShift().predict_targets(
            Task(name="t", variables="abcdef", observational=x, regimes=[x])
        )


def test_declines_where_the_graph_belongs_to_no_dag():
    """A Gaussian whose conditional independences are those of an undirected cycle of four."""
    precision = np.eye(4) + 0.4 * (np.eye(4, k=1) + np.eye(4, k=-1))
    precision[0, 3] = precision[3, 0] = 0.4
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal(np.zeros(4), np.linalg.inv(precision), size=5000)
    task = Task(name="t", variables="abcd", observational=x, regimes=[x + [1, 0, 0, 0]])
    with pytest.raises(
        CannotRun, match="4 variables in a cycle and belongs to no DAG; use another"
    ):
        MechanismShift(search="pc").predict_targets(task)
    assert MechanismShift().predict_targets(task).argmax() == 0


def cyclic(monkeypatch, *edges):
    """A search that finds these edges among four variables, whatever the samples."""
    found = np.zeros((4, 4), bool)
    for i, j in edges:
        found[i, j] = True
    monkeypatch.setattr(MechanismShift, "_cpdag", lambda *_: found)
    return MechanismShift(search="pc")


def test_declines_where_directed_edges_go_round(monkeypatch):
    task = linear_task(CHAIN[:4, :4], [(1,)])
    method = cyclic(monkeypatch, (0, 1), (1, 2), (2, 0))
    with pytest.raises(CannotRun, match="3 variables in a cycle"):
        method.predict_targets(task)


def test_orientations_with_a_cycle_are_passed_over(monkeypatch):
    """0 -> 1 -> 2 - 0 has the orientation 0 -> 2 alone."""
    task = linear_task(CHAIN[:4, :4], [(1,)])
    open_end = cyclic(monkeypatch, (0, 1), (1, 2), (2, 0), (0, 2)).predict_targets(task)
    closed = cyclic(monkeypatch, (0, 1), (1, 2), (0, 2)).predict_targets(task)
    np.testing.assert_array_equal(open_end, closed)


@pytest.mark.parametrize("wrong", [{"search": "ges"}, {"selection": "all"}])
def test_another_search_or_selection_is_refused_by_name(wrong):
    with pytest.raises(InvalidParameter, match="mechanism-shift: search is boss or pc"):
        MechanismShift(**wrong).predict_outputs(linear_task(CHAIN, [(0,)]))


@pytest.mark.parametrize("name", ["fourier-hard-uniform-laplace", "fourier-variance-laplace"])
def test_last_bits_do_not_decide_the_graph(monkeypatch, name):
    """Orders of one class have equal scores. Rows in another order stand for another processor:
    they change the last bits of the covariance and nothing else."""
    from causallearn.search.PermutationBased import BOSS as boss

    suite = load_suite("synthetic-ood")
    (spec,) = [s for s in suite.specs() if s.name.startswith(f"ood-n20-e40-{name}-500rows")][1:2]
    samples = np.array(suite.load(spec).task.observational, np.float64)

    def same_graph() -> bool:
        graphs, rng = [], np.random.default_rng(1)
        for _ in range(4):
            random.seed(0)
            graphs.append(mechanism_shift._best_order(boss, rng.permutation(samples), 2.0))
        return all(np.array_equal(graphs[0], other) for other in graphs)

    assert same_graph()
    monkeypatch.setattr(mechanism_shift, "_DIGITS", 15)
    assert not same_graph()
