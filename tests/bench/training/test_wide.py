"""Training of the network that reads forms: its batches can be made again, and a run goes on where
it stopped."""

import pytest
import torch

from cdnbench.datasets.synthetic.training import Laws as ModelLaws
from cdnbench.datasets.worlds import Laws
from cdnbench.errors import InvalidParameter
from cdnbench.methods.cdn.forms_network import FormsNetwork, loss
from cdnbench.methods.cdn.network import Shape
from cdnbench.methods.cdn.weights import load_any
from cdnbench.training import development, wide
from cdnbench.training.loop import Plan
from cdnbench.training.wide import wide_batch

MIXTURE = wide.mixture


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(wide, "WIDE", Laws(sizes=((6, 8),), regimes=(2, 4), rows_at_once=500))
    models = ModelLaws(sizes=((6, 8),), rows=((30, 60),), regimes=(2, 4))
    monkeypatch.setattr(wide, "EVERYTHING", models)
    monkeypatch.setattr(wide, "SCREENS", Laws(sizes=((30, 40),), regimes=(2, 2)))

    class NoSuite:
        def mean_ap(self, predict):
            return {"dev mAP": 0.0}

    monkeypatch.setattr(development, "all_settings", NoSuite)
    tiny = Shape(d=8, c=16, heads=2, paths=2, stages=(1,))
    monkeypatch.setattr(wide, "Shape", lambda: tiny)


def test_a_batch_is_a_function_of_seed_and_step(small):
    first, again, other = wide_batch(0, 200, 4), wide_batch(0, 200, 4), wide_batch(0, 200, 5)
    assert torch.equal(first.reading.evidence, again.reading.evidence)
    assert torch.equal(first.targets, again.targets)
    assert first.reading.evidence.shape != other.reading.evidence.shape or not torch.equal(
        first.reading.evidence, other.reading.evidence
    )
    tasks, regimes, n, _ = first.reading.evidence.shape
    assert first.targets.shape == (tasks, regimes, n)
    assert first.adjacency.shape == (tasks, n, n) and first.known.shape == (tasks,)


def test_screens_of_many_variables_train_the_screening_alone(small, monkeypatch):
    monkeypatch.setattr(wide, "mixture", lambda cells: MIXTURE(cells)[2:])
    made = wide_batch(0, 200, 0)
    assert made.reading.summaries == () and made.targets.shape[-1] >= 30
    network = FormsNetwork(Shape(d=8, c=16, heads=2, paths=2, stages=(1,)))
    value, parts = loss(network(made.reading), made.targets, made.adjacency, made.known)
    value.backward()
    assert "edges" not in parts
    assert network.first_heads.among[0].weight.grad is not None
    assert network.heads[0].among[0].weight.grad is None


def test_a_run_goes_on_where_it_stopped(small, tmp_path):
    arguments = {"seed": 0, "device": "cpu", "workers": 0, "cells": 200}
    plan = Plan(steps=3)
    whole = wide.train_wide(tmp_path / "whole", plan, **arguments)
    assert whole.trained.steps == 3
    sources = [part["source"] for part in whole.identity["laws"]]
    assert sources == ["worlds", "suites", "worlds"]
    again = wide.train_wide(tmp_path / "whole", plan, **arguments)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name])
    with pytest.raises(InvalidParameter, match="another training run"):
        wide.train_wide(tmp_path / "whole", plan, **{**arguments, "seed": 1})


@pytest.mark.parametrize("start", ["cdn", "cdn-suites"])
def test_a_run_may_start_from_shipped_weights(small, tmp_path, monkeypatch, start):
    monkeypatch.undo()

    class NoSuite:
        def mean_ap(self, predict):
            return {"dev mAP": 0.0}

    monkeypatch.setattr(development, "all_settings", NoSuite)
    monkeypatch.setattr(wide, "WIDE", Laws(sizes=((6, 8),), regimes=(2, 4), rows_at_once=500))
    product = wide.train_wide(
        tmp_path, Plan(steps=1, lr=0.0), seed=0, device="cpu", workers=0, cells=200, start=start
    )
    card, tensors = load_any(start, ("cdn", "cdn-suites"))
    assert product.identity["start"]["digest"] == card["digest"]
    assert product.identity["start"]["command"].startswith("bench train cdn")
    name = "layers.0.0.tokens.weight"
    assert torch.allclose(product.network.state_dict()[name], tensors[name], atol=1e-6)
