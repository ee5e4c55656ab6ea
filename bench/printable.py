"""Text that can be stored and printed anywhere, whatever a method or a file put into it."""

from __future__ import annotations

import unicodedata

LONGEST = 2000
"""Characters of a reason or a note that are kept."""


def printable(text: str, longest: int = LONGEST) -> str:
    """The text on one line, cut to a length.

    Control characters, line separators and lone surrogates (which undecodable file names hold)
    become escapes such as `\\x1b`.
    """
    # Cut first, since a reason may be of any size, and again, since escapes are longer.
    shown = "".join(map(_escaped, str(text)[: longest + 1]))
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."


def _escaped(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character
