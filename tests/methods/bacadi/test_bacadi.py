"""BaCaDI: recovery, readings, independence of the batch, relabelling, degenerate and diverging
data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.method import Prediction
from cdnbench.methods.bacadi.bacadi import BaCaDI
from cdnbench.methods.bacadi.likelihood import FullyConnected, Linear, Regimes
from cdnbench.methods.bacadi.posterior import Posterior, Prior, relaxed
from cdnbench.methods.bacadi.svgd import Draws, fit
from cdnbench.task import Task

FEW = {"n_steps": 12, "n_particles": 4, "n_grad_samples": 16, "n_acyclicity_samples": 8}


def chain(seed: int, n: int = 5, shift: float = 3.0) -> tuple[Task, np.ndarray]:
    """x_i = .8 x_(i-1) + N(0, .1); regime r sets x_r to N(shift, .5), whatever its parent."""
    rng = np.random.default_rng(seed)

    def sample(rows: int, target: int | None = None) -> np.ndarray:
        x = rng.normal(0, 0.1**0.5, (rows, n))
        for i in range(n):
            if i == target:
                x[:, i] = rng.normal(shift, 0.5**0.5, rows)
            elif i:
                x[:, i] += 0.8 * x[:, i - 1]
        return x

    task = Task(
        name="chain",
        variables=[f"X{i}" for i in range(n)],
        observational=sample(100),
        regimes=[sample(50, target) for target in range(n)],
    )
    return task, np.eye(n, dtype=bool)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("likelihood", ["linear", pytest.param("fc", marks=pytest.mark.slow)])
def test_finds_the_targets_of_an_easy_problem(likelihood):
    task, targets = chain(0)
    method = BaCaDI(
        likelihood,
        n_steps=400,
        n_particles=6,
        n_grad_samples=32,
        n_acyclicity_samples=16,
        alpha_linear=0.05,
        observational_rows=60,
        regime_rows=30,
    )
    ((_, prediction),) = method.predict_targets_batch([task], seeds=[0])
    ap = {
        variant: np.mean(
            [average_precision_score(t, s) for t, s in zip(targets, scores, strict=True)]
        )
        for variant, scores in prediction.outputs.items()
    }
    assert ap["soft"] >= 0.9
    assert min(ap["e"], ap["m"]) >= 0.6  # few steps: the 0/1 readings still tie
    assert prediction.facts["steps"] == 400
    assert 0.5 < prediction.facts["expected_targets"] < 2.5


def test_readings():
    task, _ = chain(0)
    outputs = BaCaDI(**FEW).predict_outputs(task)
    assert set(outputs) == set(BaCaDI.info.variants)
    for scores in outputs.values():
        assert scores.shape == (5, 5) and (scores >= 0).all() and (scores <= 1).all()
    assert np.allclose(outputs["e"] * 4, np.round(outputs["e"] * 4))


def test_a_task_does_not_depend_on_its_batch():
    tasks = [chain(seed)[0] for seed in range(3)] + [chain(3, n=3)[0]]
    method = BaCaDI(**FEW)
    together = dict(method.predict_targets_batch(tasks, seeds=[0, 1, 2, 3]))
    assert sorted(together) == [0, 1, 2, 3]
    for i, task in enumerate(tasks):
        alone = method.predict_outputs(task, seed=i)
        for variant, scores in alone.items():
            np.testing.assert_allclose(together[i].outputs[variant], scores, atol=1e-6)


@pytest.mark.parametrize("kind", [Linear, FullyConnected])
def test_data_sets_side_by_side_do_not_touch(kind):
    """What runs on CUDA: one fit of several data sets, one of which diverges."""
    samples = [[task.observational, *task.regimes] for task, _ in map(chain, range(3))]

    def fitted(chosen: list[int], scale: float = 1.0):
        data = [[x * (scale if d == 1 else 1) for x in samples[d]] for d in chosen]
        posterior = Posterior(kind(data), Regimes.of(data, "cpu"), Prior())
        draws = Draws([np.random.default_rng(d) for d in chosen])
        return fit(
            posterior,
            draws,
            n_regimes=5,
            n_particles=4,
            n_steps=6,
            n_grad_samples=16,
            n_acyclicity_samples=8,
        )

    together = fitted([0, 1, 2])
    singles = [fitted([d]) for d in range(3)]
    beside_a_bad_one = fitted([0, 1, 2], scale=np.float64(1e200))
    assert together.failed_at == [-1, -1, -1]
    assert (
        beside_a_bad_one.failed_at[0]
        == beside_a_bad_one.failed_at[2]
        == -1
        < beside_a_bad_one.failed_at[1]
    )
    for d in range(3):
        for x, y, z in zip(
            together.particles.tensors(),
            singles[d].particles.tensors(),
            beside_a_bad_one.particles.tensors(),
            strict=True,
        ):
            assert torch.allclose(x[d], y[0], atol=1e-6, rtol=0)
            assert d == 1 or torch.allclose(x[d], z[d], atol=1e-6, rtol=0)


def test_a_diverging_task_is_an_error_of_its_own():
    good, _ = chain(0)
    bad = Task(
        name="bad",
        variables=good.variables,
        observational=good.observational * np.float32(1e30),
        regimes=[x * np.float32(1e30) for x in good.regimes],
    )
    found = dict(BaCaDI(**FEW).predict_targets_batch([bad, good], seeds=[0, 0]))
    assert isinstance(found[0], RuntimeError) and "step" in str(found[0])
    assert isinstance(found[1], Prediction)


def test_relabelling_permutes_the_scores():
    task, _ = chain(0)
    order = [3, 0, 4, 2, 1]
    method = BaCaDI(**FEW)
    scores, moved = method.predict_outputs(task), method.predict_outputs(task.select(order))
    for variant in scores:
        np.testing.assert_allclose(moved[variant], scores[variant][:, order], atol=1e-6)


@pytest.mark.parametrize("likelihood", ["linear", "fc"])
@pytest.mark.parametrize("what", ["constant", "duplicate", "one row", "two variables"])
def test_degenerate_data_have_an_answer(likelihood, what):
    task, _ = chain(0, n=2 if what == "two variables" else 4)
    rows = 1 if what == "one row" else 20
    arrays = [x[:rows].copy() for x in (task.observational, *task.regimes)]
    for x in arrays:
        if what == "constant":
            x[:, 1] = 2.0
        if what == "duplicate":
            x[:, 1] = x[:, 0]
    task = Task(name=what, variables=task.variables, observational=arrays[0], regimes=arrays[1:])
    for scores in BaCaDI(likelihood, **FEW).predict_outputs(task).values():
        assert np.isfinite(scores).all()
        if what == "duplicate":
            np.testing.assert_allclose(scores[:, 0], scores[:, 1])


def test_what_it_refuses():
    task = Task(
        name="one", variables=["X"], observational=np.ones((3, 1)), regimes=[np.ones((3, 1))]
    )
    ((_, result),) = BaCaDI().predict_targets_batch([task], seeds=[0])
    assert isinstance(result, CannotRun)
    for wrong in ({"likelihood": "dense"}, {"device": "tpu"}, {"n_steps": 0}):
        with pytest.raises(InvalidParameter):
            BaCaDI(**wrong)


def test_relaxed_draws_are_logistic_noise_through_a_sigmoid():
    words = torch.arange(-32768, 32768, dtype=torch.int16)
    u = (words.double() + 32768.5) / 65536
    for log_odds in (-30.0, -1.0, 0.0, 2.5, 800.0):
        odds = torch.tensor(log_odds, dtype=torch.float64).exp()
        assert torch.allclose(relaxed(words, odds), (u.logit() + log_odds).sigmoid(), rtol=1e-9)
    assert (relaxed(words, torch.tensor(0.0)) == 0).all()


@pytest.mark.parametrize("kind", [Linear, FullyConnected])
def test_screening_leaves_nothing_out(kind, monkeypatch):
    """Gradients from the draws that have weight equal those from all draws."""
    from cdnbench.methods.bacadi import posterior as module

    task, _ = chain(0)
    samples = [[x[:10] for x in (task.observational, *task.regimes)]]
    posterior = Posterior(kind(samples), Regimes.of(samples, "cpu"), Prior())
    draws = Draws([np.random.default_rng(0)])
    particles = draws.particles(posterior.likelihood, 4, 5)
    noise = draws.noise(particles, 32, 8)
    few = posterior.gradients(particles, 100, noise)
    monkeypatch.setattr(module, "_NEGLIGIBLE", 1e12)
    every = posterior.gradients(particles, 100, noise)
    for x, y in zip(few.tensors(), every.tensors(), strict=True):
        assert torch.allclose(x, y, rtol=1e-9, atol=1e-9)
