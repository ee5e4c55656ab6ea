"""What commands share: a suite's own options on the command line of `bench run`, and files to
write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cdnbench.errors import BenchError, InvalidParameter, did_you_mean
from cdnbench.suite import SuiteInfo


def check_writable(target: Path) -> None:
    """Check that a file can be written before the work for it starts.

    Raises
    ------
    BenchError: it is a folder, or its folder does not exist or is not writable.
    """
    if target.is_dir():
        raise BenchError(
            f"{target} is a folder; name a file to write, and put the folder of results before "
            "the options."
        )
    folder = target.resolve().parent
    if not folder.is_dir():
        raise BenchError(f"Cannot write {target}: the folder {folder} does not exist.")
    # The new file takes the place of the old one, which the folder has to allow.
    places = [folder] if target.is_file() or not target.exists() else []
    places += [target] if target.exists() else []
    if not all(os.access(place, os.W_OK) for place in places):
        raise BenchError(f"Cannot write {target}: permission denied.")


def check_no_input(target: Path, option: str, inputs: Iterable[Path]) -> None:
    """Check that a file to write is none of the files to read, under any name or link.

    Raises
    ------
    BenchError: it is; the message names the option and the input.
    """
    for source in inputs:
        same = target.resolve() == source.resolve()
        if same or (target.exists() and source.exists() and os.path.samefile(target, source)):
            raise BenchError(
                f"{option} names the input {source}, which would be overwritten. Name another file."
            )


def spellings(command: Any) -> set[str]:
    """Every spelling of a command's own options, without the two hyphens before it."""
    every = (o for p in command.params for o in (*p.opts, *p.secondary_opts))
    return {option.removeprefix("--") for option in every if option.startswith("--")}


def suite_options(
    arguments: Sequence[str],
    suite: SuiteInfo,
    common: Iterable[str],
    *,
    command: str = "bench run",
) -> dict[str, Any]:
    """`["--protocol", "dcdi", "--track=single"]` -> {"protocol": "dcdi", "track": "single"}.

    common: names of the options that the command itself takes, for the hint. command: its name.

    Raises
    ------
    BenchError: the suite declares an option that the command has already.
    UnknownName: an option that neither the suite nor `bench run` has.
    InvalidParameter: a value that is missing, or that the option does not accept.
    """
    known = {option.name: option for option in suite.options}
    if taken := [name for name in known if name.replace("_", "-") in common]:
        raise BenchError(
            f"The suite {suite.name} declares the option {taken[0]}, but `{command}` has an option "
            "of this name. Rename that of the suite."
        )
    chosen: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise InvalidParameter(f"{word!r} is not an option; options are written --name value.")
        name, equals, value = word[2:].partition("=")
        key = name.replace("-", "_")
        if key not in known:
            names = {o.replace("_", "-") for o in [*known, *common]}
            raise did_you_mean(f"option of `{command} --suite {suite.name}`", name, names)
        if not equals:
            if not rest or rest[0].startswith("--"):
                what = known[key].takes if known[key].choices else known[key].help
                raise InvalidParameter(f"--{name} needs a value: {what}.")
            value = rest.pop(0)
        chosen[key] = value
    checked = suite.checked(chosen)
    return {key: checked[key] for key in chosen}


def counted(n: int, what: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
