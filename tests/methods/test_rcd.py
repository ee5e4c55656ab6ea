"""Root Cause Discovery: recovery, the hierarchy, and what each reading means."""

import numpy as np
import pytest

from cdnbench.errors import InvalidParameter
from cdnbench.methods.rcd import RCD, _LocalSearch
from cdnbench.task import Task


def chain(n_variables, targets, n_rows=800, seed=0):
    """x0 -> x1 -> ...; in the regime the targets are N(0, 3), so that no mean moves."""
    rng = np.random.default_rng(seed)

    def sample(intervened):
        x = rng.normal(size=(n_rows, n_variables))
        for i in range(n_variables):
            if i in intervened:
                x[:, i] *= 3
            elif i:
                x[:, i] += 0.8 * x[:, i - 1]
        return x

    return Task(
        name="chain",
        variables=[f"v{i}" for i in range(n_variables)],
        observational=sample(()),
        regimes=[sample(targets)],
    )


@pytest.mark.parametrize("seed", range(5))
def test_finds_two_targets_among_twelve(seed):
    scores = RCD().predict_targets(chain(12, (3, 8), seed=seed))[0]
    assert set(np.argsort(-scores)[:2]) == {3, 8}


def test_set_is_the_neighbours_of_f_and_holds_the_best():
    outputs = RCD().predict_outputs(chain(8, (4,)))
    members = np.flatnonzero(outputs["set"][0])
    assert 4 in members and len(members) < 8
    assert set(np.unique(outputs["set"])) <= {0.0, 1.0}
    assert (
        outputs["soft"][0, members].min()
        > -np.log(0.001)
        > np.delete(outputs["soft"][0], members).max()
    )


def test_descendants_are_explained_away():
    """Given its parent, the target's child does not depend on F; without conditioning it does,
    strongly."""
    task = chain(3, (1,), n_rows=3000)
    marginal = RCD(max_depth=0).predict_targets(task)[0]
    conditional = RCD().predict_targets(task)[0]
    assert marginal[2] > 20
    assert conditional[2] < 0.5 * marginal[2] and conditional.argmax() == 1


def test_null_regime_still_yields_a_ranking():
    scores = RCD().predict_outputs(chain(10, ()))
    assert np.isfinite(scores["soft"]).all() and scores["soft"].max() < 12
    assert scores["set"].sum() >= 1, "levels rise until F has a neighbour"


def test_strong_effects_do_not_tie():
    task = chain(2, (0,), n_rows=3000)
    shifted = [task.regimes[0] * np.array([1e3, 1.0]) + np.array([1e6, 0.0])]
    task = Task(name="t", variables="ab", observational=task.observational, regimes=shifted)
    scores = RCD().predict_targets(task)[0]
    assert np.isfinite(scores).all() and scores[0] > 1000 > scores[1]


def test_a_regime_does_not_depend_on_the_others():
    task = chain(12, (3,))
    other = chain(12, (5,), seed=1).regimes[0]
    both = Task(
        name="b",
        variables=task.variables,
        observational=task.observational,
        regimes=[task.regimes[0], other],
    )
    swapped = Task(
        name="b",
        variables=task.variables,
        observational=task.observational,
        regimes=[other, task.regimes[0]],
    )
    np.testing.assert_array_equal(RCD().predict_targets(both), RCD().predict_targets(swapped)[::-1])


def test_work_is_bounded():
    """Forty shifted variables that stay: the step stops before the depth that would take too many
    tests."""
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 300, 40))
    search = _LocalSearch(before, after + 0.8, RCD(max_tests=500))
    assert len(search.neighbours(list(range(40)), 0.01)) > 30
    assert sum(len(tests) for tests in search._tests.values()) == 40


def test_unknown_binning_is_named():
    with pytest.raises(ValueError, match="'equal'"):
        RCD(binning="equal").predict_targets(chain(3, (1,)))  # type: ignore[arg-type]


def test_another_binning_is_refused_by_name():
    with pytest.raises(InvalidParameter, match="rcd: binning is kmeans or quantile; got 'all'"):
        RCD(binning="all").predict_outputs(chain(3, ()))  # type: ignore[arg-type]
