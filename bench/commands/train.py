"""`bench train`: make the weights that ship, or better ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cdnbench.errors import InvalidParameter

train_app = typer.Typer(
    help="Train the networks on fresh synthetic data. Any run can be stopped and goes on when the "
    "command is repeated.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Minutes = Annotated[
    float | None,
    typer.Option(min=0.01, help="Wall-clock budget; the learning rate reaches zero at its end."),
]
Run = Annotated[
    Path | None,
    typer.Option("--run", help="Folder of checkpoint and log (default results/train/<model>)."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Where to put the weights (.safetensors; default weights.safetensors in --run)."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Names the training data and the initial weights.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Workers = Annotated[
    int, typer.Option(min=0, help="Processes that make batches ahead of time; 0: none.")
]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads of the network; 0: all cores.")]
Statistic = Annotated[
    str, typer.Option(help="Global statistic: precision, corr or corr+cov (Table 8).")
]
Marginals = Annotated[
    bool, typer.Option("--marginals/--no-marginals", help="Marginal estimates (Table 7).")
]
GlobalStatistic = Annotated[
    bool, typer.Option("--global/--no-global", help="Global statistic (Table 7).")
]


@train_app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def cdn(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Option(
            help="mechanism: the network behind cdn; axial, mlp: the paper's cdn-axial and cdn-mlp."
        ),
    ] = "mechanism",
    steps: Annotated[int, typer.Option(min=1, help="Steps of the whole run.")] = 10_000,
    minutes: Minutes = None,
    run: Run = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Workers = 0,
    threads: Threads = 0,
    lr: Annotated[
        float | None,
        typer.Option(min=0, help="Learning rate at its highest (1e-3; axial, mlp: 5e-4)."),
    ] = None,
    cells: Annotated[
        int, typer.Option(min=100, help="mechanism: grid cells (regimes x N^2) a step.")
    ] = 8_000,
    encoder: Annotated[
        str, typer.Option(help="axial, mlp: SEA weights to start from, by shipped name or path.")
    ] = "sea",
    pretrained: Annotated[
        bool,
        typer.Option(
            "--pretrained/--no-pretrained",
            help="axial, mlp: no encoder weights; trained jointly (Table 7).",
        ),
    ] = True,
    joint: Annotated[
        bool,
        typer.Option(
            "--joint", help="axial, mlp: train the encoder too, with a loss on the graph."
        ),
    ] = False,
    combination: Annotated[
        str, typer.Option(help="axial, mlp: concat or difference of the encodings.")
    ] = "concat",
    node_statistics: Annotated[
        bool,
        typer.Option(
            "--node-statistics", help="axial, mlp: mean and variance of each node as inputs."
        ),
    ] = False,
    statistic: Statistic = "precision",
    marginals: Marginals = True,
    global_statistic: GlobalStatistic = True,
    datasets: Annotated[
        int, typer.Option(min=1, help="axial, mlp: size of the fixed training collection.")
    ] = 4_000,
    start: Annotated[
        str,
        typer.Option(
            "--from", help="mechanism: weights to fine-tune on --suite, by shipped name or path."
        ),
    ] = "",
    suite: Annotated[
        str,
        typer.Option(
            help="mechanism: with --from, a suite with training tasks; its own options follow."
        ),
    ] = "",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="mechanism: with --from, passes over the training tasks."),
    ] = None,
) -> None:
    """Train a differential network: the one behind `cdn`, or the paper's. With --from, fine-tune
    the first on labelled perturbations.

    Examples:

        bench train cdn --minutes 80 --threads 1 --workers 1

        bench train cdn --model axial --minutes 15

        bench train cdn --model axial --combination difference --node-statistics --joint --statistic
        corr --encoder sea-corr.safetensors

        bench train cdn --steps 60000 --device cuda --workers 8 --cells 64000

        bench train cdn --from cdn --suite perturbseq --split unseen-cl --cell-lines sim-a --out
        tuned.safetensors
    """
    from cdnbench.commands import curriculum, heads
    from cdnbench.methods.cdn.trainer import Plan

    if model not in ("mechanism", "axial", "mlp"):
        raise InvalidParameter(f"--model takes mechanism, axial or mlp; got {model!r}.")
    if bool(start) != bool(suite) or (start and model != "mechanism"):
        raise InvalidParameter("--from and --suite go together, without --model axial or mlp.")
    unused = ("steps", "minutes", "run", "workers", "cells") if start else ("epochs",)
    for name in unused:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise InvalidParameter(
                f"--{name} says nothing {'with' if start else 'without'} --from."
            )
    options = _suite_options(context, suite)
    if combination not in ("concat", "difference"):
        raise InvalidParameter(f"--combination takes concat or difference; got {combination!r}.")
    if model == "mechanism":
        paper_only = (
            encoder != "sea",
            not pretrained,
            joint,
            combination != "concat",
            node_statistics,
            statistic != "precision",
            not marginals,
            not global_statistic,
            datasets != 4_000,
        )
        if any(paper_only):
            raise InvalidParameter(
                "--encoder, --no-pretrained, --joint, --combination, --node-statistics, "
                "--statistic, --no-marginals, --no-global "
                "and --datasets are of the paper's networks: give --model axial or mlp."
            )
    chosen = _prepare(device, threads, out)
    if start:
        from cdnbench.commands.fine_tune import fine_tune

        target = out or Path("results/train/cdn-cells/weights.safetensors")
        _check_out(target)
        _write(
            target,
            *fine_tune(start, suite, options, seed=seed, device=chosen, lr=lr, epochs=epochs),
        )
        return
    folder = run or Path("results/train") / ("cdn" if model == "mechanism" else f"cdn-{model}")
    plan = Plan(
        steps=steps,
        minutes=minutes,
        lr=lr if lr is not None else 1e-3 if model == "mechanism" else 5e-4,
    )
    if model == "mechanism":
        network, trained, making = curriculum.train_mechanism(
            folder, plan, seed=seed, device=chosen, workers=workers, cells=cells
        )
    else:
        from cdnbench.methods.cdn.differential import DifferentialConfig

        config = DifferentialConfig(
            encoder=encoder_config(statistic, marginals, global_statistic),
            head=model,  # type: ignore[arg-type]
            combination=combination,  # type: ignore[arg-type]
            node_statistics=node_statistics,
            joint=joint or not pretrained,
            pretrained=pretrained,
        )
        network, trained, making = heads.train_differential(
            folder,
            plan,
            config,
            encoder if pretrained else "",
            seed=seed,
            device=chosen,
            workers=workers,
            n_datasets=datasets,
        )
    _write(
        out or folder / "weights.safetensors",
        network.state_dict(),
        curriculum.card(making, trained, chosen),
    )


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
    cells: Annotated[
        int, typer.Option(min=25, help="Grid cells (N^2) a step; at most 16 graphs.")
    ] = 6_400,
    lr: Annotated[float, typer.Option(min=0, help="Learning rate at its highest.")] = 1e-3,
    statistic: Statistic = "precision",
    marginals: Marginals = True,
    global_statistic: GlobalStatistic = True,
) -> None:
    """Pretrain SEA, the encoder of `cdn-axial` and `cdn-mlp`: causal discovery on observational
    data.

    Examples:

        bench train sea --minutes 45 --threads 1

        bench train sea --steps 80000 --device cuda --workers 8
    """
    from cdnbench.commands import curriculum, pretraining
    from cdnbench.methods.cdn.trainer import Plan

    config = encoder_config(statistic, marginals, global_statistic)
    chosen = _prepare(device, threads, out)
    folder = run or Path("results/train/sea")
    plan = Plan(steps=steps, minutes=minutes, lr=lr)
    network, trained, making = pretraining.train_sea(
        folder, plan, config, seed=seed, device=chosen, workers=workers, cells=cells
    )
    _write(
        out or folder / "weights.safetensors",
        network.state_dict(),
        curriculum.card(making, trained, chosen),
    )


@train_app.command()
def ablations(
    table: Annotated[str, typer.Argument(help="table7 or table8.")],
    encoder_minutes: Annotated[
        float, typer.Option(min=0.01, help="Budget of each encoder.")
    ] = 10.0,
    head_minutes: Annotated[float, typer.Option(min=0.01, help="Budget of each head.")] = 5.0,
    datasets: Annotated[
        int, typer.Option(min=1, help="Size of the fixed training collection.")
    ] = 2_000,
    run: Annotated[Path, typer.Option("--run", help="Folder of all variants.")] = Path(
        "results/train/ablations"
    ),
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; absent: results/<table>.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="Of the suite: clean, dcdi or both.")] = "dcdi",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first K tasks of the suite.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Workers = 0,
    threads: Threads = 0,
) -> None:
    """Tables 7 and 8 on synthetic data: train every variant with one budget, run it on `synthetic`,
    show the table.

    Weights and results that are there are used as they are; repeat the command to go on.

    Examples:

        bench train ablations table8

        bench train ablations table7 --encoder-minutes 3 --head-minutes 2 --limit 24
    """
    from rich.console import Console

    from cdnbench.commands.ablations import TABLES, Budget, methods_of, train_variants
    from cdnbench.reports import build
    from cdnbench.runners.plan import Limits, make_plan
    from cdnbench.runners.run import execute
    from cdnbench.store import Store

    if table not in TABLES:
        raise InvalidParameter(f"bench train ablations takes {' or '.join(TABLES)}; got {table!r}.")
    if protocol not in ("clean", "dcdi", "both"):
        raise InvalidParameter(f"--protocol takes clean, dcdi or both; got {protocol!r}.")
    budget = Budget(
        encoder_minutes=encoder_minutes,
        head_minutes=head_minutes,
        datasets=datasets,
        seed=seed,
        device=_prepare(device, threads, None),
        workers=workers,
    )
    weights = train_variants(table, run.resolve(), budget)
    plan = make_plan(
        "synthetic",
        {"protocol": protocol},
        methods_of(weights, table),
        limit=limit,
        limits=Limits(),
    )
    store = Store(out or Path("results") / table)
    execute(plan, store, jobs=os.cpu_count() or 1, limits=Limits())
    build([store]).show(Console(), table)


def _suite_options(context: typer.Context, suite: str) -> dict:
    """What follows --suite."""
    from cdnbench.commands.options import suite_options
    from cdnbench.registry import SUITES, load_class

    if suite:
        names = [p.name.replace("_", "-") for p in context.command.params if p.name]
        return suite_options(context.args, load_class(SUITES, suite).info, names)  # type: ignore[attr-defined]
    if context.args:
        raise InvalidParameter(
            f"{context.args[0]!r} is no option of `bench train cdn`; `bench train cdn --help` "
            "lists them."
        )
    return {}


def encoder_config(statistic: str, marginals: bool, global_statistic: bool):
    """The encoder that the options name."""
    from cdnbench.methods.cdn.aggregator import EncoderConfig
    from cdnbench.methods.cdn.statistics import CHANNELS

    if statistic not in CHANNELS:
        raise InvalidParameter(f"--statistic takes {', '.join(CHANNELS)}; got {statistic!r}.")
    if not marginals and not global_statistic:
        raise InvalidParameter(
            "--no-marginals and --no-global together leave the encoder nothing to read."
        )
    return EncoderConfig(
        statistic=statistic,  # type: ignore[arg-type]
        marginals=marginals,
        global_statistic=global_statistic,
    )


def _prepare(device: str, threads: int, out: Path | None) -> str:
    """The device to train on. Says what is wrong before any work starts."""
    import torch

    from cdnbench.runners.provenance import provenance

    if out is not None:
        _check_out(out)
    if device not in ("auto", "cpu", "cuda"):
        raise InvalidParameter(f"--device takes auto, cpu or cuda; got {device!r}.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidParameter("--device cuda: torch sees no CUDA device. Use --device cpu.")
    provenance()  # the card names the commit that training began with
    if threads:
        torch.set_num_threads(threads)
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def _check_out(path: Path) -> None:
    """Whether weights and card can be written there; makes the folder."""
    from cdnbench.commands.options import check_writable

    if path.suffix != ".safetensors":
        raise InvalidParameter(f"--out takes a file that ends in .safetensors; got {path}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    check_writable(path)
    check_writable(path.with_suffix(".json"))


def _write(path: Path, tensors: dict, card: dict) -> None:
    from cdnbench.methods.cdn.weights import save_weights

    save_weights(path, tensors, card)
    size = path.stat().st_size / 1e6
    print(f"Wrote {path} ({size:.1f} MB) and its card {path.with_suffix('.json').name}.")
