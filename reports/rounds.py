"""Rounds of subsampling cells: the same tasks again with fewer cells, of which Table 10 tells the
spread.

They are no results of their own, so that tables and figures with one block per combination of
factors show all cells alone, where these were run.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from cdnbench.reports.factors import ALL_CELLS, SUBSAMPLE
from cdnbench.reports.frame import Results


def without_rounds(results: Results, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that are of no round of subsampling. Rounds without results on all cells stay.

    frame: with the factors of the results as columns.
    """
    keys = _rounds(results)
    if not keys or frame.empty:
        return frame
    rounds = (frame[SUBSAMPLE].astype(str) != ALL_CELLS).to_numpy()
    names = list(results.factors.names)
    own = pd.MultiIndex.from_frame(frame.loc[rounds, names].astype(str))
    left_out = np.zeros(len(frame), bool)
    left_out[rounds] = own.isin(list(keys))
    return frame[~left_out]


def rounds_note(results: Results) -> tuple[str, ...]:
    """A note on what `without_rounds` leaves out, if there is any."""
    at = results.factors.names.index(SUBSAMPLE)
    rounds = sorted({key[at] for key in _rounds(results)}, key=lambda text: (len(text), text))
    if not rounds:
        return ()
    only = _only_in_rounds(results)
    missing = f" Only there, and so in no row here: {', '.join(only)}." if only else ""
    return (
        f"Rounds of subsampling cells ({', '.join(rounds)}) are left out: --table table10 shows "
        f"how much the values vary over them.{missing}",
    )


def _only_in_rounds(results: Results) -> list[str]:
    """Labels that would have a row if no rounds were left out, and have none."""
    labels = results.readings[[*results.factors.names, "label"]].drop_duplicates().astype(str)
    return sorted(set(labels["label"]) - set(without_rounds(results, labels)["label"]))


@lru_cache(maxsize=4)
def _rounds(results: Results) -> frozenset[tuple[str, ...]]:
    """The factors of rounds of tasks that were run on all cells too."""
    names = list(results.factors.names)
    found = results.readings[names].drop_duplicates().astype(str)
    keys = set(found.itertuples(index=False, name=None))
    at = names.index(SUBSAMPLE)
    return frozenset(
        key
        for key in keys
        if key[at] != ALL_CELLS and (*key[:at], ALL_CELLS, *key[at + 1 :]) in keys
    )
