"""The command line: `bench run | report | predict | list | compare | logs | compact | merge |
doctor | data | train | weights`."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from cdnbench import __version__
from cdnbench.commands.compact import compact
from cdnbench.commands.compare import compare
from cdnbench.commands.data import data_app
from cdnbench.commands.describe import describe
from cdnbench.commands.doctor import doctor
from cdnbench.commands.list import list_names
from cdnbench.commands.logs import logs
from cdnbench.commands.merge import merge
from cdnbench.commands.predict import predict
from cdnbench.commands.report import latex_to_standard_output, report
from cdnbench.commands.reproduce import reproduce
from cdnbench.commands.run import run
from cdnbench.commands.train import train_app
from cdnbench.commands.weights import weights_app
from cdnbench.errors import BenchError, CannotRun
from cdnbench.files import FULL

app = typer.Typer(
    name="bench",
    help="Which variables did an intervention target? Run methods, compare them, and use them on "
    "your own samples.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"bench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    pass


app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(run)
app.command()(report)
app.command()(reproduce)
app.command()(predict)
app.command(name="list")(list_names)
app.command()(compare)
app.command()(logs)
app.command()(compact)
app.command()(merge)
app.command()(doctor)
data_app.command()(describe)
app.add_typer(data_app, name="data")
app.add_typer(train_app, name="train")
app.add_typer(weights_app, name="weights")


_CURES = {
    errno.EMFILE: ". Allow more with `ulimit -n 1024`, or run fewer jobs at once (--jobs).",
    **dict.fromkeys(FULL, ". Make room on its disk, or name a folder on another one."),
    errno.EAGAIN: ". Allow more processes with `ulimit -u`, or run fewer jobs at once (--jobs).",
}
"""What to do where the system refuses files, processes or room on a disk."""


def main() -> None:
    """Exit code 0: all is well; 1: some jobs failed; 2: the command cannot be carried out as
    written; 130: interrupted."""
    usable_streams()
    try:
        app(latex_to_standard_output(sys.argv[1:]))
    except (BenchError, CannotRun) as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except OSError as error:  # disk full, no permission
        print(f"bench: {error}{_CURES.get(error.errno or 0, '')}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        sys.exit(130)


def usable_streams() -> None:
    """Make it safe to print: what the terminal's encoding lacks becomes a question mark, and what
    is printed to a stream that was closed is lost."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # else the next file that is opened would take its place
            # Inherited, since the processes of jobs need it as well.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if number and getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


if __name__ == "__main__":
    main()
