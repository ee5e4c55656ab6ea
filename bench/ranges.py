"""Which values a parameter of a method takes, and how messages say so.

A method declares them in its `info`, so that a value out of range is refused before any work:

    info = MethodInfo(..., takes={"alpha": BETWEEN_0_AND_1, "n_runs": at_least(1)})
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any


@dataclass(frozen=True)
class Values:
    """The values that a parameter takes.

    words: what they are, to follow "takes".
    holds: whether a value is one of them. It has to cope with values of any type.
    """

    words: str
    holds: Callable[[Any], bool]


def _numbers(words: str, holds: Callable[[float], bool]) -> Values:
    def is_one(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, Real):
            return False
        try:
            number = float(value)
        except OverflowError:  # a whole number of hundreds of digits
            return False
        return math.isfinite(number) and holds(number)

    return Values(words, is_one)


def at_least(least: float) -> Values:
    """Numbers from `least` on."""
    return _numbers(f"a number of {least:g} or more", lambda value: value >= least)


POSITIVE = _numbers("a positive number", lambda value: value > 0)
BETWEEN_0_AND_1 = _numbers("a number between 0 and 1, both excluded", lambda value: 0 < value < 1)
"""For levels of tests."""
FROM_0_TO_1 = _numbers("a number from 0 to 1", lambda value: 0 <= value <= 1)
ABOVE_0_TO_1 = _numbers("a number above 0 and up to 1", lambda value: 0 < value <= 1)
"""For shares of rows."""
BELOW_A_HALF = _numbers("a number from 0 to below 0.5", lambda value: 0 <= value < 0.5)
"""For shares at either end."""

TEXT = Values("a text", lambda value: isinstance(value, str) and bool(value))


def one_of(*texts: str) -> Values:
    """One of these texts."""
    return Values(" or ".join(texts), lambda value: isinstance(value, str) and value in texts)


def each(values: Values) -> Values:
    """Tuples of one value or more, all of which are among `values`."""

    def holds(value: Any) -> bool:
        return isinstance(value, tuple) and bool(value) and all(map(values.holds, value))

    return Values(f"one or more values, each of them {values.words}", holds)


def or_none(values: Values) -> Values:
    """These values, or None."""
    return Values(f"{values.words}, or None", lambda value: value is None or values.holds(value))
