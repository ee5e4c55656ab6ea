"""Paired comparisons: every method against the best one and against the trivial baseline, on what
both finished."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cdnbench.metrics import METRICS
from cdnbench.reports import statistics
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.standings import RANKING, block_title
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number

SUMMARY = (
    "paired differences to the best method and to target-shift: intervals, sign-flip tests, Holm"
)
BASELINE = "target-shift"


def build(results: Results) -> Table:
    """The frame is that of `differences`."""
    frame = differences(results)
    blocks = tuple(
        _block(block_title(results, key), rows) for key, rows in results.factors.blocks(frame)
    )
    notes = (
        ()
        if blocks
        else ("Nothing to compare: it takes two methods that finished the same two datasets.",)
    )
    return Table(
        name="comparisons",
        title="Paired differences in mAP",
        blocks=blocks,
        frame=frame,
        notes=notes,
    )


def differences(results: Results) -> pd.DataFrame:
    """One row per (factors, against, label).

    Columns: `n_datasets`, `n_settings`; `difference` (label - against) of `RANKING` and its 95 %
    interval `low`, `high`; `p` of the sign-flip test, and `p_holm`, where all comparisons of the
    block are one family; `by_gene`, whether genes were resampled in place of datasets.

    Within one setting there is a t-interval and no p. A block of one dataset has no rows. The best
    method is the best on these very data.
    """
    names = results.factors.names
    methods = statistics.with_genes(results.regimes[results.regimes["method"] != CEILING])
    keys = [*names, "label", "task", *statistics.UNIT, statistics.GENE]
    cells = (
        methods.groupby(keys, observed=True, sort=False)[RANKING]
        .agg(["sum", "count"])
        .reset_index()
    )
    means = statistics.dataset_means(methods, [RANKING], [*names, "label"])
    best = {key: _best(rows) for key, rows in results.factors.blocks(means)}
    rows = []
    for key, block in results.factors.blocks(cells):
        pairs = _Pairs(block)
        against = [name for name in dict.fromkeys([best[key], BASELINE]) if name in pairs.labels]
        found = [
            {
                **dict(zip(names, key, strict=True)),
                "against": other,
                "label": label,
                **pairs.compare(label, other),
            }
            for i, other in enumerate(against)
            for label in pairs.labels
            if label != other and not (i and label == against[0])  # that pair is already there
        ]
        if max((row["n_datasets"] for row in found), default=0) < 2:
            continue  # nothing can be said from one dataset
        adjusted = statistics.holm(np.array([row["p"] for row in found]))
        by_gene = pairs.genes is not None
        rows += [
            {**row, "p_holm": p, "by_gene": by_gene} for row, p in zip(found, adjusted, strict=True)
        ]
    numbers = ["n_datasets", "n_settings", "difference", "low", "high", "p", "p_holm", "by_gene"]
    return pd.DataFrame(rows, columns=[*names, "against", "label", *numbers])


def _best(means: pd.DataFrame) -> str:
    means = means.groupby("label", observed=True)[RANKING].mean()
    return str(METRICS[RANKING].merit(means).idxmax())


class _Pairs:
    """One block as arrays.

    sums, counts: (tasks, labels), of `RANKING` over regimes. units: (tasks,) number of the dataset.
    settings: (datasets,). genes: (datasets,), or None where not all of them perturb a gene.
    """

    def __init__(self, block: pd.DataFrame) -> None:
        unit = [*statistics.UNIT, statistics.GENE]
        index = ["task", *unit]
        tables = [
            block.pivot_table(index=index, columns="label", values=v, observed=True)
            for v in ("sum", "count")
        ]
        self.labels = [str(label) for label in tables[0].columns]
        self.sums, self.counts = (table.fillna(0).to_numpy(float) for table in tables)
        self.units, datasets = (
            tables[0].reset_index()[unit].astype(str).agg(tuple, axis=1).factorize()
        )
        self.settings = np.array([dataset[0] for dataset in datasets])
        genes = np.array([dataset[2] for dataset in datasets])
        self.genes = genes if (genes != "").all() else None

    def compare(self, label: str, other: str) -> dict[str, float]:
        """On the tasks that both finished."""
        pair = [self.labels.index(label), self.labels.index(other)]
        both = (self.counts[:, pair] > 0).all(axis=1)
        n = len(self.settings)
        totals = [
            [np.bincount(self.units[both], weights=part[both, i], minlength=n) for i in pair]
            for part in (self.sums, self.counts)
        ]
        kept = totals[1][0] > 0
        own, others = (s[kept] / c[kept] for s, c in zip(*totals, strict=True))
        values, settings = own - others, self.settings[kept]
        difference = float(values.mean()) if len(values) else np.nan
        found = {
            "n_datasets": len(values),
            "n_settings": len(set(settings)),
            "difference": difference,
        }
        if found["n_settings"] > 1 and self.genes is not None:
            genes = self.genes[kept]
            low, high = statistics.cluster_bootstrap_interval(values, genes)
            of_gene = np.bincount(np.unique(genes, return_inverse=True)[1], weights=values)
            return {**found, "low": low, "high": high, "p": statistics.sign_flip_test(of_gene)}
        if found["n_settings"] > 1:
            low, high = statistics.bootstrap_interval(values, settings)
            return {**found, "low": low, "high": high, "p": statistics.sign_flip_test(values)}
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
        half = float(statistics.t_halfwidth(sd, len(values)))
        return {**found, "low": difference - half, "high": difference + half, "p": np.nan}


def _block(title: str, rows: pd.DataFrame) -> Block:
    columns = (
        Column("method", align="left"),
        Column("against", align="left"),
        Column("datasets", optional=1),
        Column("Δ mAP"),
        Column("95 % interval"),
        Column("p", optional=2),
        Column("p (Holm)"),
    )
    lines = [
        Row(
            (
                Cell(row["label"]),
                Cell(row["against"]),
                Cell(str(row["n_datasets"])),
                Cell(_signed(row["difference"])),
                Cell(
                    "–"
                    if np.isnan(row["low"])
                    else f"{_signed(row['low'])} to {_signed(row['high'])}"
                ),
                Cell(_p(row["p"])),
                Cell(_p(row["p_holm"]), best=bool(row["p_holm"] < 0.05)),
            )
        )
        for _, row in rows.sort_values(
            ["against", "difference"], ascending=[True, False]
        ).iterrows()
    ]
    pooled = rows["n_settings"].max() > 1
    note = (
        "Over perturbations that both finished: paired bootstrap and sign-flip test by gene, all "
        "lines together; Holm over the block."
        if pooled and rows["by_gene"].all()
        else "Over datasets that both finished: paired bootstrap stratified by setting, sign-flip "
        "test, Holm over the block."
        if pooled
        else "One setting: t-interval over its datasets, no p-value."
    )
    return Block(title, columns, tuple(lines), (note, "The best method was chosen on these data."))


def _signed(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:+.3f}".replace("-", "−")


def _p(value: float) -> str:
    return "–" if np.isnan(value) else "<0.001" if value < 0.001 else number(value)
