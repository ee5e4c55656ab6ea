"""`bench train`: make the weights that ship, or better ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdnbench.errors import InvalidParameter

train_app = typer.Typer(
    help="Train the networks on fresh synthetic data. Any run can be stopped and goes on when the command is repeated.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Minutes = Annotated[
    float | None, typer.Option(min=0.01, help="Wall-clock budget; the learning rate reaches zero at its end.")
]
Run = Annotated[Path | None, typer.Option("--run", help="Folder of checkpoint and log (default results/train/<model>).")]
Out = Annotated[
    Path | None, typer.Option(help="Where to put the weights (.safetensors; default weights.safetensors in --run).")
]
Seed = Annotated[int, typer.Option(min=0, help="Names the training data and the initial weights.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that make batches ahead of time; 0: none.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads of the network; 0: all cores.")]


@train_app.command()
def cdn(
    steps: Annotated[int, typer.Option(min=1, help="Steps of the whole run.")] = 10_000,
    minutes: Minutes = None,
    run: Run = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Workers = 0,
    threads: Threads = 0,
    cells: Annotated[int, typer.Option(min=100, help="Grid cells (regimes x N^2) a step.")] = 8_000,
    lr: Annotated[float, typer.Option(min=0, help="Learning rate at its highest.")] = 1e-3,
) -> None:
    """Train the network behind `cdn`.

    Examples:

        bench train cdn --minutes 60 --threads 1

        bench train cdn --steps 60000 --device cuda --workers 8 --cells 64000
    """
    from cdnbench.commands import curriculum
    from cdnbench.methods.cdn.trainer import Plan

    chosen = _prepare(device, threads)
    folder = run or Path("results/train/cdn")
    plan = Plan(steps=steps, minutes=minutes, lr=lr)
    network, trained, making = curriculum.train_mechanism(
        folder, plan, seed=seed, device=chosen, workers=workers, cells=cells
    )
    _write(out or folder / "weights.safetensors", network.state_dict(), curriculum.card(making, trained, chosen))


Statistic = Annotated[str, typer.Option(help="Global statistic: precision, corr or corr+cov (Table 8).")]
Marginals = Annotated[bool, typer.Option("--marginals/--no-marginals", help="Marginal estimates (Table 7).")]
GlobalStatistic = Annotated[bool, typer.Option("--global/--no-global", help="Global statistic (Table 7).")]


@train_app.command()
def sea(
    steps: Annotated[int, typer.Option(min=1, help="Steps of the whole run.")] = 10_000,
    minutes: Minutes = None,
    run: Run = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Workers = 0,
    threads: Threads = 0,
    cells: Annotated[int, typer.Option(min=25, help="Grid cells (N^2) a step; at most 16 graphs.")] = 6_400,
    lr: Annotated[float, typer.Option(min=0, help="Learning rate at its highest.")] = 1e-3,
    statistic: Statistic = "precision",
    marginals: Marginals = True,
    global_statistic: GlobalStatistic = True,
) -> None:
    """Pretrain SEA, the encoder of `cdn-axial` and `cdn-mlp`: causal discovery on observational data.

    Examples:

        bench train sea --minutes 45 --threads 1

        bench train sea --steps 80000 --device cuda --workers 8
    """
    from cdnbench.commands import curriculum, pretraining
    from cdnbench.methods.cdn.trainer import Plan

    chosen = _prepare(device, threads)
    folder = run or Path("results/train/sea")
    config = encoder_config(statistic, marginals, global_statistic)
    plan = Plan(steps=steps, minutes=minutes, lr=lr)
    network, trained, making = pretraining.train_sea(
        folder, plan, config, seed=seed, device=chosen, workers=workers, cells=cells
    )
    _write(out or folder / "weights.safetensors", network.state_dict(), curriculum.card(making, trained, chosen))


def encoder_config(statistic: str, marginals: bool, global_statistic: bool):
    """The encoder that the options name."""
    from cdnbench.methods.cdn.aggregator import EncoderConfig
    from cdnbench.methods.cdn.statistics import CHANNELS

    if statistic not in CHANNELS:
        raise InvalidParameter(f"--statistic takes {', '.join(CHANNELS)}; got {statistic!r}.")
    if not marginals and not global_statistic:
        raise InvalidParameter("--no-marginals and --no-global together leave the encoder nothing to read.")
    return EncoderConfig(statistic=statistic, marginals=marginals, global_statistic=global_statistic)  # type: ignore[arg-type]


def _prepare(device: str, threads: int) -> str:
    """The device to train on. Says what is wrong before any work starts."""
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise InvalidParameter(f"--device takes auto, cpu or cuda; got {device!r}.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidParameter("--device cuda: torch sees no CUDA device. Use --device cpu.")
    if threads:
        torch.set_num_threads(threads)
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def _write(path: Path, tensors: dict, card: dict) -> None:
    from cdnbench.methods.cdn.weights import save_weights

    if path.suffix != ".safetensors":
        raise InvalidParameter(f"--out takes a file that ends in .safetensors; got {path}.")
    save_weights(path, tensors, card)
    size = path.stat().st_size / 1e6
    print(f"Wrote {path} ({size:.1f} MB) and its card {path.with_suffix('.json').name}.")
