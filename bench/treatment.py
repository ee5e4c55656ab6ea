"""What is done to the values of a user's own samples before methods get them.

One rule holds for one file and for two. Counts, whole or estimated, become log(1 + counts per ten
thousand), normalised counts of genes get a logarithm, and all other values stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cdnbench.values import Kind

FEW_VARIABLES = 100
"""With fewer, the total of a row is no measure of its depth: it moves with every variable."""
INTENSITY = 100
"""Counts of reads or molecules have smaller values than this somewhere; intensities have none."""
SMALL_COUNT = 10
"""Whole numbers of a table up to here may be grades or classes."""
TARGET_SUM = 1e4
WORDS: dict[Kind, str] = {
    "counts": "counts",
    "normalised": "normalised counts",
    "log": "logarithms of counts",
    "scaled": "scaled values, of both signs",
}

Action = Literal["as they are", "log", "log of shares"]


@dataclass(frozen=True)
class Treatment:
    """action: what is done to all rows alike. kind: of the values afterwards. note: a sentence that
    says so."""

    action: Action
    kind: Kind
    note: str


@dataclass(frozen=True)
class Seen:
    """What is known of the values.

    genes: whether the variables are genes. one_total: whether the rows have one total, as after
    normalisation. column: with the totals, "" for the sums of rows. can_name: whether the user can
    name such a column. lowest: the smallest value above 0.
    """

    kind: Kind
    largest: float
    n_variables: int
    genes: bool
    one_total: bool
    lowest: float = 1.0
    column: str = ""
    can_name: bool = True


def treatment_of(seen: Seen) -> Treatment:
    """What is done to values of which these things are known."""
    looks = f"The values look like {WORDS[seen.kind]}"
    few = seen.n_variables < FEW_VARIABLES and not seen.column
    if seen.kind == "counts":
        if not seen.genes and seen.largest <= SMALL_COUNT and not seen.column:
            note = (
                f"The values are whole numbers up to {seen.largest:g}; they are used as they are."
            )
            return Treatment("as they are", "counts", note)
        if not seen.genes and seen.lowest >= INTENSITY and not seen.column:
            cure = " If they are counts, --total COLUMN normalises them." if seen.can_name else ""
            note = (
                f"The values are whole numbers from {seen.lowest:g} on, as intensities are; they "
                f"are used as they are.{cure}"
            )
            return Treatment("as they are", "counts", note)
        if not seen.genes and few:
            cure = (
                "--total COLUMN normalises them."
                if seen.can_name
                else "If rows were measured to other depths, normalise both files alike first."
            )
            note = (
                f"The values are whole numbers of {seen.n_variables} variables, too few for totals "
                f"of rows to say how deep they were measured; they are used as they are. {cure}"
            )
            return Treatment("as they are", "counts", note)
        return Treatment("log of shares", "log", f"The values are counts; {_shares(seen)}.")
    if seen.kind != "normalised" or not (seen.genes or seen.column):
        note = f"{looks}; they are used as they are."
        if seen.kind == "normalised" and not seen.one_total and not few:
            cure = "--total COLUMN normalises them" if seen.can_name else "normalise both files"
            note += f" Rows differ in their totals: if they are estimated counts, {cure}."
        return Treatment("as they are", seen.kind, note)
    if few or seen.one_total:
        note = f"{looks} without a logarithm; log(1 + value) is taken of all rows alike."
        return Treatment("log", "log", note)
    note = (
        "The values have fractions, and rows differ in their totals, as estimated counts do; "
        f"{_shares(seen)}."
    )
    return Treatment("log of shares", "log", note)


def _shares(seen: Seen) -> str:
    by = f"the column {seen.column!r}" if seen.column else f"its sum over {seen.n_variables:,}"
    what = "" if seen.column else " variables"
    unit = "count" if seen.kind == "counts" else "value"
    return (
        f"log(1 + 10,000 x {unit} / total) is taken of all rows alike, with {by}{what} as the "
        "total of a row"
    )


def treated(values: np.ndarray, action: Action) -> np.ndarray:
    """Dense rows (rows, N), each with a total, after the action; as `log_normalise` of sparse ones,
    in float32 where it is a logarithm."""
    if action == "as they are":
        return values
    wide = values.astype(np.float64)
    if action == "log of shares":
        wide /= wide.sum(axis=1, keepdims=True) / TARGET_SUM
    return np.log1p(wide).astype(np.float32)
