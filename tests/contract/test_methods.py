"""What every registered method must do. A third party's method can be put through it too: install
it and run this file.

A task that a method cannot take must end in `CannotRun` with a reason; anything else must give
valid scores.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import random
import subprocess
import sys

import numpy as np
import pytest

from cdnbench.errors import CannotRun, InvalidTask
from cdnbench.method import LoadedMethod, Method
from cdnbench.registry import METHODS, entries, load_class, load_method, resolve_method
from cdnbench.task import Task

NAMES = list(entries(METHODS))

# Parameters that make a slow method quick enough to be run some twenty times here.
CHEAP: dict[str, dict] = {
    "dci": {"bootstraps": 3},
    "dci-reference": {
        "bootstraps": 3,
        "alpha_ug": (0.01,),
        "alpha_skeleton": (0.1,),
        "alpha_orient": (0.01,),
        "max_set_size": 2,
    },
    "bacadi": {"n_steps": 15, "n_particles": 4, "n_grad_samples": 16, "n_acyclicity_samples": 8},
    "dcdi-g": {"max_iterations": 60},
    "dcdi-dsf": {"max_iterations": 60},
    "dcdi-g-tuned": {"max_iterations": 60},
}
EXTRAS = {"gnies": "gnies"}
NEEDS_A_FILE = {
    "cdn-public"
}  # the authors' weights; tests/methods/cdn/test_public.py runs it with its own
TRIVIAL = {  # baselines with no paper to cite
    "random",
    "target-shift",
    "target-shift-down",
    "lfc-rank",
    "control-mean",
    "nearest-profile",
    "centred-shift",
}
# A few steps tell nothing; expression of genes is not what these data are; the farthest of 500 rows
# is a matter of chance. Their own tests have what they can find.
NO_SIGNAL = {
    "random",
    "baro",
    "bacadi",
    "dcdi-g",
    "dcdi-dsf",
    "dcdi-g-tuned",
    "target-shift-down",
    "lfc-rank",
    "control-mean",
}
# shares and sets tie; the target must be among the first
SIGNAL_ONLY_AT_TOP = {"gnies-set", "dci-graph", "dci-reference-graph", "ut-igsp-set"}


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture
def method(name, public_weights) -> LoadedMethod:
    skip_if_absent(name)
    files = {"weights": str(public_weights)} if name in NEEDS_A_FILE else {}
    loaded = load_method(name, **CHEAP.get(name, {}), **files)
    if loaded.info.supervised == "required":
        pytest.skip("needs a fit; its own tests cover it")
    return loaded


@pytest.fixture(scope="session")
def public_weights(tmp_path_factory):
    """A network of the public architecture with random weights, as `bench weights import` writes
    it."""
    import torch
    from safetensors.torch import save_file

    from cdnbench.methods.cdn.public_modules import PublicConfig, build
    from cdnbench.methods.cdn.public_weights import FORMAT

    config = PublicConfig(dim=8, n_heads=2, n_blocks=1, hidden=4, n_nodes=20, n_trials=60)
    path = tmp_path_factory.mktemp("weights") / "public.safetensors"
    header = {
        "format": FORMAT,
        "network": json.dumps(dataclasses.asdict(config)),
        "statistic": "correlation",
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(build(config).state_dict(), path, metadata=header)
    return path


def skip_if_absent(name: str) -> None:
    """Skip a method whose package is an extra that is not installed."""
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])


def chain_task(n_variables=4, n_regimes=3, n_rows=120, seed=0, **changes) -> Task:
    """x0 -> x1 -> ...; regime r replaces variable r mod N by N(2, .5)."""
    rng = np.random.default_rng([n_variables, n_regimes, n_rows, seed])

    def sample(target=None):
        x = rng.normal(size=(n_rows, n_variables))
        for i in range(n_variables):
            if i == target:
                x[:, i] = 2 + 0.5 * x[:, i]
            elif i:
                x[:, i] += 0.9 * x[:, i - 1]
        return x

    names = [f"v{i}" for i in range(n_variables)]
    fields = {
        "name": "chain",
        "variables": names,
        "symbols": names,
        "observational": sample(),
        "regimes": [sample(r % n_variables) for r in range(n_regimes)],
    }
    return Task(**{**fields, **changes})


def outputs_or_reason(
    method: LoadedMethod, task: Task, seed: int = 0
) -> dict[str, np.ndarray] | None:
    """Every reading's scores, checked to say something of each regime; None where the method
    declines with a reason."""
    try:
        outputs = method.predict_outputs(task, seed=seed)
    except CannotRun as reason:
        assert len(str(reason)) > 10, "a skip needs a reason"
        return None
    for variant, scores in outputs.items():
        assert scores.shape == (task.n_regimes, task.n_variables) and scores.dtype == np.float64
        assert not np.isinf(scores).any()
        assert not np.isnan(scores).all(axis=1).any(), f"{variant}: a regime without a single score"
    return outputs


def assert_equal(
    first: dict[str, np.ndarray], second: dict[str, np.ndarray], rtol: float = 0.0
) -> None:
    assert list(first) == list(second)
    for variant in first:
        np.testing.assert_allclose(
            first[variant], second[variant], rtol=rtol, atol=rtol, err_msg=variant
        )


# --- what a method says of itself


def test_info_is_complete(name):
    info = load_class(METHODS, name).info
    assert info.name == name
    assert 10 < len(info.summary) < 120 and not info.summary.endswith(".")
    assert info.licence and info.version
    assert info.citation or name in TRIVIAL
    if any(not module.startswith("scipy") for module in info.preload):
        assert info.reference, "a wrapper names what it wraps"
    for n_variables, n_regimes in ((1, 1), (20, 60), (1000, 1)):
        seconds = info.timeout_s(Sizes(n_variables, n_regimes))
        assert np.isfinite(seconds) and seconds >= 10


@dataclasses.dataclass
class Sizes:
    n_variables: int
    n_regimes: int
    n_samples: int = 100
    has_symbols: bool = True


def test_method_file_describes_itself(name):
    cls = load_class(METHODS, name)
    module = inspect.getmodule(cls)
    assert module.__doc__ and "Licence" in module.__doc__
    assert cls.__doc__ and cls.predict_targets.__doc__


def test_parameters_are_the_fields_of_a_frozen_dataclass(name):
    cls = load_class(METHODS, name)
    assert dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen
    fields = {
        field.name: field for field in dataclasses.fields(cls) if field.init
    }  # the others hold what a fit gave
    assert set(inspect.signature(cls).parameters) == set(fields)
    for field in fields.values():
        assert (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        ), field.name
        assert field.name in module_docstring(cls), (
            f"the parameter {field.name} is not described in the method's file"
        )
    assert isinstance(cls(), Method)


def module_docstring(cls) -> str:
    return inspect.getmodule(cls).__doc__


def test_variants_are_names(name):
    variants = load_class(METHODS, name).info.variants
    for variant in variants:
        assert resolve_method(f"{name}-{variant}") == (name, variant)
        assert load_method(f"{name}-{variant}").label == (
            name if variant == variants[0] else f"{name}-{variant}"
        )


def test_listing_methods_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from cdnbench.registry import METHODS, entries, load_class\n"
        "for name, entry in entries(METHODS).items():\n"
        "    if entry.value.startswith('cdnbench.'):\n"
        "        load_class(METHODS, name)\n"
        "heavy = {'torch', 'scipy', 'causaldag', 'pandas', 'sklearn', 'networkx', 'causallearn'} "
        "& set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


# --- determinism and relabelling


def global_state() -> list:
    state: list = [random.getstate(), [str(part) for part in np.random.get_state()[2:]]]  # noqa: NPY002
    state.append(np.random.get_state()[1].tolist())  # noqa: NPY002
    if "torch" in sys.modules:
        state.append(sys.modules["torch"].get_rng_state().tolist())
    return [*state, np.geterr(), np.get_printoptions()]


def test_same_task_and_seed_same_scores(method):
    task = chain_task()
    first = outputs_or_reason(method, task, seed=3)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  (the scores must not depend on it)
    assert_equal(first, outputs_or_reason(method, task, seed=3))


def test_global_state_is_left_alone(method, capfd):
    outputs_or_reason(method, chain_task())  # imports happen here
    before = global_state()
    capfd.readouterr()
    outputs_or_reason(method, chain_task(seed=1))
    assert global_state() == before
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err == ""


def test_a_method_that_is_not_stochastic_ignores_the_seed(method):
    if not method.info.stochastic:
        assert_equal(
            outputs_or_reason(method, chain_task(), seed=0),
            outputs_or_reason(method, chain_task(), seed=1),
        )


@pytest.mark.parametrize("permutation", [[2, 0, 3, 1], [3, 2, 1, 0]])
def test_relabelling_permutes_the_scores(method, permutation):
    task = chain_task(metadata={"cluster": 1})
    moved = task.select(permutation)
    moved = dataclasses.replace(moved, name="", variables=["b", "c", "a", "d"], metadata={})
    scores, permuted = outputs_or_reason(method, task), outputs_or_reason(method, moved)
    assert_equal({v: s[:, permutation] for v, s in scores.items()}, permuted, rtol=1e-5)


# --- sizes


def test_one_regime(method):
    assert outputs_or_reason(method, chain_task(n_regimes=1)) is not None


def test_three_regimes_a_variable(method):
    assert outputs_or_reason(method, chain_task(n_regimes=12)) is not None


def test_two_variables(method):
    assert outputs_or_reason(method, chain_task(n_variables=2)) is not None


def test_one_variable(method):
    outputs_or_reason(method, chain_task(n_variables=1))


@pytest.mark.parametrize("n_rows", [1, 2, 5, 8])
def test_few_rows(method, n_rows):
    outputs_or_reason(method, chain_task(n_rows=n_rows))


def test_regimes_of_different_sizes(method):
    task = chain_task()
    regimes = [x[:rows] for x, rows in zip(task.regimes, (20, 60, 120), strict=True)]
    outputs_or_reason(method, dataclasses.replace(task, regimes=regimes))


# --- what arrays may look like


def test_inputs_are_not_modified(method):
    task = chain_task()
    before = task.content_hash
    outputs_or_reason(method, task)
    assert task.content_hash == before


def test_read_only_memory_maps(method, tmp_path):
    task = chain_task()
    mapped = []
    for k, x in enumerate((task.observational, *task.regimes)):
        np.save(tmp_path / f"{k}.npy", x)
        mapped.append(np.load(tmp_path / f"{k}.npy", mmap_mode="r"))
    from_disk = dataclasses.replace(task, observational=mapped[0], regimes=mapped[1:])
    assert_equal(outputs_or_reason(method, task), outputs_or_reason(method, from_disk))


def with_column(task: Task, column: int, before: float | None, after: float | None) -> Task:
    """The task with a column set to a constant before (None: unchanged) and after in the first
    regime."""
    observational, first = np.array(task.observational), np.array(task.regimes[0])
    if before is not None:
        observational[:, column] = before
    if after is not None:
        first[:, column] = after
    return dataclasses.replace(
        task, observational=observational, regimes=[first, *task.regimes[1:]]
    )


@pytest.mark.parametrize(
    "before, after", [(0.0, None), (None, 0.0), (0.0, 0.0), (3.5, 3.5), (0.0, 1.0)]
)
def test_constant_columns(method, before, after):
    outputs_or_reason(method, with_column(chain_task(), 1, before, after))


def test_nothing_varies(method):
    ones = np.ones((30, 3))
    outputs_or_reason(
        method, Task(name="flat", variables="abc", observational=ones, regimes=[ones])
    )


def test_a_column_that_hardly_varies(method):
    task = chain_task()
    sparse = np.zeros((3, 120))
    sparse[:, 7] = (1, 2, 5)
    arrays = [np.array(x) for x in (task.observational, *task.regimes)]
    for k, x in enumerate(arrays[:3]):
        x[:, 2] = sparse[k]
    outputs_or_reason(
        method, dataclasses.replace(task, observational=arrays[0], regimes=arrays[1:])
    )


def test_duplicate_columns_score_alike(method):
    task = chain_task()
    columns = [0, 1, 2, 3, 1]
    arrays = [x[:, columns] for x in (task.observational, *task.regimes)]
    doubled = Task(name="twins", variables="abcde", observational=arrays[0], regimes=arrays[1:])
    outputs = outputs_or_reason(method, doubled)
    for scores in (outputs or {}).values():
        np.testing.assert_allclose(scores[:, 1], scores[:, 4], rtol=1e-5, atol=1e-5)


def test_linear_combinations_and_scales_far_apart(method):
    task = chain_task()
    arrays = [x * np.float32([1e-8, 1, 1e8, 1]) for x in (task.observational, *task.regimes)]
    for x in arrays:
        x[:, 3] = x[:, 1] + x[:, 1]
    outputs_or_reason(
        method, dataclasses.replace(task, observational=arrays[0], regimes=arrays[1:])
    )


def test_values_that_are_not_finite_are_named():
    broken = np.array(chain_task().observational)
    broken[5, 2] = np.nan
    with pytest.raises(InvalidTask, match="'v2'"):
        chain_task(observational=broken)


# --- and it works at all


def test_finds_a_strong_intervention(name):
    """x1 -> x2 -> x3, and the middle of a chain of five set to N(4, .3): every method but guessing
    must see it."""
    if name in NO_SIGNAL | NEEDS_A_FILE:
        pytest.skip("guesses, or has no weights of its own")
    skip_if_absent(name)
    loaded = load_method(
        name, **{**CHEAP.get(name, {}), **({"bootstraps": 10} if name.startswith("dci") else {})}
    )
    if loaded.info.supervised == "required":
        pytest.skip("needs a fit; its own tests cover it")
    rng = np.random.default_rng(5)

    def sample(intervened: bool) -> np.ndarray:
        x = rng.normal(size=(500, 5))
        for i in range(1, 5):
            x[:, i] = 4 + 0.3 * x[:, i] if intervened and i == 2 else 0.8 * x[:, i - 1] + x[:, i]
        return x

    task = Task(
        name="easy",
        variables="abcde",
        symbols="abcde",
        observational=sample(False),
        regimes=[sample(True)],
    )
    for variant, scores in loaded.predict_outputs(task).items():
        label = f"{name}-{variant}" if variant else name
        others = np.delete(scores[0], 2)
        if label in SIGNAL_ONLY_AT_TOP:
            assert scores[0, 2] >= others.max(), label
        else:
            assert scores[0, 2] > others.max(), label
