"""The variants behind the paper's Tables 7 and 8, each trained with one budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cdnbench.errors import InvalidParameter
from cdnbench.methods.cdn.paper.aggregator import EncoderConfig
from cdnbench.methods.cdn.paper.differential import DifferentialConfig
from cdnbench.methods.cdn.weights import read_card, save_weights
from cdnbench.training.card import Origin, Product, card, is_finished
from cdnbench.training.encoder import train_sea
from cdnbench.training.heads import train_differential
from cdnbench.training.loop import UNLIMITED, Plan

FULL = EncoderConfig()
TABLES: dict[str, dict[str, DifferentialConfig]] = {
    "table7": {
        "cdn": DifferentialConfig(encoder=FULL),
        "no_pretrain": DifferentialConfig(encoder=FULL, pretrained=False, joint=True),
        "no_marginal": DifferentialConfig(encoder=EncoderConfig(marginals=False)),
        "no_global": DifferentialConfig(encoder=EncoderConfig(global_statistic=False)),
    },
    "table8": {
        "mlp": DifferentialConfig(encoder=FULL, head="mlp"),
        "axial": DifferentialConfig(encoder=FULL),
        "corr": DifferentialConfig(encoder=EncoderConfig(statistic="corr")),
        "corr+cov": DifferentialConfig(encoder=EncoderConfig(statistic="corr+cov")),
    },
}
"""From tables to their variants (named as in the paper's CSV) and the network of each. The variant
"no_pretrain" has no encoder to start from: it is trained jointly, for both budgets."""

ENCODER_CELLS = 6_400
"""Grid cells (N^2) per step of every encoder."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Minutes of wall clock for every encoder and every head, and what they are trained with.

    encoder: weights of an encoder of all inputs that reads the inverse covariance, by shipped name
    or path, which is used as it is; "" to train one.
    """

    encoder_minutes: float
    head_minutes: float
    datasets: int
    seed: int
    device: str
    workers: int
    encoder: str = ""


def train_variants(table: str, folder: Path, budget: Budget, origin: Origin) -> dict[str, Path]:
    """Train the variants of a table, and return the weights of each.

    Weights that are there with their card are not made again, and an interrupted run goes on.

    Raises
    ------
    InvalidParameter: the encoder of the budget is missing, or does not read all inputs and the
    inverse covariance; or weights that are there had another budget.
    """
    if budget.encoder and EncoderConfig(**read_card(budget.encoder, "sea")["config"]) != FULL:
        raise InvalidParameter(
            f"The encoder {budget.encoder} is not one of all inputs that reads the inverse "
            "covariance, as `bench train sea` makes without further options."
        )
    check_budget(table, folder, budget)
    found = {}
    for variant, config in TABLES[table].items():
        path = _weights_of(table, variant, folder)
        if not is_finished(path):
            encoder = ""
            if config.pretrained:
                encoder = _train_encoder(config.encoder, folder, budget, origin)
            print(f"{table}: {variant}", flush=True)
            _save(path, _train_head(config, encoder, variant, folder, budget), budget, origin)
        found[variant] = path
    return found


def check_budget(table: str, folder: Path, budget: Budget) -> None:
    """Check that the weights of a table that are there, and their encoders, had this budget: a
    table compares variants of one budget.

    Raises
    ------
    InvalidParameter: some had another one, or have a card that does not say which; the message
    names them.
    """
    wrong = []
    for variant, config in TABLES[table].items():
        minutes = budget.head_minutes + (0 if config.pretrained else budget.encoder_minutes)
        wanted = {"minutes": minutes, "seed": budget.seed, "datasets": budget.datasets}
        wrong += _other_budget(_weights_of(table, variant, folder), f"cdn-{config.head}", wanted)
        trained_here = config.encoder != FULL or not budget.encoder
        if config.pretrained and trained_here:
            wanted = {"minutes": budget.encoder_minutes, "seed": budget.seed}
            wrong += _other_budget(_encoder_path(config.encoder, folder), "sea", wanted)
    if wrong:
        found = "; ".join(dict.fromkeys(wrong))
        raise InvalidParameter(
            f"Weights in {folder} were trained with another budget: {found}. Name another folder "
            "with --run, give the same budget, or move them away."
        )


def _other_budget(path: Path, model: str, wanted: Mapping[str, float]) -> list[str]:
    """In words, how weights that are there differ from what was wanted of them."""
    if not is_finished(path):
        return []
    card = read_card(str(path), model)
    plan = card.get("plan", {})
    had = {**card, "minutes": plan.get("minutes"), "datasets": card.get("n_datasets")}
    other = [
        f"{name} {had.get(name)}, not {value:g}"
        for name, value in wanted.items()
        if had.get(name) != value
    ]
    return [f"{path} ({', '.join(other)})"] if other else []


def _weights_of(table: str, variant: str, folder: Path) -> Path:
    return folder / table / f"{variant}.safetensors"


def _encoder_path(config: EncoderConfig, folder: Path) -> Path:
    parts = [config.statistic]
    parts += [] if config.marginals else ["no-marginals"]
    parts += [] if config.global_statistic else ["no-global"]
    return folder / "encoders" / f"{'-'.join(parts)}.safetensors"


def method_names(weights: dict[str, Path], table: str) -> str:
    """The methods that run these weights, as `bench run --methods` takes them."""
    return ",".join(
        f"cdn-{TABLES[table][variant].head}:weights={path}" for variant, path in weights.items()
    )


def methods_on_cells(weights: dict[str, Path], table: str, epochs: int | None) -> str:
    """The methods that fine-tune these weights on perturbations of cells. epochs: at most; None for
    the methods' own number."""
    most = f",epochs={epochs}" if epochs else ""
    return ",".join(
        f"cdn-{TABLES[table][variant].head}-cells:weights={path}{most}"
        for variant, path in weights.items()
    )


def _train_encoder(config: EncoderConfig, folder: Path, budget: Budget, origin: Origin) -> str:
    """Weights of the encoder that variants of one configuration share.

    One of another statistic is trained on from the one that reads the inverse covariance, as in the
    paper.
    """
    if config == FULL and budget.encoder:
        return budget.encoder
    path = _encoder_path(config, folder)
    name = path.stem
    if not is_finished(path):
        start = ""
        if config.statistic != FULL.statistic:
            first = replace(config, statistic=FULL.statistic)
            start = _train_encoder(first, folder, budget, origin)
        print(f"encoder: {name}", flush=True)
        product = train_sea(
            folder / "encoders" / name,
            Plan(steps=UNLIMITED, minutes=budget.encoder_minutes),
            config,
            seed=budget.seed,
            device=budget.device,
            workers=budget.workers,
            cells=ENCODER_CELLS,
            start=start,
        )
        _save(path, product, budget, origin)
    return str(path)


def _train_head(
    config: DifferentialConfig, encoder: str, variant: str, folder: Path, budget: Budget
) -> Product[Any]:
    minutes = budget.head_minutes + (0 if encoder else budget.encoder_minutes)
    return train_differential(
        folder / "heads" / variant,
        Plan(steps=UNLIMITED, minutes=minutes, lr=5e-4),
        config,
        encoder,
        seed=budget.seed,
        device=budget.device,
        workers=budget.workers,
        n_datasets=budget.datasets,
    )


def _save(path: Path, product: Product[Any], budget: Budget, origin: Origin) -> None:
    save_weights(path, product.network.state_dict(), card(product, budget.device, origin))
