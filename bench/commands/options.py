"""What commands share: a suite's own options on the command line of `bench run`, and files to
write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cdnbench.errors import BenchError, InvalidParameter, did_you_mean
from cdnbench.suite import SuiteInfo, SuiteOption


def check_writable(target: Path) -> None:
    """Whether a file can be written, before the work for it starts.

    Raises
    ------
    BenchError: it is a folder, or its folder is not there or not writable.
    """
    if target.is_dir():
        raise BenchError(
            f"{target} is a folder; name a file to write, and put the folder of results before "
            "the options."
        )
    folder = target.resolve().parent
    if not folder.is_dir():
        raise BenchError(f"Cannot write {target}: the folder {folder} does not exist.")
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise BenchError(f"Cannot write {target}: permission denied.")


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
    UnknownName: an option that neither the suite nor the command has. InvalidParameter: a value
    that is missing or not among the choices.
    """
    known = {option.name: option for option in suite.options}
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
                raise InvalidParameter(f"--{name} needs a value: {_choices(known[key])}.")
            value = rest.pop(0)
        chosen[key] = _typed(known[key], value)
    return chosen


def _typed(option: SuiteOption, text: str) -> Any:
    if option.choices and text not in option.choices:
        raise InvalidParameter(f"--{option.name} takes {_choices(option)}; got {text!r}.")
    if isinstance(option.default, bool):
        if text.lower() not in ("true", "false", "yes", "no"):
            raise InvalidParameter(f"--{option.name} takes true or false; got {text!r}.")
        return text.lower() in ("true", "yes")
    if isinstance(option.default, int | float):
        try:
            return type(option.default)(text)
        except ValueError:
            raise InvalidParameter(f"--{option.name} takes a number; got {text!r}.") from None
    return text


def _choices(option: SuiteOption) -> str:
    return " or ".join(option.choices) if option.choices else option.help
