"""What a method declares is what it has, and a loaded method knows its identity and its device."""

from __future__ import annotations

import dataclasses
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import cdnbench
from cdnbench import registry
from cdnbench.declarations import check_declarations
from cdnbench.errors import BenchError, CannotRun, InvalidParameter
from cdnbench.loaded import LoadedMethod
from cdnbench.method import MethodInfo, Prediction
from cdnbench.prediction.pair import finding_of
from cdnbench.ranges import POSITIVE
from cdnbench.registry import load_method, load_suite
from cdnbench.task import Task

EXAMPLE = Path(cdnbench.__file__).parent.parent / "examples/third_party/variance_ratio.py"


def a_class(parts: str = "", parameters: str = "", **declared) -> type:
    """A method that declares this and has these parts, each a method of one line."""
    info = MethodInfo(name="mine", summary="a test", **declared)
    body = {name: lambda self, *a, **k: None for name in ("predict_targets", *parts.split())}
    annotations = {"info": ClassVar[MethodInfo]} | dict.fromkeys(parameters.split(), str)
    defaults = dict.fromkeys(parameters.split(), "cpu")
    return dataclass(frozen=True)(
        type("Mine", (), {**body, **defaults, "info": info, "__annotations__": annotations})
    )


PRETRAINED = "weights_digest trained_on trained_origins"


@pytest.mark.parametrize(
    "parts, parameters, declared",
    [
        ("", "", {}),
        ("predict_outputs", "", {"variants": ("a", "b")}),
        ("fit fitted", "", {"supervised": "required"}),
        (PRETRAINED, "", {"supervised": "pretrained"}),
        (f"fit fitted {PRETRAINED}", "", {"supervised": "required", "starts_from_weights": True}),
        ("predict_targets_batch", "device", {"batch_size": 4, "devices": ("cpu", "cuda")}),
        ("", "", {"devices": ("cuda",)}),
        ("calibration", "", {"probabilities": True}),
    ],
)
def test_what_is_declared_and_there_is_accepted(parts, parameters, declared):
    check_declarations(a_class(parts, parameters, **declared), "'mine'")


@pytest.mark.parametrize(
    "parts, parameters, declared, message",
    [
        ("", "", {"variants": ("a",)}, "declares variants but has no predict_outputs"),
        ("predict_outputs", "", {"variants": "set"}, "variants is the text 'set'"),
        ("", "", {"supervised": "yes"}, "supervised is 'yes', .* no, pretrained, required"),
        ("predict_outputs", "", {}, "has predict_outputs but does not declare variants"),
        ("fit", "", {"supervised": "required"}, 'supervised="required" but has no fitted'),
        ("fit fitted", "", {}, 'has fit, fitted but does not declare supervised="required"'),
        (
            "weights_digest",
            "",
            {"supervised": "pretrained"},
            "starts_from_weights=True but has no trained_on, trained_origins",
        ),
        ("weights_digest", "", {}, 'has weights_digest but does not declare supervised="pretr'),
        ("", "", {"batch_size": 1}, "declares batch_size but has no predict_targets_batch"),
        ("predict_targets_batch", "", {}, "does not declare batch_size"),
        ("", "", {"probabilities": True}, "declares probabilities=True but has no calibration"),
        ("", "", {"devices": ("cpu", "cuda")}, "but has no parameter device"),
        ("", "a", {"takes": {"a": abs}}, "what a takes is no `cdnbench.ranges.Values`"),
        ("", "", {"takes": {"a": POSITIVE}}, "takes names a, which it has no parameter for"),
        ("", "device", {}, 'parameter device but does not declare devices=\\("cpu", "cuda"\\)'),
    ],
)
def test_what_does_not_match_is_told(parts, parameters, declared, message):
    with pytest.raises(BenchError, match=f"The method 'mine' does not match.*{message}"):
        check_declarations(a_class(parts, parameters, **declared), "'mine'")


def test_knowledge_has_to_reach_fit():
    class Deaf:
        info = MethodInfo(name="deaf", summary="", supervised="required", needs=("gene_text",))

        def fit(self, tasks, *, seed=0): ...
        def fitted(self, model): ...
        def predict_targets(self, task, *, seed=0): ...

    with pytest.raises(BenchError, match="needs=.*its fit takes no resources"):
        check_declarations(Deaf, "'deaf'")


@pytest.mark.parametrize(
    ("declares", "message"),
    [
        (True, "declares resumable=True but its fit takes no checkpoint"),
        (False, "its fit takes a checkpoint but it does not declare resumable=True"),
    ],
)
def test_a_checkpoint_is_taken_where_it_is_declared(declares, message):
    class Mine:
        info = MethodInfo(name="mine", summary="", supervised="required", resumable=declares)

        def fitted(self, model): ...
        def predict_targets(self, task, *, seed=0): ...

    if declares:
        Mine.fit = lambda self, tasks, *, seed=0: {}
    else:
        Mine.fit = lambda self, tasks, *, seed=0, checkpoint: {}
    with pytest.raises(BenchError, match=message):
        check_declarations(Mine, "'mine'")


def test_a_class_without_info_is_told():
    with pytest.raises(BenchError, match="The method 'x' is not a class with `info`"):
        check_declarations(type("X", (), {"info": "?"}), "'x'")


def test_loading_checks_a_third_party_plugin(monkeypatch):
    class Entry:
        name, value, dist = "mine", "my_package:Mine", None

        def load(self):
            return a_class("", variants=("a",))

    monkeypatch.setattr(registry, "entries", lambda group: {"mine": Entry()})
    registry.load_class.cache_clear()
    try:
        with pytest.raises(BenchError, match=r"'mine' \(my_package:Mine\).*no predict_outputs"):
            load_method("mine")
    finally:
        registry.load_class.cache_clear()


def test_the_example_is_a_method():
    spec = importlib.util.spec_from_file_location("variance_ratio", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    check_declarations(module.VarianceRatio, "'variance-ratio'")
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(200, 3)), rng.normal(size=(200, 3)) * [1, 4, 1]
    task = Task(name="t", variables="abc", observational=before, regimes=[after])
    method = LoadedMethod(module.VarianceRatio(), "", {})
    assert finding_of(task, method).variables[0] == "b"


# --- identity


@pytest.mark.parametrize(
    "name, parameters, fit, key",
    [
        ("target-shift", {}, "", "1f618eaff38db8d765e3e831e8e91b14"),
        ("dci", {"max_set_size": 2}, "", "e9f53b7259a13cb883a196c66d019e40"),
        ("ut-igsp-set", {}, "", "a97a86f78238f535fb1cfe0863263797"),
        ("bacadi", {"likelihood": "fc", "device": "cpu"}, "", "6b32ef1342ba09c32f3374741a1aecff"),
        ("dcdi-g", {"device": "cuda"}, "", "7cd8590acd0906b1fd849b8fad5aa61a"),
        ("linear", {}, "a fit", "28fadc7b0f1d6b215d46233b1829f728"),
        # They have got a parameter `device` since.
        ("mlp", {}, "a fit", "e2efdc966d5f8a3f6eaafd57d21a5285"),
        ("gears", {}, "a fit", "7238451f80e858771e80abb67b21380c"),
        ("pdgrapher", {"device": "cpu"}, "a fit", "bd59bc416bbea17f082d68332a205e4f"),
        ("cdn-public", {}, "", "ed19df654c639456a2af088e295dbe6e"),
    ],
)
def test_keys_are_frozen(name, parameters, fit, key):
    """Stored results are found under these; a key changes only with the version of its method."""
    assert load_method(name, **parameters).key("a task", 1, fit) == key


def test_a_parameter_that_was_added_later_counts_once_it_is_changed():
    plain, moved = load_method("mlp"), load_method("mlp", device="cuda")
    assert "device" not in plain.all_parameters and moved.all_parameters["device"] == "cuda"
    assert plain.key("t", 0) != moved.key("t", 0)


def test_writing_out_a_default_changes_no_key():
    plain, written = load_method("dci"), load_method("dci", max_set_size=3)
    assert plain.all_parameters == written.all_parameters and plain.parameters == {}
    assert plain.key("t", 0) == written.key("t", 0) != plain.key("t", 1)


def test_parameters_of_a_class_that_is_no_dataclass():
    class Plain:
        info = MethodInfo(name="plain", summary="")

        def __init__(self, a=1, b="x"):
            self.a, self.b = a, b

        def predict_targets(self, task, *, seed=0): ...

    assert LoadedMethod(Plain(a=2), "", {"a": 2}).all_parameters == {"a": 2, "b": "x"}  # type: ignore[arg-type]


# --- device


def test_only_methods_with_a_choice_change_their_device():
    cdn, shift = load_method("cdn"), load_method("target-shift")
    assert cdn.device == shift.device == "cpu"
    assert shift.on_device("cuda") is shift and cdn.on_device("cpu") is cdn
    moved = cdn.on_device("cuda")
    assert moved.device == "cuda" and moved.parameters == {"device": "cuda"}
    assert moved.key("t", 0) == load_method("cdn", device="cuda").key("t", 0)
    assert moved.on_device("cpu") is moved, "a device that was chosen stays"


def test_the_reading_survives_a_change_of_device():
    assert load_method("cdn-cells-stack").on_device("cuda").label == "cdn-cells-stack"


def test_how_many_tasks_at_once_may_depend_on_the_device():
    assert load_method("dcdi-g").batch_size == 1
    assert load_method("dcdi-g", device="cuda").batch_size == 30
    assert load_method("target-shift").batch_size == 1


# --- calls


class Together:
    """Answers the first task, fails on the second, and forgets the third."""

    info = MethodInfo(name="together", summary="", batch_size=3, max_variables=2)

    def predict_targets(self, task, *, seed=0):
        raise AssertionError("a batched method is asked by batch")

    def predict_targets_batch(self, tasks, *, seeds):
        yield 1, RuntimeError("diverged")
        yield 0, Prediction({"": np.zeros((1, 2), dtype=np.float32)}, "note", {"n": 1})


def test_a_batch_ends_with_one_result_per_task():
    x = np.zeros((5, 2))
    task = Task(name="t", variables="ab", observational=x, regimes=[x])
    wide = Task(
        name="t", variables="abc", observational=np.zeros((5, 3)), regimes=[np.ones((5, 3))]
    )
    method = LoadedMethod(Together(), "", {})
    found = dict(method.predict_batch([task, wide, task, task], seeds=[0] * 4))
    assert sorted(found) == [0, 1, 2, 3]
    assert found[0].outputs[""].dtype == np.float64 and found[0].note == "note"
    assert isinstance(found[1], CannotRun) and "at most 2" in str(found[1])
    assert str(found[2]) == "diverged" and "returned nothing" in str(found[3])


@pytest.mark.parametrize(
    "declared, message",
    [
        ({"version": 1}, "version is 1, not a text"),
        ({"default": "no"}, "default is 'no', not True or False"),
        ({"preload": "numpy"}, "preload is 'numpy', not a tuple of texts"),
        ({"max_variables": "10"}, "max_variables is '10', not a whole number"),
        ({"min_samples": None}, "min_samples is None, not a whole number"),
        ({"timeout_s": 5}, "timeout_s is 5, not a function"),
        ({"fit_timeout_s": float("nan")}, "fit_timeout_s is nan, not a positive number"),
        ({"batch_size": 0}, "batch_size is 0, not a whole number from 1 on"),
        ({"devices": ()}, r"devices is \(\); it may hold"),
        ({"devices": ("tpu",)}, "devices is .'tpu',.; it may hold"),
    ],
)
def test_what_is_declared_has_its_type(declared, message):
    """Records with other values could not be read, and their results would be lost."""
    with pytest.raises(BenchError, match=message):
        check_declarations(a_class(**declared), "'mine'")


def registered(monkeypatch, **classes):
    """These classes as the only methods."""
    made = {}
    for name, cls in classes.items():
        name = name.replace("_", "-")
        cls.info = dataclasses.replace(cls.info, name=name)
        made[name] = type(
            "Entry", (), {"value": f"mine:{name}", "load": staticmethod(lambda cls=cls: cls)}
        )
    monkeypatch.setattr(registry, "entries", lambda group: made)


def test_a_name_that_another_row_of_a_report_has_is_refused(monkeypatch):
    two = a_class("predict_outputs", variants=("soft", "hard"))
    registered(monkeypatch, twofold=two, twofold_hard=a_class(), ceiling=a_class())
    assert load_method("twofold").info.variants
    with pytest.raises(BenchError, match="'twofold-hard' .* the name of a reading of twofold"):
        load_method("twofold-hard")
    with pytest.raises(BenchError, match="'ceiling' .* a name that is taken"):
        load_method("ceiling")


def test_a_name_that_cannot_be_written_is_refused(monkeypatch):
    registered(monkeypatch, **{"a,b": a_class(), "a:b": a_class(), "../a": a_class()})
    for name in ("a,b", "a:b", "../a"):
        with pytest.raises(BenchError, match="a name that cannot be asked for"):
            load_method(name)


def test_numbers_of_numpy_and_paths_are_parameters(monkeypatch):
    chosen = load_method("ut-igsp", alpha=np.float64(0.01), max_rows=np.int64(50))
    assert chosen.parameters == {"alpha": 0.01, "max_rows": 50}
    assert [type(value) for value in chosen.parameters.values()] == [float, int]
    assert load_method("dci", alpha_ug=np.array([0.01, 0.1])).parameters == {
        "alpha_ug": (0.01, 0.1)
    }
    assert load_method("cdn", weights=Path("w.safetensors")).parameters == {
        "weights": "w.safetensors"
    }
    with pytest.raises(InvalidParameter, match="by its name, such as"):
        load_method(["cdn"])
    with pytest.raises(InvalidParameter, match="by its name, such as"):
        load_suite(None)


def test_a_method_may_refuse_its_parameters_and_make_its_defaults(monkeypatch):
    @dataclass(frozen=True)
    class Choosy:
        scale: float = 1.0
        steps: list[int] = field(default_factory=lambda: [1, 2])
        info: ClassVar[MethodInfo] = MethodInfo(name="choosy", summary="a test")

        def __post_init__(self):
            if self.scale > 2:
                raise ValueError("scale is too large")

        def predict_targets(self, task, *, seed=0):
            return np.zeros((task.n_regimes, task.n_variables))

    class Free:
        info = MethodInfo(name="free", summary="a test")

        def __init__(self, a=1, *more, **others):
            self.a = a

        def predict_targets(self, task, *, seed=0):
            return np.zeros((task.n_regimes, task.n_variables))

    registered(monkeypatch, choosy=Choosy, free=Free)
    with pytest.raises(InvalidParameter, match="choosy refuses its parameters: .* too large"):
        load_method("choosy", scale=3.0)
    assert load_method("choosy", steps=[3]).parameters == {"steps": [3]}
    assert load_method("choosy", steps=[1, 2]).parameters == {}
    assert load_method("free", a=2).parameters == {"a": 2}
