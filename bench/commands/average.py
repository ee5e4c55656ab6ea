"""`bench train average`: the mean of weights of `cdn`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdnbench.commands.training_options import Threads, origin, prepare, write


def average(
    weights: Annotated[
        list[str], typer.Argument(help="Two or more weights of cdn: shipped names or paths.")
    ],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    threads: Threads = 0,
) -> None:
    """Average weights of `cdn`, one of which was trained on from the other.

    The card names both, and what the average reaches on `synthetic-dev`.

    Examples:

        bench train average first.safetensors second.safetensors --out cdn.safetensors
    """
    prepare("cpu", threads, out)
    from cdnbench.training.averaging import average as averaged

    tensors, card = averaged(weights, origin())
    write(out, tensors, card)
