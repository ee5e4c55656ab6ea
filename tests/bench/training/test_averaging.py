"""Averages of weights: every tensor halfway, and a card that names the runs behind it."""

from dataclasses import asdict

import pytest
import torch

from cdnbench.errors import InvalidParameter
from cdnbench.methods.cdn.forms_network import FormsNetwork, FormsShape
from cdnbench.methods.cdn.weights import load_weights, read_card, save_weights
from cdnbench.training import averaging
from cdnbench.training.card import Origin

TINY = FormsShape(d=8, c=16, heads=2, paths=2, stages=(1,))
ORIGIN = Origin(command="bench train average a b", provenance={"git_sha": "x", "dirty": False})


def saved(path, seed, **more) -> str:
    torch.manual_seed(seed)
    card = {
        "model": "cdn", "config": {**asdict(TINY), **more.pop("config", {})}, "laws": [seed],
        "seed": 0, "steps": 10 * (seed + 1), "minutes": 1.0, "device": "cpu", "held_out": "much",
        "command": f"bench train cdn --seed {seed}",
    }  # fmt: skip
    save_weights(path, FormsNetwork(TINY).state_dict(), {**card, **more})
    return str(path)


@pytest.fixture
def no_validation(monkeypatch):
    monkeypatch.setattr(averaging, "_validated", lambda predict: {"dev mAP": 0.5})


def test_every_tensor_is_halfway_and_runs_count_once(tmp_path, no_validation):
    first = saved(tmp_path / "a.safetensors", 0)
    start = read_card(first, "cdn")
    second = saved(tmp_path / "b.safetensors", 1, start=start)
    tensors, card = averaging.average([first, second], ORIGIN)
    a, b = (load_weights(path, "cdn").tensors for path in (first, second))
    for name, tensor in tensors.items():
        assert torch.allclose(tensor, (a[name] + b[name]) / 2)
    assert card["steps"] == 30 and card["minutes"] == 2.0 and card["laws"] == [0, 1]
    assert [run["digest"] for run in card["average_of"]] == [
        read_card(path, "cdn")["digest"] for path in (first, second)
    ]
    save_weights(tmp_path / "c.safetensors", tensors, card)
    assert read_card(str(tmp_path / "c.safetensors"), "cdn")["command"] == ORIGIN.command


def test_what_has_no_mean(tmp_path, no_validation):
    first = saved(tmp_path / "a.safetensors", 0)
    other = saved(tmp_path / "b.safetensors", 1, config={"heads": 4})
    with pytest.raises(InvalidParameter, match="two or more"):
        averaging.average([first], ORIGIN)
    with pytest.raises(InvalidParameter, match="of another shape"):
        averaging.average([first, other], ORIGIN)
