"""To what total the rows of some samples were brought, and which logarithm was taken.

Counts per ten thousand add up to 10,000 in every row, before the logarithm or after undoing it. So
the sums of rows tell how samples were normalised, and whether two sides were treated alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cdnbench.values import LOG_LIMIT, Kind

Sums = Mapping[str, np.ndarray]
"""Scale -> (rows,) sums of the values with their logarithm undone; NaN where it was not tried."""

_AGREES = 2e-3
"""Share by which sums of one total may miss it: half precision, or two decimals."""
_OTHER = 0.01
"""Totals that differ by more than this share are different ones."""
_OF_SHARES = (1.0, 100.0)
_WHOLE = 0.02
"""How far the sum of a row of counts may be from a whole number, after undoing its logarithm."""
_LEAST_WHOLE = 3
_LEAST_COLUMNS = 5
"""The sum of fewer columns says nothing about the treatment of a row."""
_LEAST_FOR_TOTALS = 50
"""The total of fewer columns may be nearly constant by itself, as where one of them is large."""
_LEAST_EVIDENCE = 4
"""So many rows must repeat the total of another one, or it may be by chance."""


def _exp(values: np.ndarray) -> np.ndarray:
    """NaN for what is too large to be a logarithm, so that the sum of its row says nothing."""
    return np.where(values > LOG_LIMIT, np.nan, np.expm1(np.minimum(values, LOG_LIMIT)))


def _power(base: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: _exp(np.log(base) * values)


PLAIN, NATURAL = "value", "log(1 + value)"
_UNDONE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    NATURAL: _exp,
    "log2(1 + value)": _power(2),
    "log10(1 + value)": _power(10),
    "log(1 + log(1 + value))": lambda values: _exp(_exp(values)),
}
"""Each scale, and the function that gives the values before it. Zero stays zero."""


def sums_of_rows(values: np.ndarray, kind: Kind) -> Sums:
    """The sums of dense rows (rows, N) in every scale that their kind may have."""
    return sums_by(lambda undo: undo(values).sum(axis=1, dtype=np.float64), kind)


def sums_by(
    total: Callable[[Callable[[np.ndarray], np.ndarray]], np.ndarray],
    kind: Kind,
    known: float = np.nan,
) -> Sums:
    """The sums of rows in every scale that their kind may have.

    total: the (rows,) sums of values that a function was applied to. known: a sum in natural
    logarithms. Where all rows have it, no other scale is tried.
    """
    if kind == "scaled":
        return {}
    if kind != "log":
        return {PLAIN: total(lambda values: values)}
    found = {NATURAL: total(_UNDONE[NATURAL])}
    if (_near(found[NATURAL], known, _AGREES) | (found[NATURAL] == 0)).all():
        return found
    return found | {scale: total(undo) for scale, undo in _UNDONE.items() if scale not in found}


def _near(sums: np.ndarray, total: float, share: float) -> np.ndarray:
    return np.abs(sums - total) <= share * abs(total)


@dataclass(frozen=True)
class Scale:
    """A scale in which some rows have one total, or come from whole numbers (total is None). n: how
    many rows do."""

    name: str
    total: float | None
    n: int

    def __str__(self) -> str:
        if self.total is None:
            return "come from whole numbers" if self.name == PLAIN else f"are {self.name} of counts"
        total = f"{self.total:,.0f}" if self.total >= 100 else f"{self.total:.3g}"
        if self.name == PLAIN:
            return f"add up to {total} per row"
        return f"are {self.name} of values that add up to {total} per row"


def scale_of(sums: Sums) -> Scale | None:
    """The scale in which nine tenths of the rows have one total, or else have whole ones, as rows
    of counts do, or None. Rows of zeros are left out; a broken row among ten says nothing about the
    others."""
    whole = None
    for name, every in sums.items():
        present = every[every != 0]
        if not len(present) or not np.isfinite(present).all() or len(present) < len(every) / 2:
            continue
        total = float(np.median(present))
        agree = _near(present, total, _AGREES)
        if agree.mean() >= 0.9:
            return Scale(name, total, int(agree.sum()))
        counted = np.abs(present - np.round(present)) < _WHOLE
        if whole is None and len(present) >= _LEAST_WHOLE and counted.mean() >= 0.9:
            whole = Scale(name, None, int(counted.sum()))
    return whole


def has_one_total(sums: np.ndarray) -> bool:
    """Whether rows with these sums of plain values have one total, as after normalisation."""
    scale = scale_of({PLAIN: sums})
    return scale is not None and scale.total is not None


def are_shares(sums: np.ndarray) -> bool:
    """Whether rows with these sums of plain values are shares of 1, or per cent. Other totals say
    less: logarithms have one as well after quantile normalisation."""
    scale = scale_of({PLAIN: sums})
    total = scale.total if scale is not None else None
    return total is not None and any(_near(np.array([total]), t, _AGREES).all() for t in _OF_SHARES)


@dataclass(frozen=True, eq=False)
class Side:
    """The rows of one side of a comparison, of which only the sums count."""

    sums: Sums

    @cached_property
    def scale(self) -> Scale | None:
        return scale_of(self.sums)


def why_scaled_otherwise(
    sides: tuple[Side, Side], names: tuple[str, str], n_columns: int, *, same_columns: bool = True
) -> str:
    """Why two sides were not normalised alike, or "".

    names: of both, for the sentence. n_columns: of a row. same_columns:
    whether both were made from the same columns; where they were not, that one side has no common
    total is no sign.
    """
    scales = [side.scale for side in sides]
    totals = any(scale is not None and scale.total is not None for scale in scales)
    if n_columns < (_LEAST_FOR_TOTALS if totals else _LEAST_COLUMNS):
        return ""
    if sum(s.n - 1 for s in scales if s) < _LEAST_EVIDENCE:
        return ""
    one, other = scales
    if one and other:
        return "" if _alike(one, other) else f"the {names[0]} {one}, the {names[1]} {other}"
    if not same_columns:
        return ""
    for i, scale in enumerate(scales):
        if scale is not None and scale.total is not None:
            sums = sides[1 - i].sums.get(scale.name, np.zeros(0))
            if len(sums) and _near(sums, scale.total, _OTHER).mean() < 0.5:
                return f"the {names[i]} {scale}, the {names[1 - i]} have no such total"
    return ""


def _alike(one: Scale, other: Scale) -> bool:
    if one.total is None or other.total is None:
        return one.name == other.name and one.total is other.total
    return one.name == other.name and abs(one.total - other.total) <= _OTHER * abs(other.total)
