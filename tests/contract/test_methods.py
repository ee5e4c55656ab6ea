"""What every registered method must do. A third party's method can be put through it too: install
it and run this file.

A task that a method cannot take must end in `CannotRun` with a reason; anything else must give
valid scores.
"""

from __future__ import annotations

import dataclasses
import inspect
import random
import subprocess
import sys

import numpy as np
import pytest
from contract_tasks import as_counts, assert_equal, chain_task, outputs_or_reason

from cdnbench.design import OWN, OWN_NETWORK, PAPER
from cdnbench.errors import InvalidParameter, InvalidTask
from cdnbench.method import Method
from cdnbench.registry import METHODS, load_class, load_method, resolve_method
from cdnbench.task import Task

# --- what a method says of itself


def test_info_is_complete(name):
    info = load_class(METHODS, name).info
    assert info.name == name
    assert 10 < len(info.summary) < 120 and not info.summary.endswith(".")
    assert info.licence and info.version
    assert info.citation or info.baseline, "cite a paper, or declare it a baseline"
    if any(not module.startswith("scipy") for module in info.preload):
        assert info.reference, "a wrapper names what it wraps"
    for n_variables, n_regimes in ((1, 1), (20, 60), (1000, 1)):
        seconds = info.timeout_s(Sizes(n_variables, n_regimes))
        assert np.isfinite(seconds) and seconds >= 10


def test_a_network_cites_whose_design_it_is(name):
    """A network of this package does not cite the paper as if it were the paper's network."""
    info = load_class(METHODS, name).info
    assert (info.citation == OWN_NETWORK) == (info.design == OWN)
    assert "rmwu" not in info.reference or info.design != OWN
    if info.design == PAPER:
        assert info.citation.startswith("Wu")


UNLIKELY = {bool: (2, "maybe"), str: (3,), int: (-1, 0.5, "many"), float: (-1.0, np.inf, "much")}
"""Type of a parameter's default -> values that a parameter takes only if `info.takes` says so."""
NAMES_A_FILE = {"weights", "file", "graph", "column"}


def test_values_out_of_range_are_refused_by_name(name):
    """Before any work, and not by a result that looks like any other."""
    cls = load_class(METHODS, name)
    for parameter in inspect.signature(cls).parameters.values():
        default = parameter.default
        refused = list(UNLIKELY.get(type(default), ()))
        if isinstance(default, str) and parameter.name not in NAMES_A_FILE:
            refused.append("nonsense")
        if isinstance(default, tuple):
            refused += [[], [-1], [True], "nonsense"]
        if default is None:
            refused += [[], -1, "nonsense"]
        takes = cls.info.takes.get(parameter.name)
        for value in refused:
            if takes is not None and takes.holds(value):
                continue
            with pytest.raises(InvalidParameter, match=f"^{name}: .*{parameter.name} "):
                load_method(name, **{parameter.name: value})


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


def test_same_task_and_seed_same_scores(method):
    task = chain_task()
    first = outputs_or_reason(method, task, seed=3)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  (the scores must not depend on it)
    assert_equal(first, outputs_or_reason(method, task, seed=3))


def test_global_state_is_left_alone(method, capfd, global_state):
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
    moved = task.select(permutation)  # its symbols move along: they say which gene a column is
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


def test_finds_a_strong_intervention(method):
    """x1 -> x2 -> x3, and the middle of a chain of five set to N(4, .3).

    The default reading puts the target first. Others may be sets, whose members tie.
    """
    if method.needs_fit:
        pytest.skip("test_trainable.py asks for what it was trained on")
    if not method.info.trial.finds_target:
        pytest.skip("declares that its trial cannot show it")
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
    if method.info.trial.counts:
        task = as_counts(task)
    for variant, scores in method.predict_outputs(task).items():
        others = np.delete(scores[0], 2)
        if variant == method.variant:
            assert scores[0, 2] > others.max()
        else:
            assert scores[0, 2] >= others.max() and scores[0, 2] > others.min(), variant
