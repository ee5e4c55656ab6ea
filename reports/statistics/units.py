"""The unit of every statistic is the dataset, never the regime.

Regimes, seeds and the tasks of a dataset are averaged to one value per dataset first. Where genes
are perturbed in several cell lines, `GENE` says which datasets belong together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cdnbench.reports.statistics.intervals import t_halfwidth

UNIT = ("setting", "dataset")
GENE = "gene"
"""The column of `with_genes`."""


def with_genes(readings: pd.DataFrame) -> pd.DataFrame:
    """The readings with a column that names what was perturbed, "" where that is not known."""
    with_them = readings.copy(deep=False)  # `assign` would copy all columns
    if "perturbation" not in readings:
        with_them[GENE] = pd.Categorical.from_codes(np.zeros(len(readings), np.int8), [""])
        return with_them
    names, codes = coded(readings["perturbation"])
    names = names if "" in names else [*names, ""]
    codes = np.where(codes < 0, names.index(""), codes)
    order = sorted(range(len(names)), key=names.__getitem__)
    with_them[GENE] = pd.Categorical.from_codes(np.argsort(order)[codes], [names[i] for i in order])
    return with_them


def coded(values: pd.Series) -> tuple[list[str], np.ndarray]:
    """The distinct texts in their order, and (n,) int64 which of them each value is; -1 where it is
    missing."""
    if not isinstance(values.dtype, pd.CategoricalDtype):
        codes, found = values.factorize(sort=True)
        return list(map(str, found)), codes
    codes = codes_of(values)
    counts = np.bincount(codes + 1, minlength=len(values.cat.categories) + 1)
    used = np.flatnonzero(counts[1:])
    place = np.full(len(counts), -1)
    place[used + 1] = np.arange(len(used))
    return [str(values.cat.categories[i]) for i in used], place[codes + 1]


def codes_of(values: pd.Series) -> np.ndarray:
    """(n,) int64 that are equal and ordered as the texts are; -1 where one is missing."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return np.asarray(values.array.codes, dtype=np.int64)  # type: ignore[attr-defined]
    return values.factorize(sort=True)[0]


def dataset_means(regimes: pd.DataFrame, metrics: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """One row per (`by`, setting, dataset): the mean over its regimes, undefined values left out.

    by: what is never averaged over: the factors of the results, and whatever tells readings apart.
    """
    keys = list(dict.fromkeys([*by, *UNIT]))
    groups = regimes.groupby(keys, observed=True, sort=False)
    return groups[list(metrics)].mean().reset_index()


def over_datasets(means: pd.DataFrame, metrics: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """Long frame with one row per `by` and metric: mean, sd (ddof 1), n and t-interval (low, high)
    over datasets.

    sd and interval are NaN for a single dataset.
    """
    long = means.melt(
        id_vars=list(by), value_vars=list(metrics), var_name="metric", value_name="value"
    ).dropna(subset=["value"])
    found = (
        long.groupby([*by, "metric"], observed=True, sort=False)["value"]
        .agg(["mean", "std", "count"])
        .reset_index()
    )
    found = found.rename(columns={"std": "sd", "count": "n"})
    half = t_halfwidth(found["sd"].to_numpy(), found["n"].to_numpy())
    return found.assign(low=found["mean"] - half, high=found["mean"] + half)
