"""`bench train fine-tune`: weights of `cdn`, trained on with the tasks of a suite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdnbench.commands.training_options import (
    Device,
    Seed,
    Threads,
    check_out,
    origin,
    prepare,
    shipped_or_path,
    write,
)


def fine_tune(
    context: typer.Context,
    suite: Annotated[
        str,
        typer.Option(help="A suite with training tasks; the suite's own options can follow."),
    ],
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="Weights of cdn to start from, by shipped name or path.",
            callback=shipped_or_path,
        ),
    ] = "cdn",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training tasks; by default 2.")
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(min=0, max=10, help="Learning rate at its highest; by default 1e-4."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")] = Path(
        "results/train/cdn-cells/weights.safetensors"
    ),
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Fine-tune weights of `cdn` on the labelled perturbations of a suite.

    The weights are for `--methods cdn:weights=FILE`. No run scores them on tasks that they
    were fine-tuned on.

    Examples:

        bench train fine-tune --suite perturbseq --split unseen-cl --cell-lines sim-a --out
        tuned.safetensors

        bench train fine-tune --from tuned.safetensors --suite perturbseq --data my-cells --epochs 1
        --out again.safetensors
    """
    from cdnbench.commands.options import spellings, suite_options
    from cdnbench.registry import SUITES, load_class, load_suite

    options = suite_options(
        context.args,
        load_class(SUITES, suite).info,  # type: ignore[attr-defined]
        spellings(context.command),
        command="bench train fine-tune",
    )
    chosen = prepare(device, threads, out)
    from cdnbench.methods.cdn.weights import read_card
    from cdnbench.suite import LabelledTasks
    from cdnbench.training import fine_tuning

    read_card(start, "cdn")  # weights that are missing are told before any work
    loaded = load_suite(suite, **options)
    specs = fine_tuning.training_specs(loaded)
    check_out(out)
    tensors, card = fine_tuning.fine_tune(
        start,
        loaded,
        options,
        specs,
        LabelledTasks(loaded, specs),
        seed=seed,
        device=chosen,
        learning_rate=lr,
        epochs=epochs,
        origin=origin(),
    )
    write(out, tensors, card)
