"""Variants of `cdn` are trained once, under one budget and from one start."""

from dataclasses import replace

import pytest
import torch

from cdnbench.errors import InvalidParameter
from cdnbench.methods.cdn.weights import load_weights, read_card
from cdnbench.training import variants
from cdnbench.training.card import Origin, Product
from cdnbench.training.loop import Trained, describe
from cdnbench.training.variants import Budget, train_variants

BUDGET = Budget(
    minutes=None, steps=3, lr=1e-3, cells=200, start="", seed=0, device="cpu", workers=0
)
NAMES = ("full", "without-screens")


@pytest.fixture
def trained(monkeypatch) -> list[str]:
    """The names of the runs that are trained, by a stand-in that needs no time."""
    names: list[str] = []

    def train_wide(folder, plan, *, seed, cells, start, **others):
        names.append(folder.name)
        before = variants.weights_to_start_from(start)
        identity = {
            "model": "cdn",
            "seed": seed,
            "cells_a_step": cells,
            "start": {"digest": before.card["digest"]} if before else {},
            "plan": describe(plan),
        }
        return Product(torch.nn.Linear(1, 1), Trained(3, 0.1, [{"step": 3}]), identity)

    monkeypatch.setattr(variants, "train_wide", train_wide)
    return names


def train(folder, budget: Budget = BUDGET):
    return train_variants(NAMES, folder, budget, Origin(command="", provenance={}))


def test_weights_that_are_there_are_not_made_again(trained, tmp_path):
    paths = train(tmp_path)
    assert tuple(trained) == tuple(paths) == NAMES
    assert all(path.exists() for path in paths.values())
    assert train(tmp_path) == paths and tuple(trained) == NAMES


@pytest.mark.parametrize("card", [None, "", '{"format": 1', "[]", '{"format": 1, "model": "cdn"}'])
def test_weights_without_a_whole_card_are_made_again(trained, tmp_path, card):
    path = train(tmp_path)["full"]
    path.write_bytes(b"half a file")
    path.with_suffix(".json").unlink()
    if card is not None:
        path.with_suffix(".json").write_text(card)
    assert train(tmp_path)["full"] == path and trained == [*NAMES, "full"]
    assert load_weights(str(path), "cdn").card["seed"] == 0


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"seed": 1}, "seed 0, not 1"),
        ({"steps": 4}, "steps 3, not 4"),
        ({"minutes": 5}, "minutes None, not 5"),
        ({"lr": 0.5}, "lr 0.001, not 0.5"),
        ({"cells": 300}, "cells_a_step 200, not 300"),
        ({"start": "cdn"}, f"start None, not {read_card('cdn', 'cdn')['digest']}"),
    ],
)
def test_weights_of_another_training_are_refused_before_any_is_trained(
    trained, tmp_path, other, named
):
    paths = train(tmp_path)
    paths["full"].unlink()
    with pytest.raises(InvalidParameter, match=rf"{paths['without-screens']} \({named}\)"):
        train(tmp_path, replace(BUDGET, **other))
    assert tuple(trained) == NAMES


def test_weights_of_another_model_are_refused(trained, tmp_path):
    card = train(tmp_path)["full"].with_suffix(".json")
    card.write_text(card.read_text().replace('"cdn"', '"cdn-suites"'))
    with pytest.raises(InvalidParameter, match="this version needs cdn"):
        train(tmp_path)


def test_weights_may_start_from_others(trained, tmp_path):
    budget = replace(BUDGET, start="cdn")
    paths = train(tmp_path, budget)
    assert train(tmp_path, budget) == paths and tuple(trained) == NAMES
