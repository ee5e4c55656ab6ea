"""Variants of `cdn` that go without one thing each: trained with one budget from one start."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdnbench.datasets.worlds.reduction import PARTS
from cdnbench.errors import InvalidParameter, did_you_mean
from cdnbench.methods.cdn.forms_network import FormsShape
from cdnbench.methods.cdn.weights import read_card, save_weights
from cdnbench.training.card import Origin, card, is_finished
from cdnbench.training.loop import UNLIMITED, Plan, describe
from cdnbench.training.mixtures import SCREENING
from cdnbench.training.wide import train_wide, weights_to_start_from

TABLE = "ablations"
"""The table of `bench report` that shows the variants, and the folder of their weights, by which
the table knows them."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What differs from the full network and its training data. laws: see `mixtures.MIXTURES`.
    leave_out: see `mixtures.without`."""

    laws: str = "cdn"
    leave_out: str = ""
    shape: FormsShape = FormsShape()


VARIANTS: Mapping[str, Variant] = {
    "full": Variant(),
    **{f"without-{part}": Variant(leave_out=part) for part in PARTS},
    "suites-only": Variant(laws="suites"),
    "worlds-only": Variant(laws="worlds"),
    "level-only": Variant(shape=FormsShape(forms=("level",))),
    "score-only": Variant(shape=FormsShape(forms=("score",))),
    # Screens teach what to make of evidence; without evidence there is nothing to learn from them.
    "without-evidence": Variant(leave_out=SCREENING, shape=FormsShape(evidence=False)),
    "without-contexts": Variant(shape=FormsShape(contexts=False)),
    "without-screens": Variant(leave_out=SCREENING),
}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """minutes: of wall clock for every variant, None for no limit. steps: of every variant, which
    are the fairer budget on a machine that others use. cells: grid cells (regimes x N^2) per step.
    start: weights that all start from, "" to start from nothing."""

    minutes: float | None
    steps: int = UNLIMITED
    lr: float
    cells: int
    start: str
    seed: int
    device: str
    workers: int


def chosen(names: Sequence[str]) -> list[str]:
    """The variants of these names in their order, all if there are none.

    Raises
    ------
    UnknownName: a variant that does not exist.
    """
    for name in names:
        if name not in VARIANTS:
            raise did_you_mean("variant of cdn", name, VARIANTS)
    return [name for name in VARIANTS if not names or name in names]


def train_variants(
    names: Sequence[str], folder: Path, budget: Budget, origin: Origin
) -> dict[str, Path]:
    """Train the variants of these names, and return the weights of each.

    Weights that are there with their card are not made again, and an interrupted run goes on.

    Raises
    ------
    InvalidParameter: weights of another start, seed or budget are there, or such a run; another
    folder is needed.
    """
    # Validated at the end alone, so that it takes no time from the budget.
    plan = Plan(steps=budget.steps, minutes=budget.minutes, lr=budget.lr, validate_every_s=math.inf)
    paths = {name: folder / TABLE / f"{name}.safetensors" for name in names}
    _check_conditions([path for path in paths.values() if is_finished(path)], plan, budget)
    for name, path in paths.items():
        if not is_finished(path):
            print(f"{TABLE}: {name}", flush=True)
            variant = VARIANTS[name]
            product = train_wide(
                folder / "runs" / name,
                plan,
                seed=budget.seed,
                device=budget.device,
                workers=budget.workers,
                cells=budget.cells,
                start=budget.start,
                laws=variant.laws,
                leave_out=variant.leave_out,
                shape=variant.shape,
            )
            made = card(product, budget.device, origin)
            save_weights(path, product.network.state_dict(), made)
    return paths


def _check_conditions(paths: Sequence[Path], plan: Plan, budget: Budget) -> None:
    """Check that weights that are there were trained as those that are missing will be.

    Raises
    ------
    InvalidParameter: some were not, or are no weights of `cdn`; the message names them.
    """
    if not paths:
        return
    before = weights_to_start_from(budget.start)
    start = before.card["digest"] if before else None
    wanted = {"start": start, "seed": budget.seed, "cells_a_step": budget.cells, **describe(plan)}
    wrong = []
    for path in paths:
        card = read_card(str(path), "cdn")
        had = {**card, **card.get("plan", {}), "start": card.get("start", {}).get("digest")}
        other = [
            f"{name} {had.get(name)}, not {value}"
            for name, value in wanted.items()
            if had.get(name) != value
        ]
        wrong += [f"{path} ({', '.join(other)})"] if other else []
    if wrong:
        raise InvalidParameter(
            f"Weights of variants were trained otherwise: {'; '.join(wrong)}. Name another folder "
            "with --run, give the same options, or move them away."
        )


def notes(weights: Mapping[str, Path]) -> tuple[str, ...]:
    """What a reader of the table must know: budget and start, and what could not start alike."""
    cards: dict[str, dict[str, Any]] = {
        name: read_card(str(path), "cdn") for name, path in weights.items()
    }
    told = sorted({_conditions(card) for card in cards.values()})
    lines = [f"Each variant: {line}." for line in told]
    if len(told) > 1:
        lines.append("The variants do not share one budget and start: they cannot be compared.")
    lines.append(
        "Steps within the budget: "
        + ", ".join(f"{name} {card['steps']}" for name, card in cards.items())
        + "."
    )
    lines += [
        f"{name}: the start has nothing for {', '.join(anew)}, which started as drawn."
        for name, card in cards.items()
        if (anew := card.get("starts_as_drawn"))
    ]
    return tuple(lines)


def _conditions(card: Mapping[str, Any]) -> str:
    start = card["start"]
    origin = f"{start['model']} {start['digest'][:8]}" if start else "nothing"
    plan = card["plan"]
    budget = f"{plan['steps']} steps" if plan["minutes"] is None else f"{plan['minutes']:g} minutes"
    return (
        f"{budget} at {card['cells_a_step']} cells a step and a learning rate "
        f"of {plan['lr']:g}, seed {card['seed']}, from {origin}, on {card['device']} with "
        f"{card['threads']} threads"
    )
