"""CD-NOD against causal-learn's `cdnod`, and the variance test against a plain regression."""

import numpy as np
import pytest

from cdnbench.methods.cd_nod import CDNOD, ContextTests, skeleton
from cdnbench.methods.statistics.tails import log_f_two_sided
from cdnbench.task import Task


def linear_task(n_variables: int, seed: int, shift: float, scale: float, n_rows: int = 400) -> Task:
    """A random linear SCM; in each of three regimes one variable's noise is shifted and scaled."""
    rng = np.random.default_rng([n_variables, seed])
    weights = np.triu(rng.uniform(0.4, 1, (n_variables, n_variables)), 1)
    weights *= rng.random(weights.shape) < 3 / n_variables

    def sample(target=None):
        x = rng.normal(size=(n_rows, n_variables))
        for i in range(n_variables):
            if i == target:
                x[:, i] = shift + scale * x[:, i]
            x[:, i] += x @ weights[:, i] - weights[i, i] * x[:, i]
        return x

    targets = rng.choice(n_variables, 3, replace=False)
    return Task(
        name="linear",
        variables=[f"v{i}" for i in range(n_variables)],
        observational=sample(),
        regimes=[sample(t) for t in targets],
        metadata={"targets": targets.tolist()},
    )


@pytest.mark.parametrize("n_variables, seed", [(5, 0), (5, 1), (8, 2), (8, 3), (12, 4)])
def test_equals_causal_learn(n_variables, seed):
    from causallearn.search.ConstraintBased.CDNOD import cdnod

    task = linear_task(n_variables, seed, shift=0.7, scale=1.3)
    outputs = CDNOD(max_set_size=None).predict_outputs(task)
    for r, regime in enumerate(task.regimes):
        pooled = np.concatenate([task.observational, regime]).astype(float)
        context = np.repeat([0.0, 1.0], [len(task.observational), len(regime)])[:, None]
        graph = cdnod(
            pooled, context, alpha=0.05, indep_test="fisherz", show_progress=False
        ).G.graph
        np.testing.assert_array_equal(outputs["fisherz-set"][r], graph[-1, :-1] != 0)
        tests = ContextTests(task.observational, regime)
        adjacent, _ = skeleton(tests.log_p_fisherz, n_variables + 1, np.log(0.05), n_variables)
        np.testing.assert_array_equal(adjacent, (graph != 0) | (graph.T != 0))
    assert outputs["fisherz-set"].any()


def test_p_values_equal_causal_learn():
    from causallearn.utils.cit import CIT

    task = linear_task(6, 7, shift=0.3, scale=1)
    pooled = np.concatenate([task.observational, task.regimes[0]]).astype(float)
    context = np.repeat([0.0, 1.0], [len(task.observational), len(task.regimes[0])])[:, None]
    reference = CIT(np.concatenate([pooled, context], axis=1), "fisherz")
    tests = ContextTests(task.observational, task.regimes[0])
    for x, y, *conditions in [(0, 6), (6, 1, 2), (3, 4, 6), (2, 6, 0, 1), (5, 0, 1, 2, 3, 4)]:
        ours = tests.log_p_fisherz(np.array([[x, y, *conditions]]))
        assert np.exp(ours[0]) == pytest.approx(reference(x, y, conditions), rel=1e-6, abs=1e-12)


def test_the_variance_test_is_a_regression_with_common_slopes():
    task = linear_task(5, 8, shift=0, scale=1.1)
    before, after = task.observational.astype(float), task.regimes[0].astype(float)
    node, conditions = 3, [0, 2]
    context = np.repeat([0.0, 1.0], [len(before), len(after)])
    pooled = np.concatenate([before, after])
    design = np.column_stack([np.ones(len(pooled)), context, pooled[:, conditions]])
    residual = pooled[:, node] - design @ np.linalg.lstsq(design, pooled[:, node], rcond=None)[0]
    df = [len(x) - 1 - 2 * len(x) / len(pooled) for x in (before, after)]
    ratio = (
        (residual[context == 0] ** 2).sum() / df[0] / ((residual[context == 1] ** 2).sum() / df[1])
    )
    tests = ContextTests(before, after)
    s = -tests.log_p_fisherz(np.array([[node, 5, *conditions]]))[0] - log_f_two_sided(
        np.array(ratio), *df
    )
    for pair in ([node, 5], [5, node]):
        assert tests.log_p(np.array([[*pair, *conditions]]))[0] == pytest.approx(
            np.log1p(s) - s, rel=1e-6
        )


@pytest.mark.parametrize("shift, scale, least", [(1.5, 1, 22), (0, 2.5, 22), (0, 0.4, 18)])
def test_finds_shifts_and_variances(shift, scale, least):
    hits = fisherz_hits = 0
    for seed in range(8):
        task = linear_task(8, 20 + seed, shift, scale)
        outputs = CDNOD().predict_outputs(task)
        hits += (outputs["soft"].argmax(axis=1) == task.metadata["targets"]).sum()
        fisherz_hits += (outputs["fisherz"].argmax(axis=1) == task.metadata["targets"]).sum()
    assert hits >= least, "of 24"
    assert fisherz_hits >= 22 if shift else fisherz_hits <= 12, "Fisher's z sees means only"


def test_the_sets_are_cuts_of_the_scores():
    outputs = CDNOD(alpha=0.01).predict_outputs(linear_task(6, 1, shift=1, scale=2))
    np.testing.assert_array_equal(outputs["set"], outputs["soft"] >= -np.log(0.01))
    np.testing.assert_array_equal(outputs["fisherz-set"], outputs["fisherz"] >= -np.log(0.01))


def test_under_the_null_the_level_holds():
    rng = np.random.default_rng(0)
    tests = [ContextTests(*rng.normal(size=(2, 60, 3))) for _ in range(400)]
    p = np.exp([t.log_p(np.array([[0, 3], [3, 1]])) for t in tests]).ravel()
    assert 0.03 < (p < 0.05).mean() < 0.07 and 0.45 < p.mean() < 0.55


def test_constant_variables():
    """Constant throughout: no target. Another constant afterwards: a target."""
    task = linear_task(5, 0, shift=0, scale=1)
    before, after = np.array(task.observational), np.array(task.regimes[0])
    before[:, 0] = after[:, 0] = 5
    before[:, 1], after[:, 1] = 1, 2
    outputs = CDNOD().predict_outputs(
        Task(name="t", variables="abcde", observational=before, regimes=[after])
    )
    assert outputs["soft"][0, 0] == 0 and outputs["set"][0, 0] == 0
    assert outputs["set"][0, 1] == 1 and np.isfinite(outputs["soft"]).all()
