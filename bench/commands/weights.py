"""`bench weights`: checkpoints of the public CDN code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

weights_app = typer.Typer(no_args_is_help=True, help="Use the authors' published checkpoints.")


@weights_app.callback()
def weights() -> None:
    """Use the authors' published checkpoints."""


@weights_app.command(name="import")
def import_checkpoint(
    file: Annotated[
        Path, typer.Argument(help="A checkpoint of the public SEA or CDN code: .ckpt or .pt.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The .safetensors file to write; by default beside FILE, named after it."
        ),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="The SEA checkpoint, where FILE holds a target head without its encoder."
        ),
    ] = None,
) -> None:
    """Translate a published checkpoint into weights that the method cdn-public runs.

    Nothing in the file is executed. Writes the weights and, beside them, a card (.json) that says
    what they are.

    Examples:

        bench weights import cdn_synthetic-all.ckpt

        bench weights import cdn_finetuned-seen.ckpt --out weights/cdn-seen.safetensors

        bench predict control.csv treated.csv --method
        cdn-public:weights=cdn_synthetic-all.safetensors
    """
    from cdnbench.commands.options import check_writable
    from cdnbench.methods.cdn.public.weights import import_weights

    target = out or file.with_suffix(".safetensors")
    if file.exists():
        check_writable(target)
        check_writable(target.with_suffix(".json"))
    made = import_weights(file, target, encoder=encoder)
    parts = (
        "encoder only"
        if made.config.head == "none"
        else f"{made.config.head} head, {made.config.combination}"
    )
    print(f"{made.weights}: {parts}; global statistic: {made.statistic}")
    print(f"{made.card}: what they are")
    if made.config.head != "none":
        print(f"Use them: --methods cdn-public:weights={made.weights}")
