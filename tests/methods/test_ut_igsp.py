"""UT-IGSP against causaldag called directly with its own, unbatched invariance tests."""

import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from cdnbench.errors import CannotRun
from cdnbench.methods.causaldag import quarantine, thinned
from cdnbench.methods.ut_igsp import UTIGSP, GaussianInvariance
from cdnbench.registry import load_method
from cdnbench.relabelling import in_canonical_order, task_generator
from cdnbench.task import Task


def linear_task(n_variables=6, n_edges=8, n_regimes=6, n_rows=300, seed=0, hard=True) -> Task:
    """A random linear SCM with one or two targets a regime, replaced by U(-1, 1) or scaled by
    2.5."""
    rng = np.random.default_rng([n_variables, n_edges, n_regimes, seed])
    pairs = [(a, b) for b in range(n_variables) for a in range(b)]
    weights = np.zeros((n_variables, n_variables))
    for k in rng.choice(len(pairs), n_edges, replace=False):
        weights[pairs[k]] = rng.uniform(0.4, 1) * rng.choice([-1, 1])

    def sample(rows, targets=()):
        x = rng.normal(size=(rows, n_variables))
        for i in range(n_variables):
            x[:, i] += x @ weights[:, i]
            if i in targets:
                x[:, i] = rng.uniform(-1, 1, rows) if hard else 2.5 * x[:, i]
        return x + np.arange(n_variables)

    regimes = [
        sample(
            int(rng.integers(n_rows // 2, n_rows)),
            rng.choice(n_variables, rng.integers(1, 3), replace=False),
        )
        for _ in range(n_regimes)
    ]
    return Task(
        name="linear",
        variables=[f"v{i}" for i in range(n_variables)],
        observational=sample(n_rows),
        regimes=regimes,
    )


def stock(task: Task, seed: int, **parameters) -> dict[str, np.ndarray]:
    """causaldag as its authors run it, on the variables in canonical order, from the wrapper's
    seed."""
    import causaldag

    method = UTIGSP(**parameters)

    def solve(ordered: Task) -> dict[str, np.ndarray]:
        generator = task_generator(ordered, "ut-igsp", seed)
        observational = thinned(ordered.observational, method.max_rows, generator)
        regimes = [np.array(x, float) for x in ordered.regimes]
        invariance = causaldag.gauss_invariance_suffstat(observational, regimes)
        with quarantine(int(generator.integers(2**32))):
            dag, targets = causaldag.unknown_target_igsp(
                [{"known_interventions": []} for _ in regimes],
                set(range(ordered.n_variables)),
                causaldag.MemoizedCI_Tester(
                    causaldag.partial_correlation_test,
                    causaldag.partial_correlation_suffstat(observational),
                    alpha=method.alpha,
                ),
                causaldag.MemoizedInvarianceTester(
                    causaldag.gauss_invariance_test, invariance, alpha=method.alpha_inv
                ),
                depth=method.depth,
                nruns=method.n_runs,
            )
        member, p_value = np.zeros((2, ordered.n_regimes, ordered.n_variables))
        for r in range(ordered.n_regimes):
            for i in range(ordered.n_variables):
                test = causaldag.gauss_invariance_test(invariance, r, i, list(dag.parents_of(i)))
                p_value[r, i] = min(test["f_pvalue"], test["rc_pvalue"])
                member[r, i] = i in targets[r]
        return {"soft": -np.log(np.maximum(p_value, 1e-300)), "set": member}

    return in_canonical_order(task, solve)


@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_equals_causaldag(seed, hard):
    task = linear_task(seed=seed, hard=hard)
    ours, theirs = UTIGSP().predict_outputs(task, seed=seed), stock(task, seed)
    np.testing.assert_array_equal(ours["set"], theirs["set"])
    assert_soft_equal(ours["soft"], theirs["soft"])


def assert_soft_equal(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal where causaldag's 1 - cdf has digits left; beyond 1e-9 ours goes on and theirs
    saturates."""
    precise = theirs < -np.log(1e-9)
    np.testing.assert_allclose(ours[precise], theirs[precise], rtol=1e-5, atol=1e-7)
    assert (ours[~precise] > -np.log(1e-8)).all()
    assert precise.any() and (~precise).any()


def test_equals_causaldag_with_other_parameters_and_more_rows_than_it_takes():
    parameters = {"alpha": 0.05, "alpha_inv": 0.01, "depth": 2, "n_runs": 2, "max_rows": 200}
    task = linear_task(seed=9)
    ours, theirs = UTIGSP(**parameters).predict_outputs(task, seed=1), stock(task, 1, **parameters)
    np.testing.assert_array_equal(ours["set"], theirs["set"])
    assert_soft_equal(ours["soft"], theirs["soft"])


@pytest.mark.slow
@pytest.mark.parametrize("n_variables, n_edges", [(10, 10), (10, 20), (20, 20), (20, 40)])
def test_equals_causaldag_at_the_suite_sizes(n_variables, n_edges):
    for seed in range(5):
        task = linear_task(n_variables, n_edges, 3 * n_variables, 970, seed, hard=seed % 2 == 0)
        ours, theirs = UTIGSP().predict_outputs(task, seed=0), stock(task, 0)
        np.testing.assert_array_equal(ours["set"], theirs["set"])
        assert_soft_equal(ours["soft"], theirs["soft"])


def test_the_set_is_a_cut_of_the_soft_score():
    outputs = UTIGSP(alpha_inv=0.01).predict_outputs(linear_task(seed=3))
    np.testing.assert_array_equal(outputs["set"], outputs["soft"] > -np.log(0.01 / 2))


@pytest.mark.parametrize("parents", [(), (0,), (2, 4), (0, 2, 3, 4)])
def test_invariance_tests_equal_causaldag(parents):
    import causaldag

    task = linear_task(seed=2, n_regimes=4)
    observational, regimes = (
        np.array(task.observational, float),
        [np.array(x, float) for x in task.regimes],
    )
    suffstat = causaldag.gauss_invariance_suffstat(observational, regimes)
    tester = GaussianInvariance(observational, regimes, alpha=0.01)
    log_p = tester.log_p(1, frozenset(parents))
    for r in range(4):
        test = causaldag.gauss_invariance_test(suffstat, r, 1, list(parents), alpha=0.01)
        assert tester.is_invariant(1, r, frozenset(parents)) == (not test["reject"])
        p = min(test["f_pvalue"], test["rc_pvalue"])
        if p > 1e-9:
            assert log_p[r] == pytest.approx(np.log(p), rel=1e-6, abs=1e-8)


def test_strong_effects_do_not_tie():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 900, 4))
    after *= [1, 10, 20, 1]
    task = Task(name="t", variables="abcd", observational=before, regimes=[after])
    outputs = UTIGSP().predict_outputs(task)
    assert outputs["set"][0].tolist() == [0, 1, 1, 0]
    assert outputs["soft"][0, 2] > outputs["soft"][0, 1] > 700


def test_constant_variables():
    """Constant throughout: not a target. Varying on one side only, or another constant: a
    target."""
    task = linear_task(seed=1, n_regimes=2)
    observational, first, second = (np.array(x) for x in (task.observational, *task.regimes))
    observational[:, 0], first[:, 0], second[:, 0] = 5, 5, 6
    first[:, 1] = 0
    outputs = UTIGSP().predict_outputs(
        replace(task, observational=observational, regimes=[first, second])
    )
    assert outputs["set"][:, 0].tolist() == [0, 1] and outputs["soft"][0, 0] < 0.1
    assert outputs["set"][0, 1] == 1 and np.isfinite(outputs["soft"]).all()


def test_too_few_rows():
    x = np.random.default_rng(0).normal(size=(9, 6))
    with pytest.raises(CannotRun, match="9 observational rows"):
        UTIGSP().predict_targets(Task(name="t", variables="abcdef", observational=x, regimes=[x]))


def test_a_short_regime_cannot_say():
    task = linear_task(seed=0)
    short = replace(task, regimes=[task.regimes[0][:1], task.regimes[1]], candidates=None)
    outputs = UTIGSP().predict_outputs(short)
    assert np.isnan(outputs["soft"][0]).all() and not outputs["set"][0].any()
    assert np.isfinite(outputs["soft"][1]).all()


def test_quarantine_restores_the_generators_after_an_error(capsys):
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with pytest.raises(ZeroDivisionError), quarantine(3):
        print("noise")
        random.random(), np.random.random()  # noqa: NPY002
        raise ZeroDivisionError
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002
    assert capsys.readouterr().out == ""


CALL = """
{imports}
from cdnbench import load_method, load_suite
suite = load_suite("synthetic-mini")
task = suite.load(suite.specs()[2]).task
for _ in range(2):
    print([v.tolist() for v in load_method("ut-igsp").predict_outputs(task).values()])
"""


def test_first_and_later_calls_of_a_process_agree():
    """Whatever was imported before: importing causaldag draws from Python's generator."""
    answers = []
    for imports in ("", "import causaldag", "import random, scipy.special; random.seed(5)"):
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CALL.format(imports=imports)],
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        answers += run.stdout.splitlines()
    assert len(answers) == 6 and len(set(answers)) == 1


def test_rare_binary_variables_that_are_equal_score_nothing():
    """The same counts before and after, in other rows: nothing changed."""
    rng = np.random.default_rng(0)
    before = (rng.random((400, 12)) < 0.01).astype(float)
    before[np.arange(12), np.arange(12)] = 1  # none is constant
    after = np.stack([rng.permutation(column) for column in before.T], axis=1)
    tester = GaussianInvariance(before, [after], 1e-3)
    for i in range(12):
        assert tester.log_p(i, frozenset())[0] == pytest.approx(0, abs=1e-9)
        assert tester.is_invariant(i, 0)
    task = Task(name="t", variables="abcdefghijkl", observational=before, regimes=[after])
    prediction = load_method("ut-igsp").predict(task)
    assert prediction.outputs["set"].sum() == 0
    assert "12 of 12 variables are discrete" in prediction.note


def test_no_note_on_continuous_or_constant_variables():
    task = linear_task()
    assert load_method("ut-igsp").predict(task).note == ""
    constant = np.array(task.observational)
    constant[:, 0] = 1
    assert load_method("ut-igsp").predict(replace(task, observational=constant)).note == ""
