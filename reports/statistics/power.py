"""Which differences so many datasets can show at all.

A difference that a comparison could not have found is no evidence of equality. The normal-theory
power of a paired t-test stands in for that of the sign-flip test, which it is close to.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special  # scipy.stats takes half a second to import

from cdnbench.reports.statistics.intervals import RESAMPLES
from cdnbench.reports.statistics.units import GENE

SMALLEST_DRAWN = 1 / (RESAMPLES + 1)
"""The smallest p-value of drawn flips: where none of them is as extreme as what was seen."""


def typical_spread(means: pd.DataFrame, metric: str, best: str) -> tuple[float, int]:
    """(sd, n): the usual standard deviation of a method's paired differences from `best`, and the
    usual number of units that they rest on: medians over methods. (NaN, 0) without a pair.

    means: one row per (`label`, `setting`, `dataset`) with `metric`, as `dataset_means` gives them.
    The spread is that within settings. Where all datasets perturb a gene (`GENE`), the unit is the
    gene, over all lines.
    """
    by_gene = GENE in means and len(means) > 0 and bool((means[GENE] != "").all())
    unit = [GENE] if by_gene else ["setting", "dataset"]
    own = means.assign(label=means["label"].astype(str))
    own = own.assign(**{name: own[name].astype(str) for name in unit})
    table = own.pivot_table(index=unit, columns="label", values=metric)
    if best not in table:
        return float("nan"), 0
    gaps = table.drop(columns=best).sub(table[best], axis=0)
    shared = gaps.notna().sum()
    if not by_gene:
        gaps = gaps - gaps.groupby(level="setting").transform("mean")
    groups = 1 if by_gene else gaps.notna().groupby(level="setting").any().sum()
    freedom = (shared - groups).where(lambda left: left > 0)
    squares = gaps.var(ddof=0) * shared if by_gene else gaps.pow(2).sum()
    spread = np.sqrt(squares / freedom)
    kept = spread.dropna()
    return (
        (float(kept.median()), int(shared[kept.index].median())) if len(kept) else (float("nan"), 0)
    )


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
    critical = special.stdtrit(freedom, 1 - level / comparisons / 2)
    shift = special.nctdtrinc(freedom, 1 - power, critical)  # of the noncentral t
    return float(shift) * sd / np.sqrt(n)


def smallest_p(n: int, comparisons: int = 1) -> float:
    """The smallest p-value that `sign_flip_test` of n datasets can have after Holm's correction for
    so many comparisons, at most 1. Where its flips are drawn, their number is a limit as well."""
    exact = 2**n <= RESAMPLES
    return min(1.0, (2.0 ** (1 - n) if exact else SMALLEST_DRAWN) * comparisons)


def flips_note(p: np.ndarray) -> str:
    """How many p-values of one family are as small as drawn flips allow; "" where none is.

    p: of `sign_flip_test`, before Holm's correction; NaN where nothing was tested.
    """
    p = p[~np.isnan(p)]
    n = int((p <= SMALLEST_DRAWN * (1 + 1e-9)).sum())
    if not n:
        return ""
    return (
        f"{RESAMPLES:,} random flips show no p below {SMALLEST_DRAWN:.1g}, after Holm's correction "
        f"none below {min(1.0, SMALLEST_DRAWN * len(p)):.2g}. {n} of {len(p)} comparisons reach "
        "this limit."
    )


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
