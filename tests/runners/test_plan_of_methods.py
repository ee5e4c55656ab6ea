"""What `--device` and weights do to a plan: keys, and methods that have no choice."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from cdnbench.errors import BenchError, InvalidParameter
from cdnbench.methods.cdn.weights import SHIPPED
from cdnbench.registry import load_method, load_suite
from cdnbench.reports.labels import shown_parameters
from cdnbench.runners.api import chosen_device
from cdnbench.runners.plan import Limits, choose_methods, make_plan


def test_a_method_that_takes_minutes_on_all_tasks_runs_only_when_asked_for():
    suite = load_suite("synthetic-mini")
    small = suite.specs()[0]
    large = dataclasses.replace(small, n_variables=100)
    names = lambda methods, specs: [m.info.name for m in choose_methods(methods, specs, suite)[0]]  # noqa: E731
    assert "dci" in names(None, [small, large]) and "dci" in names("dci", [large])
    chosen, left_out = choose_methods(None, [large], suite)
    assert "dci" not in [m.info.name for m in chosen]
    assert left_out["dci"].startswith("100 variables or more; dci takes minutes per task beyond 60")


def test_only_methods_with_a_choice_get_the_device():
    assert load_method("cdn").on_device("cuda").parameters == {"device": "cuda"}
    assert load_method("target-shift").on_device("cuda").parameters == {}
    assert load_method("cdn").on_device("cpu").parameters == {}


def test_the_device_is_part_of_the_key_but_not_of_the_name():
    keys = {
        make_plan("synthetic-mini", {}, "cdn", limit=1, device=device).jobs[0].key
        for device in ("cpu", "cuda")
    }
    assert len(keys) == 2
    assert shown_parameters({"device": "cuda", "weights": "x"}) == "[weights=x]"
    assert shown_parameters({"device": "cuda"}) == ""


def test_a_device_that_is_not_there_is_an_error_before_the_run():
    with pytest.raises(InvalidParameter, match="auto, cpu or cuda"):
        chosen_device("tpu")
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        with pytest.raises(InvalidParameter, match="no CUDA device"):
            chosen_device("cuda")


def test_other_weights_at_the_same_path_are_another_job(tmp_path):
    for suffix in (".safetensors", ".json"):
        shutil.copy(SHIPPED / f"cdn{suffix}", tmp_path / f"mine{suffix}")
    method = load_method("cdn", weights=str(tmp_path / "mine.safetensors"))
    first = method.key("task", 0)
    card = json.loads((tmp_path / "mine.json").read_text())
    (tmp_path / "mine.json").write_text(json.dumps({**card, "digest": "of other tensors"}))
    assert method.key("task", 0) != first


def test_missing_weights_stop_the_plan_and_name_the_command(tmp_path):
    with pytest.raises(InvalidParameter, match="bench train cdn"):
        make_plan("synthetic-mini", {}, f"cdn:weights={tmp_path}/none.safetensors", limit=1)


def test_records_say_what_a_method_was_trained_on():
    laws = load_method("cdn").trained_on()
    assert "polynomial" not in laws["mechanism"] and "sigmoid" not in laws["mechanism"]
    assert laws["n_nodes"]["from"] <= 5 and laws["n_nodes"]["to"] == 100
    assert load_method("target-shift").trained_on() == {}


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1, None, "5"])
def test_a_time_that_no_record_could_hold_is_refused(monkeypatch, seconds):
    method = load_method("random")
    info = dataclasses.replace(method.info, timeout_s=lambda sizes: seconds)
    monkeypatch.setattr(type(method.method), "info", info)
    with pytest.raises(BenchError, match="timeout_s of random on mini.* cannot be used"):
        make_plan("synthetic-mini", {}, "random", limit=1)
    assert make_plan("synthetic-mini", {}, "random", limit=1, limits=Limits(timeout_s=1.0)).jobs
    left_out = make_plan("synthetic-mini", {}, limit=1).left_out
    assert "cannot be used" in left_out["random"] and "target-shift" not in left_out
