"""Averages of weights: halfway between two networks, one of which was trained on from the other.

Such an average is often as good as either network on what it does best, and does not cost a second
call: Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models improves
accuracy without increasing inference time" (arXiv 2203.05482) and "Robust fine-tuning of zero-shot
models" (arXiv 2109.01903).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cdnbench.errors import InvalidParameter
from cdnbench.methods.cdn.forms_network import build
from cdnbench.methods.cdn.screening import scores
from cdnbench.methods.cdn.weights import Weights, load_weights
from cdnbench.task import Task
from cdnbench.training import development
from cdnbench.training.card import Origin, today
from cdnbench.training.wide import ancestry

MODEL = "cdn"


def average(names: Sequence[str], origin: Origin) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The mean of weights of `cdn`, and its card with what it reaches on `synthetic-dev`.

    names: two or more weights, by shipped name or path.

    Raises
    ------
    InvalidParameter: fewer than two, weights that cannot be read, or weights of networks that
        differ in their shape.
    """
    if len(names) < 2:
        raise InvalidParameter("An average takes two or more weights.")
    parts = [load_weights(name, MODEL) for name in names]
    first, *others = parts
    for name, other in zip(names[1:], others, strict=True):
        if other.card["config"] != first.card["config"]:
            raise InvalidParameter(
                f"{name} is of a network of another shape than {names[0]}; only networks of one "
                "shape have a mean."
            )
    tensors = {
        name: torch.stack([part.tensors[name] for part in parts]).mean(0) for name in first.tensors
    }
    network = build(first.card["config"])
    network.load_state_dict(tensors)
    return tensors, _card(parts, _validated(lambda task: scores(network.eval(), task)), origin)


def _validated(predict: Callable[[Task], np.ndarray]) -> dict[str, float]:
    found = development.all_settings().mean_ap(predict)
    return {name: round(value, 4) for name, value in found.items()}


def _card(parts: Sequence[Weights], validation: dict[str, float], origin: Origin) -> dict[str, Any]:
    """Steps and minutes are those of all runs behind the parts; a run that several of them share
    counts once."""
    cards = [part.card for part in parts]
    runs = {run["digest"]: run for card in cards for run in _runs(card)}
    laws: list[Any] = []
    for card in cards:
        laws += [part for part in card["laws"] if part not in laws]
    return {
        "model": MODEL,
        "config": cards[0]["config"],
        "laws": laws,
        "seed": cards[0]["seed"],
        "average_of": [ancestry(part) for part in parts],
        "command": origin.command,
        "steps": sum(run["steps"] for run in runs.values()),
        "minutes": round(sum(run["minutes"] for run in runs.values()), 1),
        "device": cards[0]["device"],
        **origin.provenance,
        "date": today(),
        "validation": validation,
        "held_out": cards[0]["held_out"],
    }


def _runs(card: dict[str, Any]) -> list[dict[str, Any]]:
    """The training runs behind a card of this model, its own first."""
    found = []
    while isinstance(card, dict) and card.get("model") == MODEL and "steps" in card:
        found.append(card)
        card = card.get("start")  # type: ignore[assignment]
    return found
