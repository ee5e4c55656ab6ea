"""`bench train`: make the weights that ship, or better ones. One command per network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from cdnbench.commands.ablations import ablations
from cdnbench.commands.average import average
from cdnbench.commands.fine_tune import fine_tune
from cdnbench.commands.old_spellings import modern
from cdnbench.commands.options import spellings
from cdnbench.commands.training_options import (
    Datasets,
    Device,
    GlobalStatistic,
    LearningRate,
    Marginals,
    Minutes,
    Out,
    Run,
    Seed,
    Statistic,
    Steps,
    Threads,
    Workers,
    encoder_config,
    one_of,
    origin,
    prepare,
    shipped_or_path,
    write_product,
)
from cdnbench.errors import InvalidParameter, UnknownName, did_you_mean

RUNS = Path("results/train")
OWN_ERRORS = {"allow_extra_args": True, "ignore_unknown_options": True}


class TrainGroup(TyperGroup):
    """`bench train`, which also takes commands in their old spelling."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, modern(args))


class TrainCommand(TyperCommand):
    """A command that answers an option it does not have with the nearest one, or with the commands
    that have it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        if ctx.args:
            raise self.refusal(ctx)
        return rest

    def refusal(self, ctx: Any) -> InvalidParameter | UnknownName:
        """The error for the first argument that the command does not take."""
        word = ctx.args[0].partition("=")[0]
        command = f"bench train {self.name}"
        if not word.startswith("--"):
            return InvalidParameter(
                f"`{command}` does not take {word!r}; options are written --name value."
            )
        others = [
            name
            for name, other in ctx.parent.command.commands.items()
            if word.removeprefix("--") in spellings(other)
        ]
        if others:
            listed = " and ".join(f"`bench train {name}`" for name in others)
            return InvalidParameter(f"`{command}` has no option {word}; it belongs to {listed}.")
        known = {f"--{name}" for name in spellings(self)}
        return did_you_mean(f"option of `{command}`", word, known)


train_app = typer.Typer(
    cls=TrainGroup,
    help="Train the networks on new synthetic data, or fine-tune them on a suite's tasks. A run "
    "on synthetic data can be stopped at any time; repeat its command to go on.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@train_app.command(cls=TrainCommand, context_settings=OWN_ERRORS)
def cdn(
    steps: Steps = 100_000,
    minutes: Minutes = None,
    run: Run = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Workers = 0,
    threads: Threads = 0,
    lr: LearningRate = 5e-4,
    cells: Annotated[
        int, typer.Option(min=100, help="Grid cells (regimes x N^2) per step.")
    ] = 8_000,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="Weights of cdn or cdn-suites to start from; without, from nothing.",
            callback=shipped_or_path,
        ),
    ] = "",
    laws: Annotated[
        str,
        typer.Option(
            help="Training data: cdn (worlds, the suites' laws and screens), worlds, suites, or "
            "paper (hard interventions only, as cdn-axial).",
            callback=one_of("cdn", "worlds", "suites", "paper"),
        ),
    ] = "cdn",
    without: Annotated[
        str,
        typer.Option(
            help="What training data goes without: physical, cells, bulk, arrays, marginals, "
            "dependence, few-rows, silence, hidden-causes, partial-effects or screens."
        ),
    ] = "",
    forms: Annotated[
        str,
        typer.Option(
            help="What the network sees of a variable: level, score or both.",
            callback=one_of("level", "score", "both"),
        ),
    ] = "both",
    evidence: Annotated[
        bool,
        typer.Option(
            "--evidence/--no-evidence",
            help="Whether it sees the evidence of single variables. Without, it has no use for "
            "screens: --without screens.",
        ),
    ] = True,
    contexts: Annotated[
        bool,
        typer.Option(
            "--contexts/--no-contexts", help="Whether variables see their regime as a whole."
        ),
    ] = True,
) -> None:
    """Train the network that reads every variable in several forms, on worlds of many kinds.

    Examples:

        bench train cdn --from cdn-suites --minutes 100 --threads 1 --workers 1

        bench train cdn --device cuda --workers 8 --cells 32000

        bench train cdn --laws paper --run results/train/cdn-hard --minutes 100
    """
    chosen = prepare(device, threads, out)
    from cdnbench.methods.cdn.forms_network import FORMS, FormsShape
    from cdnbench.training.loop import Plan
    from cdnbench.training.mixtures import check_left_out
    from cdnbench.training.wide import train_wide

    check_left_out(without)

    begun = origin()
    folder = run or RUNS / "cdn"
    product = train_wide(
        folder,
        Plan(steps=steps, minutes=minutes, lr=lr),
        seed=seed,
        device=chosen,
        workers=workers,
        cells=cells,
        start=start,
        laws=laws,
        leave_out=without,
        shape=FormsShape(
            forms=FORMS if forms == "both" else (forms,), evidence=evidence, contexts=contexts
        ),
    )
    write_product(out or folder / "weights.safetensors", product, chosen, begun)


@train_app.command("cdn-suites", cls=TrainCommand, context_settings=OWN_ERRORS)
def cdn_suites(
    steps: Steps = 10_000,
    minutes: Minutes = None,
    run: Run = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Workers = 0,
    threads: Threads = 0,
    lr: LearningRate = 1e-3,
    cells: Annotated[
        int, typer.Option(min=100, help="Grid cells (regimes x N^2) per step.")
    ] = 8_000,
) -> None:
    """Train the network behind the method `cdn-suites`.

    Examples:

        bench train cdn-suites --minutes 80 --threads 1 --workers 1

        bench train cdn-suites --steps 60000 --device cuda --workers 8 --cells 64000
    """
    chosen = prepare(device, threads, out)
    from cdnbench.training.loop import Plan
    from cdnbench.training.mechanism import train_mechanism

    start = origin()
    folder = run or RUNS / "cdn-suites"
    product = train_mechanism(
        folder,
        Plan(steps=steps, minutes=minutes, lr=lr),
        seed=seed,
        device=chosen,
        workers=workers,
        cells=cells,
    )
    write_product(out or folder / "weights.safetensors", product, chosen, start)


def _paper_network(head: str) -> Callable[..., None]:
    """The command that trains `cdn-<head>`."""

    def train(
        steps: Steps = 10_000,
        minutes: Minutes = None,
        run: Run = None,
        out: Out = None,
        seed: Seed = 0,
        device: Device = "auto",
        workers: Workers = 0,
        threads: Threads = 0,
        lr: LearningRate = 5e-4,
        datasets: Datasets = 4_000,
        laws: Annotated[
            str,
            typer.Option(
                help="Training data: paper (hard interventions only), or cdn (the worlds and the "
                "suites' laws of cdn, in data sets of 10 rows and more).",
                callback=one_of("paper", "cdn"),
            ),
        ] = "paper",
        encoder: Annotated[
            str,
            typer.Option(
                help="SEA weights to start from, by shipped name or path.",
                callback=shipped_or_path,
            ),
        ] = "sea",
        pretrained: Annotated[
            bool,
            typer.Option(
                "--pretrained/--no-pretrained",
                help="Whether to start from encoder weights. Without them, the encoder is trained "
                "jointly (Table 7).",
            ),
        ] = True,
        joint: Annotated[
            bool,
            typer.Option("--joint", help="Train the encoder too, with a loss on the graph."),
        ] = False,
        combination: Annotated[
            str,
            typer.Option(
                help="How the encodings before and after are combined: concat or difference.",
                callback=one_of("concat", "difference"),
            ),
        ] = "concat",
        node_statistics: Annotated[
            bool,
            typer.Option(
                "--node-statistics", help="Give the head the mean and variance of each node."
            ),
        ] = False,
        statistic: Statistic = "precision",
        marginals: Marginals = True,
        global_statistic: GlobalStatistic = True,
    ) -> None:
        config = encoder_config(statistic, marginals, global_statistic)
        chosen = prepare(device, threads, out)
        from cdnbench.methods.cdn.paper.differential import DifferentialConfig
        from cdnbench.training.heads import CURRICULA, train_differential
        from cdnbench.training.loop import Plan

        start = origin()
        folder = run or RUNS / f"cdn-{head}"
        product = train_differential(
            folder,
            Plan(steps=steps, minutes=minutes, lr=lr),
            DifferentialConfig(
                encoder=config,
                head=head,  # type: ignore[arg-type]
                combination=combination,  # type: ignore[arg-type]
                node_statistics=node_statistics,
                joint=joint or not pretrained,
                pretrained=pretrained,
            ),
            encoder if pretrained else "",
            seed=seed,
            device=chosen,
            workers=workers,
            n_datasets=datasets,
            laws=CURRICULA[laws],
        )
        write_product(out or folder / "weights.safetensors", product, chosen, start)

    return train


for _head, _layer in (("axial", "an axial layer"), ("mlp", "a perceptron")):
    train_app.command(
        name=f"cdn-{_head}",
        cls=TrainCommand,
        context_settings=OWN_ERRORS,
        help=f"""Train the paper's network with {_layer} on the encoder SEA.

    Examples:

        bench train cdn-{_head} --minutes 15

        bench train cdn-{_head} --no-pretrained --datasets 2000

        bench train cdn-{_head} --laws cdn --run results/train/cdn-{_head}-wide

        bench train cdn-{_head} --combination difference --node-statistics --joint --statistic corr
        --encoder sea-corr.safetensors
    """,
    )(_paper_network(_head))


@train_app.command(cls=TrainCommand, context_settings=OWN_ERRORS)
def sea(
    steps: Steps = 10_000,
    minutes: Minutes = None,
    run: Run = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Workers = 0,
    threads: Threads = 0,
    lr: LearningRate = 1e-3,
    cells: Annotated[
        int, typer.Option(min=25, help="Grid cells (N^2) per step, in 16 graphs at most.")
    ] = 6_400,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="SEA weights to start from, by shipped name or path. They may be of another "
            "--statistic. Without, from nothing.",
            callback=shipped_or_path,
        ),
    ] = "",
    statistic: Statistic = "precision",
    marginals: Marginals = True,
    global_statistic: GlobalStatistic = True,
) -> None:
    """Pretrain SEA, the encoder of `cdn-axial` and `cdn-mlp`.

    It learns causal discovery from observational data.

    Examples:

        bench train sea --minutes 45 --threads 1

        bench train sea --steps 80000 --device cuda --workers 8

        bench train sea --from sea --statistic corr --minutes 8 --run results/train/sea-corr
    """
    config = encoder_config(statistic, marginals, global_statistic)
    chosen = prepare(device, threads, out)
    from cdnbench.training.encoder import train_sea
    from cdnbench.training.loop import Plan

    begun = origin()
    folder = run or RUNS / "sea"
    product = train_sea(
        folder,
        Plan(steps=steps, minutes=minutes, lr=lr),
        config,
        seed=seed,
        device=chosen,
        workers=workers,
        cells=cells,
        start=start,
    )
    write_product(out or folder / "weights.safetensors", product, chosen, begun)


train_app.command(name="average", cls=TrainCommand, context_settings=OWN_ERRORS)(average)
train_app.command(name="fine-tune", context_settings=OWN_ERRORS)(fine_tune)
train_app.command(cls=TrainCommand, context_settings=OWN_ERRORS)(ablations)
