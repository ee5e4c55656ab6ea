"""p-values of many tests at once."""

from __future__ import annotations

import numpy as np


def q_values(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg adjusted p-values (Benjamini and Hochberg 1995, J. R. Stat. Soc. B 57).

    p: p-values of any shape. NaN stands for a test that could not be made: it stays NaN and does
    not count as a test. Calling everything with q <= r a discovery keeps the expected share of
    false ones among them at r or below, for independent and for positively dependent tests.
    """
    p = np.asarray(p, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    made = ~np.isnan(p)
    some = p[made]
    order = np.argsort(some)[::-1]
    adjusted = np.empty_like(some)
    share = some[order] * len(some) / np.arange(len(some), 0, -1)
    adjusted[order] = np.minimum(1, np.minimum.accumulate(share)) if len(some) else some
    q[made] = adjusted
    return q


def simes(p: np.ndarray) -> float:
    """One p-value for "none of these (N,) null hypotheses is false" (Simes 1986, Biometrika 73).

    It is the smallest Benjamini-Hochberg q-value: exact for independent tests, conservative for
    positively dependent ones (Sarkar 1998, Ann. Stat. 26). NaN are left out; NaN where all are.
    """
    q = q_values(p)
    return float(np.nanmin(q)) if np.isfinite(q).any() else float("nan")
