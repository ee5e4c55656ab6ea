"""The unit of every statistic is the dataset, never the regime.

Regimes, seeds and the tasks of a dataset are averaged to one value per dataset first. Where genes
are perturbed in several cell lines, `GENE` says which datasets belong together.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cdnbench.reports.statistics.intervals import t_halfwidth

UNIT = ("setting", "dataset")
GENE = "gene"
"""The column of `with_genes`."""


def with_genes(readings: pd.DataFrame) -> pd.DataFrame:
    """The readings with a column that names what was perturbed, "" where that is not known."""
    if "perturbation" not in readings:
        return readings.assign(**{GENE: ""})
    return readings.assign(**{GENE: readings["perturbation"].astype(object).fillna("").astype(str)})


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
