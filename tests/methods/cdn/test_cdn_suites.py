"""The method `cdn-suites` around its network: weights, groups of regimes, relabelling, limits."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from cdnbench import Task, load_method
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.methods.cdn import cdn_suites as module
from cdnbench.methods.cdn.cdn_suites import CDNSuites, target_scores
from cdnbench.methods.cdn.network import CausalDifferentialNetwork, Shape
from cdnbench.methods.cdn.summary import summarise
from cdnbench.methods.cdn.weights import save_weights

SMALL = Shape(d=8, c=16, heads=2, paths=3, stages=(1, 1))


def network(seed: int = 0) -> CausalDifferentialNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CausalDifferentialNetwork(SMALL).eval()


def saved(path, seed: int = 0) -> str:
    """Random weights in a file, with their card."""
    save_weights(path, network(seed).state_dict(), {"model": "cdn-suites", "config": asdict(SMALL)})
    return str(path)


@pytest.fixture
def weights(tmp_path) -> str:
    return saved(tmp_path / "random.safetensors")


def chain_task(n_variables=6, n_regimes=4, rows=60, seed=0) -> Task:
    rng = np.random.default_rng(seed)

    def chain(target=None):
        x = rng.normal(size=(rows, n_variables))
        for i in range(1, n_variables):
            x[:, i] = 2 * x[:, i] + 1 if i == target else x[:, i] + 0.8 * x[:, i - 1]
        return x

    regimes = [chain(1 + r % max(1, n_variables - 1)) for r in range(n_regimes)]
    return Task(
        name="t",
        variables=[f"v{i}" for i in range(n_variables)],
        observational=chain(),
        regimes=regimes,
    )


# --- scores


def test_scores_are_the_target_logits_of_the_last_stage(weights):
    task = chain_task()
    with torch.inference_mode():
        expected = network()(summarise([task.observational, *task.regimes]))[-1].targets[0]
    scores = CDNSuites(weights=weights).predict_targets(task)
    assert scores.shape == (4, 6) and scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_array_equal(CDNSuites(weights=weights).predict_targets(task, seed=3), scores)


@pytest.mark.parametrize("n_variables", [6, 25])
def test_relabelling_permutes_the_scores(weights, n_variables):
    """Beyond 21 variables the network itself ranks equal parents by their position; the method's
    canonical order heals that."""
    task = chain_task(n_variables, n_regimes=2)
    order = np.random.default_rng(0).permutation(n_variables)
    method = CDNSuites(weights=weights)
    renamed = replace(
        task.select(order), variables=[f"w{i}" for i in range(n_variables)], name="other"
    )
    np.testing.assert_allclose(
        method.predict_targets(renamed), method.predict_targets(task)[:, order], atol=1e-5
    )


def test_every_set_of_weights_has_its_own_scores_and_digest(tmp_path):
    first, second = (CDNSuites(weights=saved(tmp_path / f"{s}.safetensors", s)) for s in (0, 1))
    task = chain_task()
    assert np.abs(first.predict_targets(task) - second.predict_targets(task)).max() > 1e-3
    assert first.weights_digest() != second.weights_digest()
    assert (
        load_method("cdn-suites", weights=first.weights).weights_digest() == first.weights_digest()
    )


# --- groups of regimes


@pytest.mark.parametrize(
    "limit, groups", [(36 * 4, [4]), (36 * 3, [3, 1]), (36 * 2, [2, 2]), (1, [1, 1, 1, 1])]
)
def test_beyond_the_limit_regimes_are_read_in_groups(monkeypatch, limit, groups):
    """A group is a task of its own: its regimes share what they know with each other and with no
    other group."""
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", limit)
    task, net = chain_task(), network()
    scores, expected, first = target_scores(net, task), [], 0
    with torch.inference_mode():
        for size in groups:
            summary = summarise([task.observational, *task.regimes[first : first + size]])
            expected.append(net(summary)[-1].targets[0].numpy())
            first += size
    np.testing.assert_allclose(scores, np.concatenate(expected), atol=1e-5)


def test_grouping_changes_scores_since_regimes_inform_each_other(monkeypatch):
    task, net = chain_task(), network()
    together = target_scores(net, task)
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", 1)
    alone = target_scores(net, task)
    assert 1e-4 < np.abs(together - alone).max() < 1
    for r in range(4):
        np.testing.assert_allclose(alone[r], target_scores(net, task.regime(r))[0], atol=1e-6)


# --- weights


def test_missing_weights_name_the_command_that_makes_them(tmp_path):
    path = tmp_path / "none.safetensors"
    for call in (
        CDNSuites(weights=str(path)).weights_digest,
        lambda: CDNSuites(weights=str(path)).predict_targets(chain_task()),
    ):
        with pytest.raises(
            InvalidParameter,
            match=r"none\.safetensors, which does not exist.*bench train cdn-suites --out",
        ):
            call()
    (tmp_path / "bare.safetensors").write_bytes(b"")
    with pytest.raises(InvalidParameter, match=r"bare\.json, which does not exist"):
        CDNSuites(weights=str(tmp_path / "bare.safetensors")).predict_targets(chain_task())


def test_weights_of_another_model_format_or_content_are_refused(tmp_path):
    def card_of(name, **changes):
        path = tmp_path / f"{name}.safetensors"
        saved(path)
        card = path.with_suffix(".json")
        card.write_text(json.dumps({**json.loads(card.read_text()), **changes}))
        return CDNSuites(weights=str(path))

    with pytest.raises(
        InvalidParameter, match="holds sea in format 1; this version needs cdn-suites"
    ):
        card_of("sea", model="sea").predict_targets(chain_task())
    with pytest.raises(InvalidParameter, match="in format 0; .*needs cdn-suites in format 1"):
        card_of("old", format=0).predict_targets(chain_task())
    with pytest.raises(InvalidParameter, match="not the file that its card describes"):
        card_of("mixed", digest="0" * 32).predict_targets(chain_task())


# --- samples that are hard to read, and limits


def degenerate_tasks() -> dict[str, Task]:
    def changed(task, change):
        arrays = [np.array(x) for x in (task.observational, *task.regimes)]
        for d, x in enumerate(arrays):
            change(d, x)
        return replace(task, observational=arrays[0], regimes=arrays[1:])

    def constant(d, x):
        x[:, 2] = 5

    def constant_before(d, x):
        x[:, 2] *= d > 0

    def constant_after(d, x):
        x[:, 2] *= d != 1

    def duplicated(d, x):
        x[:, 3] = x[:, 0]
        x[:, 4] = -2 * x[:, 1]

    def counts(d, x):
        x[:] = np.random.default_rng(d).poisson(0.05, size=x.shape)

    def outlier(d, x):
        x[3, 1] = 1e30

    found = {
        f.__name__: changed(chain_task(), f)
        for f in (constant, constant_before, constant_after, duplicated, counts, outlier)
    }
    found["one variable"] = chain_task(n_variables=1, n_regimes=2)
    found["two variables"] = chain_task(n_variables=2, n_regimes=1)
    found["thirty rows"] = chain_task(n_variables=40, n_regimes=2, rows=30)
    return found


@pytest.mark.parametrize("name", degenerate_tasks())
def test_scores_are_finite(weights, name):
    task = degenerate_tasks()[name]
    assert np.isfinite(load_method("cdn-suites", weights=weights).predict_targets(task)).all()


def test_identical_columns_have_one_score(weights):
    scores = CDNSuites(weights=weights).predict_targets(degenerate_tasks()["duplicated"])
    np.testing.assert_array_equal(scores[:, 3], scores[:, 0])


def test_what_it_cannot_run_is_skipped_with_a_reason_weights_or_not():
    method = load_method("cdn-suites", weights="none.safetensors")
    with pytest.raises(CannotRun, match="2000 variables; cdn-suites takes at most 1500"):
        method.predict_targets(chain_task(n_variables=2000, n_regimes=1, rows=30))
    with pytest.raises(
        CannotRun, match="20 samples in the smallest data set; cdn-suites needs at least 30"
    ):
        method.predict_targets(chain_task(rows=20))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["cdn", "cdn-suites", "cdn-axial", "cdn-mlp"])
def test_a_gpu_gives_the_scores_of_the_cpu(name):
    from cdnbench import load_method, load_suite

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    suite = load_suite("synthetic-mini")
    task = suite.load(suite.specs()[0]).task
    here, there = (
        load_method(name, device=device).predict_targets(task, seed=0) for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(here, there, rtol=1e-2, atol=1e-2)
