"""What kind of numbers samples hold: counts, normalised counts, logarithms or scaled values.

The rules look at values only, so they name what the numbers look like, not where they come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["counts", "normalised", "log", "scaled"]

DESCRIPTIONS: dict[Kind, str] = {
    "counts": "whole numbers, as counts are",
    "normalised": "positive numbers with fractions and large values, as normalised counts are",
    "log": "positive numbers with fractions and no large values, as logarithms of counts are",
    "scaled": "positive and negative numbers, as scaled values are",
}
LOG_LIMIT = 25.0
"""No logarithm of a count is larger. Positive fractions above have been scaled, not logged."""
_LOST = 1e-3
"""How far rounding to float32 may move a value, in standard deviations."""
_NOISE = 1e-12
"""Spreads below this share of the largest value are rounding errors of float64 computations."""


@dataclass(frozen=True)
class Extent:
    """What tells the kind of numbers, in a form that adds up over parts of a data set.

    least, largest: the smallest and the largest value, 0 included. whole: whether all are whole.
    lowest: the smallest value above 0, or infinity.
    """

    least: float = 0.0
    largest: float = 0.0
    whole: bool = True
    lowest: float = np.inf

    @staticmethod
    def of(values: np.ndarray) -> Extent:
        """Of an array of finite numbers, or of the stored values of a sparse one."""
        values = np.asarray(values)
        if values.size == 0:
            return Extent()
        whole = values.dtype.kind in "biu" or bool((values == np.floor(values)).all())
        above = values[values > 0]
        lowest = float(above.min()) if above.size else np.inf
        return Extent(min(0.0, float(values.min())), max(0.0, float(values.max())), whole, lowest)

    def __or__(self, other: Extent) -> Extent:
        return Extent(
            min(self.least, other.least),
            max(self.largest, other.largest),
            self.whole and other.whole,
            min(self.lowest, other.lowest),
        )

    @property
    def kind(self) -> Kind:
        if self.least < 0:
            return "scaled"
        if self.whole:
            return "counts"
        return "log" if self.largest < LOG_LIMIT else "normalised"


def kind_of_values(values: np.ndarray) -> Kind:
    """What an array of finite numbers, or the stored values of a sparse one, looks like."""
    return Extent.of(values).kind


def why_unlike(before: np.ndarray, after: np.ndarray) -> str:
    """Why two sides (rows, N) of one comparison hold different kinds of values, or "".

    A difference has to run through the columns: some columns may well turn negative, or grow, by
    an intervention.
    """
    kinds = (kind_of_values(before), kind_of_values(after))
    if kinds[0] == kinds[1]:
        return ""
    text = f"{DESCRIPTIONS[kinds[0]]}, against {DESCRIPTIONS[kinds[1]]}"
    if "counts" in kinds and _fractional(after if kinds[0] == "counts" else before):
        return text
    if "scaled" in kinds:
        signed, other = (before, after) if kinds[0] == "scaled" else (after, before)
        enough = min(len(signed), len(other)) * signed.shape[1] >= 50 and signed.shape[1] >= 5
        one_sided = ((signed < 0).mean(axis=0) >= 0.1) & (other >= 0).all(axis=0)
        return text if enough and one_sided.mean() >= 0.9 else ""
    if "counts" in kinds:
        return ""
    logged, other = (before, after) if kinds[0] == "log" else (after, before)
    if _equal_totals(np.expm1(logged)) or _equal_totals(other):
        return text
    return text if other[other != 0].mean() > 5 * logged[logged != 0].mean() else ""


def _equal_totals(values: np.ndarray) -> bool:
    """Whether all rows have the same total, as after normalisation by it."""
    totals = values.sum(axis=1, dtype=np.float64)
    return len(totals) > 1 and values.shape[1] >= 5 and totals.std() < 1e-3 * totals.mean()


def _fractional(values: np.ndarray) -> bool:
    """Whether most columns that are not all zero have fractions."""
    used = (values != 0).any(axis=0)
    return bool((values != np.floor(values)).any(axis=0)[used].mean() > 0.5)


def lost_in_float32(control: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """(N,) bool, the columns whose differences float32 cannot hold, in any of several (rows, N)
    arrays.

    A column is lost where rounding moves a value by more than a thousandth of what there is to see:
    the spread in the control, and elsewhere also that array's own spread and its distance from the
    control. Differences that are near float64's own precision are no differences.
    """
    lost = np.zeros(control.shape[1], bool)
    sides = (control, *others)
    if all(side.dtype.kind == "f" and side.dtype.itemsize <= 4 for side in sides):
        return lost
    origin = control[0].astype(np.float64)
    mean, spread = np.zeros_like(origin), np.zeros_like(origin)
    for i, side in enumerate(sides):
        wide = side.astype(np.float64, copy=False)
        with np.errstate(over="ignore", invalid="ignore"):
            moved = np.abs(wide.astype(np.float32) - wide).max(axis=0)
            centred = wide - origin  # before means are taken, which would round as well
            if i == 0:
                mean, spread = centred.mean(axis=0), centred.std(axis=0)
                seen = spread
            else:
                seen = spread + centred.std(axis=0) + np.abs(centred.mean(axis=0) - mean)
        real = seen > _NOISE * np.abs(wide).max(axis=0)
        lost |= np.isfinite(moved) & real & (moved > _LOST * seen)
    return lost
