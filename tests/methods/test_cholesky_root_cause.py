"""Root causes by Cholesky decomposition against the algorithm written out plainly."""

import numpy as np
import pytest

from cdnbench.errors import InvalidParameter
from cdnbench.methods.cholesky_root_cause import CholeskyRootCause, _largest_entries
from cdnbench.task import Task


def linear_task(seed: int, n_rows: int = 200, shift: float = 10.0) -> tuple[Task, int]:
    """A sparse linear SEM of 12 variables in random order, one of them shifted in a single row."""
    rng = np.random.default_rng(seed)
    n = 12
    weights = np.tril(rng.normal(size=(n, n)) * (rng.random((n, n)) < 0.3), -1)
    order, root = rng.permutation(n), int(rng.integers(n))

    def sample(rows, shift):
        noise = rng.normal(size=(rows, n))
        noise[:, root] += shift
        return np.linalg.solve(np.eye(n) - weights, noise.T).T[:, order]

    task = Task(
        name="t",
        variables=[f"v{i}" for i in range(n)],
        observational=sample(n_rows, 0),
        regimes=[sample(1, shift)],
    )
    return task, int(np.flatnonzero(order == root)[0])


class Recorder:
    """Gives a generator's permutations and keeps them."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator, self.drawn = generator, []

    def permutation(self, values):
        self.drawn.append(self._generator.permutation(values))
        return self.drawn[-1]


@pytest.mark.parametrize("seed", range(5))
def test_entries_equal_a_whole_cholesky_factor_per_order(seed):
    """Shared factors against the full decomposition of each permuted covariance matrix."""
    rng = np.random.default_rng(seed)
    n, root = 9, rng.normal(size=(9, 9))
    correlation = root @ root.T + np.eye(n)
    row = rng.normal(size=n)
    moved, others = np.array([1, 4, 5, 8]), np.array([3, 0, 7, 6, 2])
    recorder = Recorder(rng)
    top, ratio = _largest_entries(correlation, row, others, moved, recorder)
    for i, rest in enumerate(recorder.drawn):
        order = [*others, moved[i], *moved[rest]]
        factor = np.linalg.cholesky(correlation[np.ix_(order, order)])
        noise = np.abs(np.linalg.solve(factor, row[order]))
        second, first = np.sort(noise)[-2:]
        assert top[i] == order[int(noise.argmax())]
        assert ratio[i] == pytest.approx((first - second) / second)


def test_thresholds_equal_the_reference():
    """Where the authors' `get_aberrant_thresholds` keeps .1, .7, 1.1 and 3.1."""
    square = np.array([0.05, 0.65, 1.0, 3.0, 4.2])
    kept = CholeskyRootCause()._thresholds(square)
    np.testing.assert_allclose(kept, [0.1, 0.7, 1.1, 3.1])


def test_finds_root_causes():
    """The authors' code finds .90 of 40 such tasks first (15 variables, shift 8), this .93."""
    found = [
        CholeskyRootCause().predict_targets(task)[0].argmax() == root
        for task, root in map(linear_task, range(30))
    ]
    assert np.mean(found) >= 0.8


def test_fewer_rows_than_variables():
    found = 0
    for seed in range(20):
        task, root = linear_task(seed, n_rows=9, shift=20)
        scores = CholeskyRootCause(n_shuffles=5).predict_targets(task)[0]
        assert np.isfinite(scores).all()
        found += scores.argmax() == root
    assert found >= 6, "chance is 1.7"


def test_variables_that_never_stand_out_keep_the_order_of_their_shifts():
    task, _ = linear_task(0)
    scores = CholeskyRootCause().predict_targets(task)[0]
    x, row = task.observational.astype(float), task.regimes[0][0].astype(float)
    square = ((row - x.mean(axis=0)) / x.std(axis=0, ddof=1)) ** 2
    order = np.argsort(scores)
    never = order[: int((scores < scores.max() / 10).sum()) // 2]
    assert (np.diff(square[never]) > 0).all() and len(never) > 2


def test_nothing_moved():
    x = np.array([[0.0, 1], [1, 0], [0, 0], [1, 1]])
    task = Task(name="t", variables="ab", observational=x, regimes=[np.array([[0.5, 0.51]])])
    np.testing.assert_allclose(
        CholeskyRootCause().predict_targets(task)[0], [0, 0.01**2 * 3], atol=1e-7
    )


def test_the_smallest_threshold_is_below_the_largest():
    with pytest.raises(InvalidParameter, match="smallest_threshold has to be below.*got 6 and 5"):
        CholeskyRootCause(smallest_threshold=6)
