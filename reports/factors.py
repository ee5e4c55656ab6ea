"""Factors: what a report never averages over.

A suite declares its factors, and records carry them. Results that differ in a factor stand in
blocks of their own. Whatever any record declares is a factor for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

SUITE = "suite"
SUBSET = "subset"
SUBSAMPLE = "subsample"
ALL_CELLS = "-1"
"""The `subsample` of a task with all of its cells; the others have the number of their round."""

BUILT_IN: Mapping[str, str] = {
    "split": "",
    "protocol": "",
    SUBSET: "",
    "masking": "none",
    "standardise": "none",
    "track": "joint",
    SUBSAMPLE: ALL_CELLS,
}
"""Factors that are always columns, in this order, with the value that goes without saying.

Records of versions that did not store factors have these.
"""


@dataclass(frozen=True)
class Factors:
    """The factors of a set of results.

    names: `suite`, the built-in ones, then the others that are declared, by name.
    usual: suite -> factor -> the value that goes without saying in titles.
    """

    names: tuple[str, ...] = (SUITE, *BUILT_IN)
    usual: Mapping[str, Mapping[str, str]] | None = None

    @classmethod
    def of(cls, declared: Iterable[tuple[str, Mapping[str, str] | None]]) -> Factors:
        """The factors of (suite, what one of its records declares) pairs."""
        usual: dict[str, dict[str, str]] = {}
        for suite, factors in declared:
            own = {**(factors or {}), SUBSAMPLE: ALL_CELLS}  # which `values` gives for all cells
            usual.setdefault(suite, dict(BUILT_IN)).update(own)
        new = {name for own in usual.values() for name in own} - {SUITE, *BUILT_IN}
        return cls((SUITE, *BUILT_IN, *sorted(new)), usual)

    def values(self, suite: str, metadata: Mapping[str, object]) -> dict[str, str]:
        """Factor -> its value as text, "" where a task has none."""
        found = {name: _text(metadata.get(name)) for name in self.names}
        if SUBSAMPLE in metadata and not found[SUBSAMPLE]:
            found[SUBSAMPLE] = ALL_CELLS
        return {**found, SUITE: suite}

    def blocks(self, frame: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
        """Each combination of the factors with its rows, in order."""
        for key, rows in frame.groupby(list(self.names), observed=True, sort=True):
            yield tuple(map(str, key)), rows  # type: ignore[arg-type]

    def rows(self, frame: pd.DataFrame, key: tuple[str, ...]) -> pd.DataFrame:
        """The rows of one combination."""
        same = np.ones(len(frame), bool)
        for factor, value in zip(self.names, key, strict=True):
            same &= (frame[factor] == value).to_numpy()
        return frame[same]

    def told(self, key: tuple[str, ...]) -> list[tuple[str, str]]:
        """(factor, value) of what a title has to say, the suite left out."""
        usual = {**BUILT_IN, **(self.usual or {}).get(key[0], {})}
        factors = list(zip(self.names, key, strict=True))[1:]
        return [(name, value) for name, value in factors if value not in ("", usual.get(name))]


def _text(value: object) -> str:
    return "" if value is None else str(value)
