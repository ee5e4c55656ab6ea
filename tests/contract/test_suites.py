"""The contract of every registered suite, whichever package it comes from.

A suite is made with the options that it declares for tests (`Suite.small`). `prepared` holds a few
of its tasks, spread evenly over its list.
"""

import inspect
import json
import pickle
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cdnbench import Task, load_suite, run
from cdnbench.errors import BenchError, InvalidParameter, UnknownName
from cdnbench.registry import SUITES, entries
from cdnbench.suite import (
    RUN_OPTIONS,
    Suite,
    SuiteInfo,
    SuiteOption,
    TaskSpec,
    check_loaded,
    check_specs,
    check_suite,
)
from cdnbench.truth import ARRAYS, LabelledTask

N_LOADED = 8


@dataclass(frozen=True)
class Prepared:
    """A suite in its small form: its name, its options, the suite, its specs, some of its tasks."""

    name: str
    options: dict[str, Any]
    suite: Suite
    specs: list[TaskSpec]
    loaded: list[tuple[TaskSpec, LabelledTask]]

    def again(self, **options) -> Suite:
        """The suite, made anew, with further options."""
        return load_suite(self.name, **{**self.options, **options})

    def compatible(self, option):
        """The choices that go together with the options given here; for any other one the error
        names both options."""
        for choice in option.choices:
            try:
                self.again(**{option.name: choice})
            except InvalidParameter as error:
                named = [name for name in self.options if f"--{name}" in str(error)]
                assert f"--{option.name}" in str(error) and named, error
                continue
            yield choice


@pytest.fixture(scope="module", params=list(entries(SUITES)))
def prepared(request, tmp_path_factory) -> Prepared:
    name = request.param
    options = type(load_suite(name)).small(tmp_path_factory.mktemp(name))
    suite = load_suite(name, **options)
    specs = list(suite.specs())
    some = specs[:: max(1, len(specs) // N_LOADED)][:N_LOADED]
    return Prepared(name, options, suite, specs, [(spec, suite.load(spec)) for spec in some])


def outline(specs) -> list:
    """What a run takes from specs, in plain values."""
    return [
        [s.name, s.hash, s.n_variables, s.n_regimes, s.n_samples, s.has_symbols, s.origin]
        + [dict(s.metadata)]
        for s in specs
    ]


def training_sets(suite: Suite, specs) -> list[tuple[TaskSpec, list[TaskSpec]]]:
    """Each spec with what methods are trained on for it; nothing if the suite has no training."""
    found = [(spec, suite.training(spec)) for spec in specs]
    return [(spec, list(trained)) for spec, trained in found if trained is not None]


def tokens(values) -> set[str]:
    """The words in names and metadata."""
    return set(re.split(r"[^A-Za-z0-9]+", json.dumps(values)))


def targets_of(labelled: LabelledTask) -> set[str]:
    named = np.asarray(labelled.task.variables, dtype=object)[labelled.targets.any(axis=0)]
    return set(named)


def test_the_same_specs_twice(prepared):
    assert prepared.specs
    assert outline(prepared.again().specs()) == outline(prepared.specs)


def test_the_same_specs_in_another_process(prepared):
    code = (
        "import json, sys\n"
        "from cdnbench import load_suite\n"
        "suite = load_suite(sys.argv[1], **json.loads(sys.argv[2]))\n"
        "specs = suite.specs()\n"
        "trained = [[t.hash for t in suite.training(s) or ()] for s in specs]\n"
        "print(json.dumps([[s.name, s.hash, s.n_variables, s.n_regimes, s.n_samples,"
        " s.has_symbols, s.origin, dict(s.metadata)] for s in specs]))\n"
        "print(json.dumps(trained))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, prepared.name, json.dumps(prepared.options)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "123", "PATH": ""},
    )
    specs, trained = map(json.loads, answer.stdout.splitlines())
    assert specs == json.loads(json.dumps(outline(prepared.specs)))
    here = [[t.hash for t in prepared.suite.training(s) or ()] for s in prepared.specs]
    assert trained == here


def test_names_and_hashes_are_unique(prepared):
    for values in ([s.name for s in prepared.specs], [s.hash for s in prepared.specs]):
        assert len(set(values)) == len(values)


def test_the_same_task_twice(prepared):
    other = prepared.again()
    for spec, labelled in prepared.loaded[:3]:
        again = other.load(pickle.loads(pickle.dumps(spec)))
        assert again.task.content_hash == labelled.task.content_hash
        assert again.task.name == labelled.task.name
        assert dict(again.task.metadata) == dict(labelled.task.metadata)
        for field in ARRAYS:
            one, two = (getattr(t.truth, field.name) for t in (labelled, again))
            assert (one is None) == (two is None)
            if one is not None:
                np.testing.assert_array_equal(one, two, err_msg=field.name)


def test_specs_tell_the_sizes_of_their_tasks(prepared):
    for spec, labelled in prepared.loaded:
        task = labelled.task
        assert (task.name, task.n_variables, task.n_regimes, task.n_samples, task.has_symbols) == (
            spec.name,
            spec.n_variables,
            spec.n_regimes,
            spec.n_samples,
            spec.has_symbols,
        )


def test_metadata_are_plain_and_hold_what_reports_need(prepared):
    info = prepared.suite.info
    trained = [t for _, found in training_sets(prepared.suite, prepared.specs) for t in found]
    for spec in [*prepared.specs, *trained]:
        assert json.loads(json.dumps(dict(spec.metadata))) == dict(spec.metadata)
        for name in ("dataset", *info.setting, *info.factors, *info.strata):
            assert name in spec.metadata, f"{spec.name} has no {name}"
        assert all(isinstance(spec.metadata[name], bool) for name in info.strata)
    assert all(isinstance(value, str) for value in info.factors.values())


def test_what_an_option_changes_is_a_factor(prepared):
    """Two views of one dataset are different tasks, which a report must not average over: their
    metadata differ in a factor of the suite."""
    factors = prepared.suite.info.factors

    def views(specs) -> dict[tuple, set[str]]:
        found: dict[tuple, set[str]] = {}
        for s in specs:
            block = s.metadata["dataset"], *(str(s.metadata[f]) for f in factors)
            found.setdefault(block, set()).add(s.hash)
        return found

    plain = views(prepared.specs)
    for option in prepared.suite.info.options:
        for choice in prepared.compatible(option):
            other = views(prepared.again(**{option.name: choice}).specs())
            for block in plain.keys() & other.keys():
                assert plain[block] == other[block], f"--{option.name} {choice}: {block}"


def test_no_answer_in_what_a_method_sees(prepared):
    for spec, labelled in prepared.loaded:
        seen = tokens([labelled.task.name, dict(labelled.task.metadata)])
        assert not targets_of(labelled) & seen, spec.name
        assert not targets_of(labelled) & tokens([spec.name, spec.hash]), spec.name
        assert not set(prepared.suite.info.strata) & set(labelled.task.metadata), spec.name


def test_regimes_and_variables_have_no_telling_order(prepared):
    """Neither does a list of regimes follow the order of their targets, nor do targets come first
    among the variables."""
    joint = [labelled for _, labelled in prepared.loaded if labelled.task.n_regimes > 2]
    if joint:
        first = [labelled.targets.argmax(axis=1) for labelled in joint]
        assert any((np.diff(places) < 0).any() for places in first)
        assert any((np.diff(places) > 0).any() for places in first)
    places = [
        place / max(1, labelled.task.n_variables - 1)
        for _, labelled in prepared.loaded
        for place in np.flatnonzero(labelled.targets.any(axis=0))
    ]
    if len(places) > 1:
        assert min(places) < 0.5 < max(places)


def test_options_are_refused_with_a_reason(prepared):
    info = prepared.suite.info
    with pytest.raises(UnknownName, match=f"no option of the suite {info.name} named 'colour'"):
        prepared.again(colour="red")
    with pytest.raises(UnknownName, match="named 'colour'"):
        type(prepared.suite)(colour="red")
    for option in info.options:
        if option.choices:
            for make in (prepared.again, type(prepared.suite)):
                with pytest.raises(InvalidParameter, match=f"{option.name} takes .*'no such'"):
                    make(**{option.name: "no such"})


def test_every_choice_of_an_option_is_accepted(prepared):
    for option in prepared.suite.info.options:
        assert option.help and option.typed(option.default) == option.default
        for choice in prepared.compatible(option):
            assert str(prepared.again(**{option.name: choice}).options[option.name]) == choice


def test_training_is_disjoint_from_the_test(prepared):
    """No method is trained on the task that it is tested on, nor on another view of it."""
    for spec, trained in training_sets(prepared.suite, prepared.specs):
        assert spec.origin and all(t.origin for t in trained)
        assert spec.hash not in {t.hash for t in trained}
        assert spec.origin not in {t.origin for t in trained}


def test_training_tasks_can_be_made(prepared):
    for _, trained in training_sets(prepared.suite, prepared.specs[:1]):
        for spec in trained[:2]:
            labelled = prepared.again().load(pickle.loads(pickle.dumps(spec)))
            assert labelled.task.n_variables == spec.n_variables
            assert labelled.targets.any()


class Doses(Suite):
    """A suite as another package may write one: a factor of its own, and nothing but what it
    needs."""

    info = SuiteInfo(
        name="doses",
        summary="one drug at two doses",
        options=(SuiteOption(name="n", default=2, help="number of tasks"),),
        setting=("dose",),
        factors={"dose": ""},
    )

    def specs(self):
        return []

    def load(self, spec):
        raise NotImplementedError


def test_what_a_suite_need_not_define_has_a_default():
    suite = Doses(n="3")
    spec = TaskSpec(name="t", hash="h", n_variables=1, n_regimes=1, n_samples=1)
    assert suite.options == {"n": 3} and Doses.info.factors == {"dose": ""}
    assert suite.training(spec) is None
    assert (suite.resources, suite.knowledge, suite.why_no_task()) == ({}, "", "")


class Bare:
    info = SuiteInfo(name="bare", summary="does not inherit from Suite")


class Unfinished(Suite):
    info = SuiteInfo(name="unfinished", summary="has no load")

    def specs(self):
        return []


class Nameless(Suite):
    def specs(self):
        return []

    def load(self, spec):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Bare, r"'x' \(my_package:X\) does not inherit from cdnbench.suite"),
        (Unfinished, r"'x' \(my_package:X\) does not define load"),
        (Nameless, r"'x' \(my_package:X\) does not define info"),
        (lambda: None, "does not inherit"),
    ],
)
def test_what_is_no_suite_is_refused(monkeypatch, cls, words):
    entry = type("Entry", (), {"value": "my_package:X", "load": staticmethod(lambda: cls)})
    monkeypatch.setattr("cdnbench.registry.entries", lambda group: {"x": entry})
    with pytest.raises(BenchError, match=words):
        load_suite("x")


def doses(*numbers, **changes) -> list[TaskSpec]:
    sizes = {"n_variables": 1, "n_regimes": 1, "n_samples": 1}
    return [
        TaskSpec(**{"name": f"t{i}", "hash": f"h{i}", "metadata": {"dose": i}, **sizes, **changes})
        for i in numbers
    ]


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        (doses(1, 2, metadata={"dosis": 1}), "declares dose .* task 't1' lack them: .* dosis"),
        (doses(1, 2, name="same"), "several tasks of the name 'same'"),
        (doses(1, 2, hash="same"), "several tasks of the hash 'same'"),
        (["t1"], "'t1' is no `TaskSpec`"),
        (doses(1, name=1), "its name 1 is not a text"),
        (doses(1, hash=1), "the hash 1 of 't1' is no text that a file can be called by"),
        (doses(1, hash="../x"), "the hash '../x' of 't1' is no text"),
        (doses(1, n_variables="1"), "n_variables of 't1' is '1', not a whole number"),
        (doses(1, metadata=[]), "the metadata of 't1' are a list, not a dict"),
        (doses(1, metadata={"dose": object()}), "the metadata dose of 't1' are <object"),
        (doses(1, metadata={"dose": np.ones(2)}), "the metadata dose of 't1' are array"),
    ],
)
def test_specs_that_reports_would_mix_up_are_refused(specs, words):
    check_specs(doses(1, 2), Doses.info)
    with pytest.raises(BenchError, match=words):
        check_specs(specs, Doses.info)


@pytest.mark.parametrize("column", ["kind", "label", "rank"])
def test_a_factor_may_not_have_the_name_of_a_column_of_reports(column):
    """The leaderboard's own column would take its place, and what it tells apart be averaged."""
    info = SuiteInfo(name="odd", summary="", factors={column: ""})
    with pytest.raises(
        BenchError, match=f"odd declares {column} as factors, which are names of col"
    ):
        check_specs(doses(1, 2, metadata={column: "a"}), info)


def test_numbers_of_numpy_in_metadata_become_plain():
    (spec,) = doses(1, metadata={"dose": np.float32(0.5), "trivial": np.bool_(True)})
    assert json.dumps(spec.metadata) == '{"dose": 0.5, "trivial": true}'
    check_specs([spec], Doses.info)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"setting": "dose"}, "setting is 'dose', not a tuple"),
        ({"factors": ["dose"]}, "factors is .'dose'., not a mapping"),
        ({"factors": {"dose": 1}}, "factors is .*, not a mapping"),
        ({"options": [SuiteOption(name="a-b", default=1, help="")]}, "can be called 'a-b'"),
        (
            {"options": [SuiteOption(name="limit", default=1, help="")]},
            "limit is one of `bench run",
        ),
        ({"options": [SuiteOption(name="a", default=1, help="")] * 2}, "two options called a"),
    ],
)
def test_what_a_suite_declares_can_be_used(declared, words):
    info = SuiteInfo(**{"name": "odd", "summary": "", **declared})
    with pytest.raises(BenchError, match=words):
        check_suite(type("Odd", (Doses,), {"info": info}), "'odd'")


def test_no_option_of_a_suite_hides_one_of_a_run():
    taken = {name for name in inspect.signature(run).parameters if name != "options"}
    assert taken <= RUN_OPTIONS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "other"}, "whose name is 't1'; its spec says 'other'"),
        ({"n_variables": 3}, "whose n_variables is 1; its spec says 3"),
        ({"n_regimes": 2}, "whose n_regimes is 1; its spec says 2"),
    ],
)
def test_a_task_is_that_of_its_spec(changes, words):
    task = Task(name="t1", variables=["a"], observational=np.ones((1, 1)), regimes=np.ones((1, 1)))
    labelled = LabelledTask(task=task, targets=[[True]])
    check_loaded(labelled, doses(1)[0])
    with pytest.raises(BenchError, match=words):
        check_loaded(labelled, doses(1, **changes)[0])
    for wrong in (None, task):
        with pytest.raises(BenchError, match="return a LabelledTask"):
            check_loaded(wrong, doses(1)[0])
    with pytest.raises(BenchError, match="facts that cannot be stored"):
        check_loaded(LabelledTask(task=task, targets=[[True]], facts={"a": object()}), doses(1)[0])
