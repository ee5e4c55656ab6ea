"""Text that can be stored and printed anywhere, whatever a method or a file put into it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

LONGEST = 2000
"""Characters of a reason or a note that are kept."""


def printable(text: str, longest: int = LONGEST) -> str:
    """The text on one line, cut to a length.

    Control characters, line separators and lone surrogates (which undecodable file names hold)
    become escapes such as `\\x1b`.
    """
    text = str(text)
    if len(text) <= longest and text.isprintable():
        return text
    # Cut first, since a reason may be of any size, and again, since escapes are longer.
    shown = "".join(map(_escaped, text[: longest + 1]))
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."


def printable_values(value: Any) -> Any:
    """JSON values with every text in them made printable; keys of mappings included."""
    match value:
        case str():
            return printable(value)
        case Mapping():
            return {printable(str(name)): printable_values(each) for name, each in value.items()}
        case list() | tuple():
            return [printable_values(each) for each in value]
        case _:
            return value


def _escaped(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character
