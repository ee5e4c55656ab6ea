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


def did_you_mean(kind: str, name: str, known: Iterable[str], hint: str = "") -> UnknownName:
    """The error for a name that is not known, with the nearest known names, whatever their case.

    hint: a sentence that stands last.
    """
    known = sorted(known)
    lower = {other.lower(): other for other in known}
    near = [lower[n] for n in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    words = [f"There is no {kind} named {name!r}."]
    words += [f"Did you mean {' or '.join(near)}?"] if near else []
    words += [f"Known: {', '.join(known) or 'none'}.", hint]
    return UnknownName(" ".join(filter(None, words)))
