"""The example of a trained method, `examples/trained`: it learns from the synthetic training set
what holds under held-out mechanisms too."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cdnbench import load_suite
from cdnbench.declarations import check_declarations
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.loaded import LoadedMethod
from cdnbench.suite import LabelledTasks

EXAMPLE = Path(__file__).parents[2] / "examples/trained/change_net.py"


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("change_net", EXAMPLE)
    assert spec is not None and spec.loader is not None
    sys.modules["change_net"] = made = importlib.util.module_from_spec(spec)  # for its dataclass
    spec.loader.exec_module(made)
    yield made
    del sys.modules["change_net"]


def loaded(module, **parameters) -> LoadedMethod:
    return LoadedMethod(module.ChangeNet(**parameters), "", parameters)


@pytest.fixture(scope="module")
def fitted(module) -> LoadedMethod:
    suite = load_suite("synthetic-mini", training_datasets=20, training_variables="10")
    method = loaded(module, hidden=32)
    return method.fitted(method.fit(LabelledTasks(suite, suite.training(suite.specs()[0]))))


def share_found(method, labelled) -> float:
    """How often the first variable is a target."""
    best = method.predict_targets(labelled.task).argmax(axis=1)
    return float(labelled.targets[np.arange(len(best)), best].mean())


def test_it_is_a_method(module):
    check_declarations(module.ChangeNet, "'change-net'")


def test_it_finds_targets_under_a_mechanism_that_training_lacks(fitted):
    suite = load_suite("synthetic-mini")
    for mechanism in ("linear", "polynomial"):
        tasks = [suite.load(s) for s in suite.specs() if s.metadata["mechanism"] == mechanism]
        assert np.mean([share_found(fitted, task) for task in tasks]) > 0.9


def test_any_number_of_variables_in_any_order(fitted):
    suite = load_suite("synthetic", variables="20")
    labelled = suite.load(suite.specs()[0])
    order = np.random.default_rng(0).permutation(20)
    moved = fitted.predict_targets(labelled.task.select(order))
    np.testing.assert_allclose(
        moved, fitted.predict_targets(labelled.task)[:, order], rtol=1e-5, atol=1e-6
    )
    assert share_found(fitted, labelled) > 0.8


def test_one_regime_and_a_constant_column(fitted):
    suite = load_suite("synthetic-mini")
    task = suite.load(suite.specs()[0]).task.regime(0)
    still = lambda x: np.column_stack([np.full(len(x), 3.0), x[:, 1:]])  # noqa: E731
    task = replace(task, observational=still(task.observational), regimes=[still(task.regimes[0])])
    assert np.isfinite(fitted.predict_targets(task)).all()


def test_seeds_give_other_models_and_the_same_one_the_same(module):
    suite = load_suite("synthetic-mini", training_datasets=2)
    tasks = LabelledTasks(suite, suite.training(suite.specs()[0]))
    method = loaded(module, hidden=4, epochs=1)
    one, again, other = (method.fit(tasks, seed=seed)["layer/0.weight"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_a_device_that_is_not_there_is_told(module):
    import torch

    with pytest.raises(InvalidParameter, match="device takes cpu or cuda; got 'tpu'"):
        loaded(module, device="tpu").fit([None])  # type: ignore[list-item]
    if not torch.cuda.is_available():
        with pytest.raises(InvalidParameter, match="torch sees no CUDA device"):
            loaded(module, device="cuda").fit([None])  # type: ignore[list-item]
    assert loaded(module).on_device("cuda").method.device == "cuda"


@pytest.mark.gpu
def test_it_is_trained_on_a_gpu(module):
    suite = load_suite("synthetic-mini", training_datasets=20, training_variables="10")
    tasks = LabelledTasks(suite, suite.training(suite.specs()[0]))
    method = loaded(module, hidden=32, device="cuda")
    assert share_found(method.fitted(method.fit(tasks)), suite.load(suite.specs()[0])) > 0.9


def test_untrained_or_with_a_wrong_parameter(module):
    task = load_suite("synthetic-mini").load(load_suite("synthetic-mini").specs()[0]).task
    with pytest.raises(CannotRun, match="fitted first"):
        loaded(module).predict_targets(task)
    with pytest.raises(InvalidParameter, match="change-net: hidden is at least 1; got 0"):
        module.ChangeNet(hidden=0)
