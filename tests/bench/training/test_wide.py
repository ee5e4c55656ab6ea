"""Training of the network that reads forms: its batches can be made again, and a run goes on where
it stopped."""

from dataclasses import replace

import pytest
import torch

from cdnbench.datasets.synthetic.training import Laws as ModelLaws
from cdnbench.datasets.worlds import Laws
from cdnbench.errors import InvalidParameter, UnknownName
from cdnbench.methods.cdn.forms_network import FormsNetwork, FormsShape, loss
from cdnbench.training import development, mixtures, wide
from cdnbench.training.loop import Plan
from cdnbench.training.wide import wide_batch

TINY = FormsShape(d=8, c=16, heads=2, paths=2, stages=(1,))


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(mixtures, "WIDE", Laws(sizes=((6, 8),), regimes=(2, 4), rows_at_once=500))
    models = ModelLaws(sizes=((6, 8),), rows=((30, 60),), regimes=(2, 4))
    monkeypatch.setattr(mixtures, "EVERYTHING", models)
    monkeypatch.setattr(mixtures, "SCREENS", Laws(sizes=((30, 40),), regimes=(2, 2)))

    class NoSuite:
        def mean_ap(self, predict):
            return {"dev mAP": 0.0}

    monkeypatch.setattr(development, "all_settings", NoSuite)


def test_a_batch_is_a_function_of_seed_and_step(small):
    mixture = mixtures.wide(200)
    first, again, other = (wide_batch(mixture, 0, step) for step in (4, 4, 5))
    assert torch.equal(first.reading.evidence, again.reading.evidence)
    assert torch.equal(first.targets, again.targets)
    assert first.reading.evidence.shape != other.reading.evidence.shape or not torch.equal(
        first.reading.evidence, other.reading.evidence
    )
    tasks, regimes, n, _ = first.reading.evidence.shape
    assert first.targets.shape == (tasks, regimes, n)
    assert first.adjacency.shape == (tasks, n, n) and first.known.shape == (tasks,)


def test_screens_of_many_variables_train_the_screening_alone(small):
    made = wide_batch(mixtures.wide(200)[2:], 0, 0)
    assert made.reading.summaries == () and made.targets.shape[-1] >= 30
    network = FormsNetwork(TINY)
    value, parts = loss(network(made.reading), made.targets, made.adjacency, made.known)
    value.backward()
    assert "edges" not in parts
    assert network.first_heads.among[0].weight.grad is not None
    assert network.heads[0].among[0].weight.grad is None


def test_a_run_goes_on_where_it_stopped(small, tmp_path):
    arguments = {"seed": 0, "device": "cpu", "workers": 0, "cells": 200, "shape": TINY}
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


def test_a_run_may_start_from_shipped_weights(small, tmp_path):
    product = wide.train_wide(
        tmp_path, Plan(steps=1, lr=0.0), seed=0, device="cpu", workers=0, cells=200, start="cdn"
    )
    from cdnbench.methods.cdn.weights import load_weights

    card, tensors = load_weights("cdn", "cdn")
    assert product.identity["start"]["digest"] == card["digest"]
    assert product.identity["config"].keys() == card["config"].keys()
    for name, tensor in product.network.state_dict().items():
        assert torch.allclose(tensor, tensors[name], atol=1e-6), name


@pytest.mark.parametrize("change", [{"forms": ("score",)}, {"contexts": False}])
def test_variants_share_their_start(small, tmp_path, change):
    arguments = {"seed": 3, "device": "cpu", "workers": 0, "cells": 200}
    plan = Plan(steps=1, lr=0.0)
    shape = replace(TINY, **change)
    full = wide.train_wide(tmp_path / "full", plan, shape=TINY, **arguments)
    less = wide.train_wide(tmp_path / "less", plan, shape=shape, **arguments)
    name = "layers.0.0.tokens.weight"
    assert torch.equal(full.network.state_dict()[name], less.network.state_dict()[name])
    assert less.identity["config"] == {**full.identity["config"], **change}
    assert "starts_as_drawn" not in less.identity


def test_screens_need_evidence(tmp_path):
    with pytest.raises(InvalidParameter, match="leave them out"):
        wide.train_wide(
            tmp_path, Plan(steps=1), seed=0, device="cpu", workers=0, cells=200,
            shape=replace(TINY, evidence=False),
        )  # fmt: skip


def test_mixtures_and_what_they_go_without():
    assert [part.plain()["source"] for part in mixtures.wide(100)] == ["worlds", "suites", "worlds"]
    (paper,) = mixtures.paper(100)
    assert set(paper.laws.interventions) == {"hard-uniform", "hard-normal"}
    kept = mixtures.without(mixtures.wide(100), "screens")
    assert [part.evidence_only for part in kept] == [False, False]
    wide_, suites, screens = mixtures.without(mixtures.wide(100), "hidden-causes")
    assert (wide_.laws.confounded, suites.laws.hidden, screens.laws.confounded) == (0, 0, 0)
    assert kept == mixtures.wide(100)[:2]
    with pytest.raises(UnknownName, match="hidden-causes"):
        mixtures.check_left_out("hidden-cause")


def test_variants_are_trained_once_and_their_notes_say_how(small, tmp_path, monkeypatch):
    from cdnbench.training import variants
    from cdnbench.training.card import Origin

    monkeypatch.setattr(
        variants, "VARIANTS", {"full": variants.Variant(shape=TINY), "suites-only":
        variants.Variant(laws="suites", shape=replace(TINY, forms=("level",)))},
    )  # fmt: skip
    budget = variants.Budget(
        minutes=5.0, steps=2, lr=1e-3, cells=200, start="", seed=0, device="cpu", workers=0
    )
    origin = Origin(command="bench train ablations cdn", provenance={"git_sha": "x"})
    assert variants.chosen(["suites-only", "full"]) == ["full", "suites-only"]
    with pytest.raises(UnknownName, match="suites-only"):
        variants.chosen(["suite-only"])
    made = variants.train_variants(variants.chosen([]), tmp_path, budget, origin)
    before = {name: path.read_bytes() for name, path in made.items()}
    monkeypatch.setattr(variants, "train_wide", None)  # nothing is trained again
    again = variants.train_variants(variants.chosen([]), tmp_path, budget, origin)
    assert {name: path.read_bytes() for name, path in again.items()} == before
    told = " ".join(variants.notes(made))
    assert "5 minutes at 200 cells" in told and "from nothing" in told
    assert "full 2, suites-only 2" in told
    assert {path.parent.name for path in made.values()} == {"ablations"}
