"""The variants behind the paper's Tables 7 and 8: train each with one budget, run it on
`synthetic`, show the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cdnbench.methods.cdn.aggregator import EncoderConfig
from cdnbench.methods.cdn.differential import DifferentialConfig
from cdnbench.methods.cdn.trainer import Plan

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
"""Table -> variant (as the paper's CSV names it) -> network. "no_pretrain" is trained jointly, from
nothing, for both budgets."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Minutes of wall clock for every encoder and every head, and what else training takes."""

    encoder_minutes: float
    head_minutes: float
    datasets: int
    seed: int
    device: str
    workers: int


def train_variants(table: str, folder: Path, budget: Budget) -> dict[str, Path]:
    """Variant -> weights. What is there is not made again, and an interrupted run goes on."""
    found = {}
    for variant, config in TABLES[table].items():
        path = folder / table / f"{variant}.safetensors"
        if not path.exists():
            encoder = str(_encoder(config.encoder, folder, budget)) if config.pretrained else ""
            print(f"{table}: {variant}", flush=True)
            _head(config, encoder, path, folder, budget)
        found[variant] = path
    return found


def methods_of(weights: dict[str, Path], table: str) -> str:
    """The --methods of `bench run` for these weights."""
    return ",".join(
        f"cdn-{TABLES[table][variant].head}:weights={path}" for variant, path in weights.items()
    )


def _encoder(config: EncoderConfig, folder: Path, budget: Budget) -> Path:
    from cdnbench.commands import curriculum, pretraining
    from cdnbench.methods.cdn.weights import save_weights

    parts = [config.statistic]
    parts += [] if config.marginals else ["no-marginals"]
    parts += [] if config.global_statistic else ["no-global"]
    name = "-".join(parts)
    path = folder / "encoders" / f"{name}.safetensors"
    if not path.exists():
        print(f"encoder: {name}", flush=True)
        network, trained, making = pretraining.train_sea(
            folder / "encoders" / name,
            Plan(steps=10**9, minutes=budget.encoder_minutes),
            config,
            seed=budget.seed,
            device=budget.device,
            workers=budget.workers,
            cells=6_400,
        )
        save_weights(path, network.state_dict(), curriculum.card(making, trained, budget.device))
    return path


def _head(
    config: DifferentialConfig, encoder: str, path: Path, folder: Path, budget: Budget
) -> None:
    from cdnbench.commands import curriculum, heads
    from cdnbench.methods.cdn.weights import save_weights

    minutes = budget.head_minutes + (0 if encoder else budget.encoder_minutes)
    network, trained, making = heads.train_differential(
        folder / "heads" / path.stem,
        Plan(steps=10**9, minutes=minutes, lr=5e-4),
        config,
        encoder,
        seed=budget.seed,
        device=budget.device,
        workers=budget.workers,
        n_datasets=budget.datasets,
    )
    save_weights(path, network.state_dict(), curriculum.card(making, trained, budget.device))
