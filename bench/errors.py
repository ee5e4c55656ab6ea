"""The errors a user can meet: each names the culprit and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Something the user can put right; the command line prints it without a traceback and exits
    with code 2."""


class InvalidTask(BenchError, ValueError):
    """Samples, names, candidates or targets that do not form a task."""


class InvalidData(BenchError, ValueError):
    """A data file that is broken, or not what it is taken for."""


class UnknownName(BenchError, KeyError):
    """A method, suite, parameter or option that does not exist."""

    def __str__(self) -> str:
        return str(self.args[0])


class InvalidParameter(BenchError, ValueError):
    """A parameter or option whose value cannot be used."""


class CannotRun(Exception):
    """A method cannot run on this task. The runner records `skipped: <reason>`; it is not a
    failure."""


def did_you_mean(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a name that is not known, with the nearest known names."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return UnknownName(
        f"There is no {kind} named {name!r}.{hint} Known: {', '.join(known) or 'none'}."
    )
