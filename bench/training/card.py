"""The card beside a weights file: what was trained, how, where, and what it reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from torch import nn

    from cdnbench.training.loop import Trained

Network = TypeVar("Network", bound="nn.Module")

HELD_OUT = "mechanisms polynomial and sigmoid; every law of synthetic-ood; every seed of a suite"
"""Of networks that are trained on the suites' laws alone."""

HELD_OUT_OF_WORLDS = (
    "mechanisms polynomial, sigmoid, fourier and sigmix; every family of synthetic-far; the "
    "simulator of cells; every seed of a suite. Noise and interventions of synthetic-ood are in "
    "training."
)
"""Of networks that are trained on worlds too."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where training was started.

    command: what the user typed. provenance: versions, commit and host, as results record them.
    """

    command: str
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class Product(Generic[Network]):
    """A trained network and how it was made.

    trained: the course of its training. identity: model, config, laws, seed and plan of the run.
    held_out: what it was never trained on, in words.
    """

    network: Network
    trained: Trained
    identity: dict[str, Any]
    held_out: str = HELD_OUT


def card(product: Product[Any], device: str, origin: Origin) -> dict[str, Any]:
    """The card of a trained network, with what it reached on `synthetic-dev`.

    device: "cpu" or "cuda", where it was trained.
    """
    import torch

    trained = product.trained
    return {
        **product.identity,
        "command": origin.command,
        "steps": trained.steps,
        "minutes": round(trained.minutes, 1),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        **origin.provenance,
        "date": today(),
        "validation": {
            k: round(v, 4) for k, v in trained.curve[-1].items() if k not in ("step", "minutes")
        },
        "held_out": product.held_out,
    }


def is_finished(path: Path) -> bool:
    """Whether weights are there with a card that can be read. The card is written last: weights
    without one are what was left when a run was ended while it wrote them."""
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return path.exists() and isinstance(card, dict) and isinstance(card.get("digest"), str)


def today() -> str:
    """The date in UTC, as cards write it: 2025-03-31."""
    return datetime.now(UTC).date().isoformat()
