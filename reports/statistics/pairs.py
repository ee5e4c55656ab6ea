"""Paired differences of methods on what both finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cdnbench.metrics import METRICS
from cdnbench.reports.statistics.intervals import (
    FEW,
    bootstrap_interval,
    cluster_bootstrap_interval,
    t_halfwidth,
)
from cdnbench.reports.statistics.significance import holm, sign_flip_test
from cdnbench.reports.statistics.units import GENE, UNIT, coded


@dataclass(frozen=True)
class Difference:
    """`label` minus `against`, over the datasets that both finished.

    sd: standard deviation of the differences within settings. n_units: what they rest on, genes
    where genes are resampled and datasets otherwise. p: of the sign-flip test; NaN within one
    setting. by_gene: whether genes were resampled in place of datasets.
    """

    against: str
    label: str
    n_datasets: int
    n_settings: int
    n_units: int
    difference: float
    sd: float
    low: float
    high: float
    p: float
    by_gene: bool


class Pairs:
    """The results of several methods on the same tasks, for comparisons two at a time.

    Built from one row per (label, task): columns `label`, `task`, those of `UNIT` and `GENE`, and
    `metric`, averaged over regimes and seeds. A label is compared on the tasks where it has a
    value; the tasks of a dataset are averaged.
    """

    def __init__(self, regimes: pd.DataFrame, metric: str) -> None:
        known = METRICS.get(metric)
        self._widest = abs(known.best - known.worst) if known else np.inf
        unit = ["task", *UNIT, GENE]
        self.labels, column = coded(regimes["label"])
        texts, codes = zip(*(coded(regimes[name]) for name in unit), strict=True)
        row = np.zeros(len(regimes), np.int64)
        for each in codes:  # numbers of rows in the order of all that tells them apart
            row = np.unique(row * (each.max(initial=0) + 1) + each, return_inverse=True)[1]
        first = np.unique(row, return_index=True)[1]
        found = regimes[metric].groupby(row * len(self.labels) + column).agg(["sum", "count"])
        self._sums, self._counts = (np.zeros((len(first), len(self.labels))) for _ in range(2))
        for table, values in ((self._sums, found["sum"]), (self._counts, found["count"])):
            table.flat[found.index.to_numpy()] = values.to_numpy(float)
        names = [np.array(of, dtype=object) for of in texts[1:]]
        own = [of[each[first]] for of, each in zip(names, codes[1:], strict=True)]
        keys = pd.Series(list(zip(*own, strict=True)), dtype=object)
        self._units, datasets = keys.factorize()
        self._settings = np.array([dataset[0] for dataset in datasets])
        genes = np.array([dataset[2] for dataset in datasets])
        self._genes = genes if (genes != "").all() else None

    @property
    def by_gene(self) -> bool:
        """Whether all datasets perturb one gene, so that the unit is the gene."""
        return self._genes is not None

    @property
    def n_settings(self) -> int:
        """How many settings the datasets are of."""
        return len(set(self._settings))

    def values(self, label: str, other: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(values of `label`, values of `other`, which datasets they are of), on shared tasks."""
        pair = [self.labels.index(label), self.labels.index(other)]
        both = (self._counts[:, pair] > 0).all(axis=1)
        n = len(self._settings)
        totals = [
            [np.bincount(self._units[both], weights=part[both, i], minlength=n) for i in pair]
            for part in (self._sums, self._counts)
        ]
        kept = totals[1][0] > 0
        own, others = (s[kept] / c[kept] for s, c in zip(*totals, strict=True))
        return own, others, np.flatnonzero(kept)

    def table(self) -> pd.DataFrame:
        """One row per unit (gene where all datasets perturb one, otherwise dataset), one column per
        label that has a value on every unit; for `friedman`."""
        n = len(self._settings)
        rows = (
            self._units
            if self._genes is None
            else np.unique(self._genes, return_inverse=True)[1][self._units]
        )
        sums, counts = (
            np.stack([np.bincount(rows, weights=column, minlength=1) for column in part.T], axis=1)
            for part in (self._sums, self._counts)
        )
        whole = np.array([len(np.unique(self._units[c > 0])) == n for c in self._counts.T])
        labels = [label for label, kept in zip(self.labels, whole, strict=True) if kept]
        return pd.DataFrame(sums[:, whole] / counts[:, whole], columns=labels)

    def compare(self, label: str, against: str) -> Difference:
        """Within one setting a t-interval and no p; over several a bootstrap stratified by setting
        and a sign-flip test, by gene where all datasets perturb one. No interval from fewer
        than `FEW` genes, and none where all differences are equal, which says nothing about their
        spread. No interval is wider than differences of the metric can be."""
        own, others, kept = self.values(label, against)
        values, settings = own - others, self._settings[kept]
        several, by_gene = len(set(settings)) > 1, self._genes is not None
        low, high, p = np.nan, np.nan, np.nan
        sd, n_units = _spread(values, settings), len(values)
        mean = float(values.mean()) if len(values) else np.nan
        if several and self._genes is not None:
            codes = np.unique(self._genes[kept], return_inverse=True)[1]
            sums = np.bincount(codes, weights=values)
            low, high = cluster_bootstrap_interval(values, codes)
            p, n_units = sign_flip_test(sums), len(sums)
            sd = float(np.std(sums / np.bincount(codes), ddof=1)) if n_units > 1 else np.nan
        elif several:
            low, high = bootstrap_interval(values, settings)
            p = sign_flip_test(values)
        else:
            half = float(t_halfwidth(sd, len(values)))
            low, high = mean - half, mean + half
        if (several and by_gene and n_units < FEW) or (len(values) and np.ptp(values) == 0):
            low, high = np.nan, np.nan
        low, high = float(np.maximum(low, -self._widest)), float(np.minimum(high, self._widest))
        n_settings = len(set(settings))
        return Difference(
            against, label, len(values), n_settings, n_units, mean, sd, low, high, p, by_gene
        )


def _spread(values: np.ndarray, settings: np.ndarray) -> float:
    """Standard deviation within settings, pooled; over all where no setting has two datasets."""
    codes = np.unique(settings, return_inverse=True)[1]
    counts = np.bincount(codes)
    freedom = int((counts - 1).sum())
    if freedom < 1:
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    residual = values - (np.bincount(codes, weights=values) / counts)[codes]
    return float(np.sqrt(np.square(residual).sum() / freedom))


def paired_differences(
    regimes: pd.DataFrame, metric: str, against: Sequence[str], labels: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row per (against, label): the fields of `Difference`, and `p_holm`, where all these
    comparisons are one family.

    regimes: one row per regime of one block of results (`Results.regimes`, with `with_genes`).
    against: the labels to compare with; what has no result is passed over, and no pair comes twice.
    labels: what is compared, everything by default.
    """
    pairs = Pairs(regimes, metric)
    chosen = [name for name in dict.fromkeys(against) if name in pairs.labels]
    others = pairs.labels if labels is None else [name for name in labels if name in pairs.labels]
    found = [
        pairs.compare(label, other)
        for i, other in enumerate(chosen)
        for label in others
        if label != other and not (label in chosen[:i] and other in others)
    ]
    frame = pd.DataFrame([vars(one) for one in found], columns=list(Difference.__annotations__))
    return frame.assign(p_holm=holm(frame["p"].to_numpy(float)))
