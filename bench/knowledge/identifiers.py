"""Translation between names of the same gene, where files call it differently."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from cdnbench.knowledge.tables import read_table

_IDENTIFIER = re.compile(r"HGNC:\d+|ENS[A-Z]*\d+(\.\d+)?")


def renaming(identifiers: Path | None, genes: Iterable[str]) -> dict[str, str]:
    """Other name -> name among `genes`, according to a table of identifiers.

    The symbol and the identifiers of a gene are its primary names; everything else in its rows is
    an alias. A gene is called by its primary name among `genes`, or else by its only alias there.
    A primary name is never taken for an alias of another gene, and a name that would stand for two
    genes is left out. Without a table the mapping is empty.
    """
    if identifiers is None:
        return {}
    header, rows = read_table(identifiers)
    column = next((i for i, name in enumerate(header) if name.lower() == "symbol"), 0)
    primary, listed = defaultdict(set), defaultdict(set)
    for row in rows:
        fields = [{name.strip(' "') for name in field.split("|")} - {""} for field in row]
        every, symbols = set[str]().union(*fields), set[str]().union(*fields[column : column + 1])
        own = symbols | {name for name in every if _IDENTIFIER.fullmatch(name)}
        if own:
            primary[min(symbols or own)] |= own
            listed[min(symbols or own)] |= every
    primaries = set().union(*primary.values())
    genes_of = Counter(alias for every in listed.values() for alias in every - primaries)
    wanted, names = set(genes), defaultdict(set)
    for symbol, own in primary.items():
        aliases = {alias for alias in listed[symbol] if genes_of[alias] == 1}
        measured = own & wanted or aliases & wanted
        for other in (own | aliases) - wanted if len(measured) == 1 else ():
            names[other] |= measured
    return {other: measured.pop() for other, measured in names.items() if len(measured) == 1}
