"""PreDITEr: the sparse precision differences against their optimality conditions, and recovery of
known targets."""

import numpy as np
import pytest

from cdnbench.errors import CannotRun
from cdnbench.methods.prediter import PreDITEr, precision_difference, standardized_covariances
from cdnbench.methods.statistics.tails import log_f_two_sided
from cdnbench.task import Task


def linear_task(
    n_variables: int, seed: int, n_rows: int = 20_000, scale: float = 2.0, shift: float = 0.0
):
    """A random linear SEM in random order, two targets with rescaled and shifted noise: the task
    and its (N,) targets."""
    rng = np.random.default_rng([n_variables, seed])
    weights = np.triu(
        rng.uniform(0.4, 1, (n_variables, n_variables)) * rng.choice([-1, 1], (n_variables,) * 2), 1
    )
    weights *= rng.random(weights.shape) < 3 / (n_variables - 1)
    targets = rng.choice(n_variables, 2, replace=False)
    order = rng.permutation(n_variables)

    def sample(changed):
        noise = rng.normal(size=(n_rows, n_variables))
        noise[:, changed] = shift + scale * noise[:, changed]
        return (noise @ np.linalg.inv(np.eye(n_variables) - weights))[:, order]

    names = [f"v{i}" for i in range(n_variables)]
    task = Task(name="sem", variables=names, observational=sample([]), regimes=[sample(targets)])
    return task, np.isin(order, targets)


@pytest.mark.parametrize("n_variables", [5, 10])
@pytest.mark.parametrize("scale", [2.0, 0.5])
def test_recovers_the_targets_of_linear_sems(n_variables, scale):
    found, wrong, first = 0, 0, 0
    for seed in range(10):
        task, targets = linear_task(n_variables, seed, scale=scale)
        outputs = PreDITEr().predict_outputs(task)
        found += (outputs["set"][0] * targets).sum()
        wrong += (outputs["set"][0] * ~targets).sum()
        first += targets[np.argsort(-outputs["soft"][0])[:2]].sum()
    assert found >= 17 and wrong <= 4, "recall and precision, of 20 targets"
    assert first >= 19


def test_nothing_changed_nothing_found():
    task, _ = linear_task(8, 3, scale=1.0)
    outputs = PreDITEr().predict_outputs(task)
    assert not outputs["set"].any() and outputs["soft"].max() < 7


def test_the_parents_of_a_target_are_affected_but_not_targets():
    """x0 -> x1, the noise of x1 doubled: the precision of x0 changes in {x0, x1}, and its variance
    does not."""
    rng = np.random.default_rng(0)
    x0, noise = rng.normal(size=(2, 2, 5000))
    noise[1] *= 2
    before, after = np.stack([x0, x0 + noise], axis=2)
    task = Task(name="pair", variables="ab", observational=before, regimes=[after])
    outputs = PreDITEr().predict_outputs(task)
    covariances = standardized_covariances(before, after, center=True)
    assert (precision_difference(*covariances[:, None], 0.1)[0].diagonal() != 0).all()
    assert (
        outputs["set"].tolist() == [[0, 1]]
        and outputs["soft"][0, 1] > 100 > 10 > outputs["soft"][0, 0]
    )


def test_shifts_need_second_moments():
    missed, found = 0, 0
    for seed in range(5):
        task, targets = linear_task(6, seed, scale=1.0, shift=2.0)
        missed += PreDITEr().predict_outputs(task)["set"].sum()
        found += (
            PreDITEr(center=False).predict_outputs(task)["soft"][0].argmax()
            == np.flatnonzero(targets)
        ).any()
    assert missed == 0 and found == 5


def random_covariances(k: int, batch: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng([k, seed])
    return np.stack([np.cov(rng.normal(size=(60, k)), rowvar=False) for _ in range(batch)])


@pytest.mark.parametrize("k", [2, 4, 7])
def test_precision_difference_is_optimal(k):
    """Where an entry is zero its gradient is below the penalty; elsewhere it is minus the penalty
    times the sign."""
    before, after, penalty = random_covariances(k, 5, 0), random_covariances(k, 5, 1), 0.1
    for a, b in zip(before, after, strict=True):
        sparse = _unsymmetric(a, b, penalty)
        gradient = a @ sparse @ b - (a - b)
        assert (np.abs(gradient) <= penalty + 1e-3).all()
        nonzero = sparse != 0
        np.testing.assert_allclose(
            gradient[nonzero], -penalty * np.sign(sparse[nonzero]), atol=1e-3
        )
        ours = precision_difference(
            a[None], b[None], penalty, tolerance=1e-8, max_iterations=20_000
        )[0]
        np.testing.assert_allclose(ours, (sparse + sparse.T) / 2, atol=1e-3)


def _unsymmetric(a: np.ndarray, b: np.ndarray, penalty: float) -> np.ndarray:
    """The minimiser by proximal gradient steps."""
    step = 1 / (np.linalg.norm(a, 2) * np.linalg.norm(b, 2))
    x = np.zeros_like(a)
    for _ in range(20_000):
        moved = x - step * (a @ x @ b - (a - b))
        x = np.sign(moved) * np.maximum(np.abs(moved) - step * penalty, 0)
    return x


def test_precision_difference_without_penalty_is_the_difference():
    before, after = random_covariances(4, 6, 2), random_covariances(4, 6, 3)
    expected = np.linalg.inv(after) - np.linalg.inv(before)
    ours = precision_difference(before, after, 0.0, tolerance=1e-10, max_iterations=5000)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_the_soft_score_is_the_least_evidence():
    """One regression after the other, over every set that two undecided nodes and the whole
    give."""
    task, _ = linear_task(5, 4, n_rows=300)
    method = PreDITEr()
    covariances = standardized_covariances(task.observational, task.regimes[0], center=True)
    _, unaffecting, undecided = method._search(*covariances)
    from itertools import chain, combinations

    sets = chain.from_iterable(combinations(undecided, size) for size in range(len(undecided) + 1))
    sets = [set(s) | set(unaffecting) for s in sets] + [set(), set(range(5))]
    for i in range(5):
        evidence = []
        for given in [sorted(s - {i}) for s in sets if i not in s or s == set(range(5))] + [[]]:
            residual = []
            for x in (task.observational, task.regimes[0]):
                x = np.array(x, float) - np.mean(x, axis=0, dtype=float)
                fitted = x[:, given] @ np.linalg.lstsq(x[:, given], x[:, i], rcond=None)[0]
                residual.append(((x[:, i] - fitted) ** 2).sum() / 299)
            df = 299 - len(given)
            evidence.append(-log_f_two_sided(np.array(residual[0] / residual[1]), df, df))
        assert method.predict_targets(task)[0, i] == pytest.approx(
            max(min(evidence), 0), rel=1e-4, abs=1e-4
        )


def test_units_do_not_matter():
    task, _ = linear_task(6, 5, n_rows=500)
    units = np.float32([1e-4, 1, 1e4, 3, 1e-2, 1e6])
    scaled = Task(
        name="t",
        variables=task.variables,
        observational=task.observational * units,
        regimes=[x * units for x in task.regimes],
    )
    for variant, scores in PreDITEr().predict_outputs(task).items():
        np.testing.assert_allclose(
            PreDITEr().predict_outputs(scaled)[variant], scores, rtol=1e-3, atol=1e-3
        )


def test_too_few_rows():
    x = np.random.default_rng(0).normal(size=(7, 5))
    with pytest.raises(CannotRun, match="7 rows"):
        PreDITEr().predict_targets(Task(name="t", variables="abcde", observational=x, regimes=[x]))
