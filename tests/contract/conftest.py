"""Every registered method, ready to be called: with the parameters of its trial, and trained on a
tiny screen if it has to be."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest
from contract_tasks import Trials, screen, write_knowledge

from cdnbench.loaded import LoadedMethod
from cdnbench.registry import METHODS, entries, load_class

NAMES = list(entries(METHODS))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", NAMES)
    if "resumable" in metafunc.fixturenames:
        goes_on = lambda name: load_class(METHODS, name).info.resumable  # noqa: E731
        metafunc.parametrize("resumable", [name for name in NAMES if goes_on(name)])
    if "trainable" in metafunc.fixturenames:
        needs_fit = lambda name: load_class(METHODS, name).info.supervised == "required"  # noqa: E731
        metafunc.parametrize("trainable", [name for name in NAMES if needs_fit(name)])


@pytest.fixture(scope="session")
def trials(tmp_path_factory) -> Trials:
    folder = tmp_path_factory.mktemp("trials")
    return Trials(folder, write_knowledge(folder))


@pytest.fixture(scope="session")
def models(trials) -> dict[str, dict]:
    """Name -> what was learnt from the screen; filled by `method` and `trained`."""
    return {}


def ready(name: str, trials: Trials, models: dict[str, dict]) -> LoadedMethod:
    info = load_class(METHODS, name).info  # type: ignore[attr-defined]
    for package in info.packages:
        pytest.importorskip(package)
    method = trials.load(name)
    if not method.needs_fit:
        return method
    if name not in models:
        models[name] = trials.fit(method, screen())
    return method.fitted(models[name])


@pytest.fixture
def method(name, trials, models) -> LoadedMethod:
    return ready(name, trials, models)


@pytest.fixture
def trained(trainable, trials, models) -> LoadedMethod:
    return ready(trainable, trials, models)


@pytest.fixture
def global_state():
    """A function that returns what is global: random states, and how numpy warns and prints."""

    def state() -> list:
        found: list = [random.getstate(), [str(part) for part in np.random.get_state()[2:]]]  # noqa: NPY002
        found.append(np.random.get_state()[1].tolist())  # noqa: NPY002
        if "torch" in sys.modules:
            found.append(sys.modules["torch"].get_rng_state().tolist())
        return [*found, np.geterr(), np.get_printoptions()]

    return state
