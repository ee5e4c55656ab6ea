"""causaldag's DCI called directly, and what the wrapper adds to it."""

from dataclasses import replace

import numpy as np
import pytest

from cdnbench.errors import CannotRun
from cdnbench.methods.causaldag import quarantine
from cdnbench.methods.dci.reference import DCIReference
from cdnbench.relabelling import in_canonical_order, task_generator
from cdnbench.task import Task

CHEAP = {
    "bootstraps": 4,
    "alpha_ug": (0.001, 0.01),
    "alpha_skeleton": (0.1,),
    "alpha_orient": (0.001, 0.01),
}


def chain_task(n_variables=5, n_regimes=2, n_rows=200, seed=0) -> Task:
    rng = np.random.default_rng(seed)

    def sample(target=None):
        x = rng.normal(size=(n_rows, n_variables))
        for i in range(1, n_variables):
            x[:, i] = 1.5 * x[:, i] if i == target else x[:, i] + 0.9 * x[:, i - 1]
        return x

    regimes = [sample(1 + r % (n_variables - 1)) for r in range(n_regimes)]
    return Task(
        name="t",
        variables=[f"v{i}" for i in range(n_variables)],
        observational=sample(),
        regimes=regimes,
    )


def stock(task: Task, seed: int, bootstraps: int, **grid) -> dict[str, np.ndarray]:
    """causaldag on one regime, in canonical order, from the wrapper's random state."""
    from causaldag import dci_stability_selection

    def solve(single: Task) -> dict[str, np.ndarray]:
        random_state = int(task_generator(single, "dci-reference", seed).integers(2**32))
        with quarantine(0):
            adjacency, scores = dci_stability_selection(
                np.array(single.observational, float),
                np.array(single.regimes[0], float),
                **{f"{phase}_grid": list(levels) for phase, levels in grid.items()},
                max_set_size=3,
                edge_threshold=0,
                n_bootstrap_iterations=bootstraps,
                random_state=random_state,
            )
        n = single.n_variables
        return {
            "stability": np.array([[np.mean(scores[:, :, j], axis=0).sum() for j in range(n)]]),
            "graph": np.array([[(adjacency[:, j] != 0).sum() / (n - 1) for j in range(n)]]),
        }

    return in_canonical_order(task, solve)


@pytest.mark.parametrize("seed", range(3))
def test_equals_causaldag(seed):
    task = chain_task(seed=seed)
    ours = DCIReference(**CHEAP).predict_outputs(task, seed=seed)
    assert ours["stability"].any()
    for r in range(2):
        theirs = stock(task.regime(r), seed, **CHEAP)
        np.testing.assert_allclose(ours["stability"][r], theirs["stability"][0], rtol=1e-12)
        np.testing.assert_array_equal(ours["graph"][r], theirs["graph"][0])


@pytest.mark.slow
def test_equals_causaldag_with_the_published_parameters():
    task = chain_task(n_variables=8, n_regimes=1, n_rows=970)
    grid = {"alpha_ug": (0.001, 0.01), "alpha_skeleton": (0.1, 0.5), "alpha_orient": (0.001, 0.01)}
    ours, theirs = DCIReference().predict_outputs(task), stock(task, 0, bootstraps=50, **grid)
    np.testing.assert_allclose(ours["stability"], theirs["stability"], rtol=1e-12)
    np.testing.assert_array_equal(ours["graph"], theirs["graph"])


def test_a_regime_does_not_depend_on_the_others():
    task = chain_task()
    together = DCIReference(**CHEAP).predict_targets(task)
    np.testing.assert_array_equal(
        together[1:], DCIReference(**CHEAP).predict_targets(task.regime(1))
    )


def test_a_constant_column_is_left_out():
    task = chain_task()
    first = np.array(task.regimes[0])
    first[:, 3] = 0
    changed = replace(task, regimes=[first, task.regimes[1]])
    scores = DCIReference(**CHEAP).predict_targets(changed)
    assert (
        np.isnan(scores[0]).tolist() == [False, False, False, True, False]
        and np.isfinite(scores[1]).all()
    )


def test_rows_are_capped():
    task = chain_task(n_rows=400)
    capped = DCIReference(**CHEAP, max_rows=60)
    scores = capped.predict_targets(task)
    np.testing.assert_array_equal(scores, capped.predict_targets(task))
    assert not np.array_equal(scores, DCIReference(**CHEAP).predict_targets(task))


def test_too_few_rows_or_variables():
    task = chain_task(n_rows=8)
    with pytest.raises(CannotRun, match="subsamples of 5 rows"):
        DCIReference(**CHEAP).predict_targets(task)
    x = np.random.default_rng(0).normal(size=(100, 1))
    with pytest.raises(CannotRun, match="two variables"):
        DCIReference(**CHEAP).predict_targets(
            Task(name="t", variables=["a"], observational=x, regimes=[x])
        )
