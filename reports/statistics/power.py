"""Which differences so many datasets can show at all.

A difference that a comparison could not have found is no evidence of equality. The normal-theory
power of a paired t-test stands in for that of the sign-flip test, which it is close to.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, stats


def smallest_difference(
    sd: float, n: int, *, power: float = 0.8, level: float = 0.05, comparisons: int = 1
) -> float:
    """The mean paired difference that n datasets show with this power.

    sd: standard deviation of the paired differences over datasets. comparisons: how many are made
    at once; the level is divided by it, as Holm's first step does. NaN below two datasets.
    """
    if n < 2 or np.isnan(sd):
        return float("nan")
    freedom = n - 1
    critical = float(stats.t.ppf(1 - level / comparisons / 2, freedom))

    def lacking(shift: float) -> float:
        return float(stats.nct.sf(critical, freedom, shift)) - power

    shift = optimize.brentq(lacking, 0.0, critical + 10.0 + 5 * critical / np.sqrt(freedom))
    return float(shift) * sd / np.sqrt(n)


def smallest_p(n: int, comparisons: int = 1) -> float:
    """The smallest p-value that a sign-flip test of n datasets can have after Holm's correction for
    so many comparisons, at most 1."""
    return min(1.0, 2.0 ** (1 - n) * comparisons)


def power_note(
    sd: float, n: int, *, comparisons: int = 1, level: float = 0.05, unit: str = "datasets"
) -> str:
    """`8 datasets cannot show a difference below .20`, with the reasons; "" below two datasets.

    sd: the spread of paired differences over datasets. comparisons: of the family that Holm's
    correction is made for.
    """
    if n < 2 or np.isnan(sd):
        return ""
    family = f" after Holm's correction for {comparisons} comparisons" if comparisons > 1 else ""
    if smallest_p(n, comparisons) > level:
        return (
            f"Power: {n} {unit} cannot show any difference{family}: the smallest p that they allow "
            f"is {smallest_p(n, comparisons):.2g}."
        )
    least = smallest_difference(sd, n, level=level, comparisons=comparisons)
    return (
        f"Power: {n} {unit} cannot show a difference below {least:.2g}{family} (four times in "
        f"five; paired differences have a standard deviation of {sd:.2g} here)."
    )
