"""p-values of the moderated t, for rows too few to be permuted.

G. K. Smyth 2004, Linear models and empirical Bayes methods for assessing differential expression in
microarray experiments, Stat. Appl. Genet. Mol. Biol. 3:3; the variances by `cdnbench.moderation`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse, special

from cdnbench.moderation import moderated, variance_prior


def moderated_p_values(control: Any, perturbed: Any) -> np.ndarray:
    """(N,) two-sided p-values of (M0, N) against (M1, N) rows, three or more together.

    NaN for variables that are constant throughout, or whose variance nothing tells.
    """
    before, after = (
        np.asarray(x.toarray() if sparse.issparse(x) else x, dtype=np.float64)
        for x in (control, perturbed)
    )
    first = before[0]
    before, after = before - first, after - first  # a constant column becomes exactly 0
    df = len(before) + len(after) - 2
    shift = after.mean(axis=0) - before.mean(axis=0)
    squares = sum(((x - x.mean(axis=0)) ** 2).sum(axis=0) for x in (before, after))
    variance = np.where((squares == 0) & (shift == 0), np.nan, squares / df)
    prior = variance_prior(variance, df)
    variance = moderated(variance, df, prior)
    variance = np.where(variance > 0, variance, np.nan)
    t = np.abs(shift) / np.sqrt(variance * (1 / len(before) + 1 / len(after)))
    if np.isinf(prior.df):
        return 2 * special.ndtr(-t)
    return 2 * special.stdtr(df + prior.df, -t)
