"""What the commands of `bench train` share: their options, what is checked before any work starts,
and how weights are written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdnbench.errors import InvalidParameter
from cdnbench.fields import LARGEST

if TYPE_CHECKING:
    from cdnbench.methods.cdn.paper.aggregator import EncoderConfig
    from cdnbench.training.card import Origin, Product


def one_of(*choices: str) -> Callable[[Any, Any, str], str]:
    """A check for options that take one of a few words."""

    def check(context: typer.Context, option: typer.CallbackParam, value: str) -> str:
        if value not in choices:
            listed = ", ".join(choices[:-1]) + f" or {choices[-1]}"
            raise InvalidParameter(f"{option.opts[0]} takes {listed}; got {value!r}.")
        return value

    return check


def shipped_or_path(context: typer.Context, option: typer.CallbackParam, value: str) -> str:
    """A check for options that name weights: "" for none, a shipped name, or a .safetensors."""
    from cdnbench.methods.cdn.weights import MAKE

    if value and value not in MAKE and not value.endswith(".safetensors"):
        raise InvalidParameter(
            f"{option.opts[0]} takes the name of shipped weights ({', '.join(MAKE)}) or the path "
            f"of a .safetensors file with its card beside it; got {value!r}."
        )
    return value


Steps = Annotated[int, typer.Option(min=1, help="Steps of the whole run.")]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        help="Wall-clock budget. Training stops after this time, or after --steps.",
    ),
]
Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        help="Folder of the checkpoint and the log; by default results/train/ and the command's "
        "name.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="The .safetensors file to write; by default weights.safetensors in the folder of "
        "--run."
    ),
]
Seed = Annotated[
    int,
    typer.Option(min=0, max=LARGEST, help="Random seed of the data and the initial weights."),
]
Device = Annotated[
    str, typer.Option(help="auto, cpu or cuda.", callback=one_of("auto", "cpu", "cuda"))
]
Workers = Annotated[
    int,
    typer.Option(min=0, help="Processes that make batches ahead of time. 0: training makes them."),
]
Threads = Annotated[
    int, typer.Option(min=0, help="CPU threads of the network. 0 stands for all cores.")
]
LearningRate = Annotated[float, typer.Option(min=0, max=10, help="Learning rate at its highest.")]
Datasets = Annotated[int, typer.Option(min=1, help="Size of the fixed training collection.")]
Statistic = Annotated[
    str, typer.Option(help="Global statistic: precision, corr or corr+cov (Table 8).")
]
Marginals = Annotated[
    bool,
    typer.Option(
        "--marginals/--no-marginals", help="Whether the encoder reads marginal estimates (Table 7)."
    ),
]
GlobalStatistic = Annotated[
    bool,
    typer.Option(
        "--global/--no-global", help="Whether the encoder reads the global statistic (Table 7)."
    ),
]


def encoder_config(statistic: str, marginals: bool, global_statistic: bool) -> EncoderConfig:
    """The encoder that the options describe.

    Raises
    ------
    InvalidParameter: a statistic that does not exist, or an encoder with nothing to read.
    """
    from cdnbench.methods.cdn.paper.aggregator import EncoderConfig
    from cdnbench.methods.cdn.paper.statistics import CHANNELS

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


def prepare(device: str, threads: int, out: Path | None) -> str:
    """Set the threads and choose the device, "cpu" or "cuda".

    out: where weights will be written, if that is known already.

    Raises
    ------
    InvalidParameter: there is no such device, or `out` does not end in .safetensors.
    BenchError: `out` cannot be written.
    """
    import torch

    if out is not None:
        check_out(out)
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidParameter("--device cuda: torch sees no CUDA device. Use --device cpu.")
    if threads:
        torch.set_num_threads(threads)
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def origin() -> Origin:
    """The command as it was typed, and the state of the code and the machine. Ask for it before
    training starts: the card names the commit that training began with."""
    from dataclasses import asdict

    from cdnbench.runners.provenance import provenance
    from cdnbench.training.card import Origin

    return Origin(command=" ".join(["bench", *sys.argv[1:]]), provenance=asdict(provenance()))


def refuse(options: Mapping[str, Any], command: str) -> None:
    """Check that none of these options was given.

    Raises
    ------
    InvalidParameter: one was; the message names all that were.
    """
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise InvalidParameter(f"{command} does not take {', '.join(given)}.")


def check_out(path: Path) -> None:
    """Check that weights and their card can be written; makes the folder.

    Raises
    ------
    InvalidParameter: the name does not end in .safetensors. BenchError: it cannot be written.
    """
    from cdnbench.commands.options import check_writable

    if path.suffix != ".safetensors":
        raise InvalidParameter(f"--out takes a file that ends in .safetensors; got {path}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    check_writable(path)
    check_writable(path.with_suffix(".json"))


def write_product(path: Path, product: Product[Any], device: str, start: Origin) -> None:
    """Write the weights of a trained network and their card."""
    from cdnbench.training.card import card

    write(path, product.network.state_dict(), card(product, device, start))


def write(path: Path, tensors: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Write weights and card, and say so."""
    from cdnbench.methods.cdn.weights import save_weights

    save_weights(path, tensors, card)
    size = path.stat().st_size / 1e6
    print(f"Wrote {path} ({size:.1f} MB) and its card {path.with_suffix('.json').name}.")
