"""Do our runs of the paper's methods agree with the printed values? Welch's interval for each
setting of Table 11.

Two means over five datasets each agree if they differ by no more than 2.31 sqrt((s_ours^2 +
s_printed^2) / 5). 2.31 is the 97.5 % point of t with 8 degrees of freedom (two-sided, 5 %). A
printed standard deviation that cannot be read counts as 0, which makes the test stricter.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cdnbench.reports.frame import Results
from cdnbench.reports.paper import SETTING, beside_table11
from cdnbench.reports.standings import block_title
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number

SUMMARY = (
    "whether ours agree with Table 11's printed values, setting by setting (Welch), under the dcdi "
    "protocol"
)

T_97_5 = 2.31
N_DATASETS = 5


def build(results: Results) -> Table:
    """Ours against the printed values, where the protocol is the paper's and all five datasets were
    run."""
    frame = differences(results)
    blocks = [
        _block(
            f"{block_title(results, factors)}: {label} against the printed "
            f"{rows['published_method'].iloc[0]}",
            rows,
        )
        for factors, own in results.factors.blocks(frame)
        for label, rows in own.groupby("label", sort=True)
    ]
    notes = (
        ()
        if blocks
        else ("Nothing to compare: it takes a method of the paper on `synthetic --protocol dcdi`.",)
    )
    return Table(
        name="agreement",
        title="Agreement with Table 11",
        blocks=tuple(blocks),
        frame=frame,
        notes=notes,
    )


def differences(results: Results) -> pd.DataFrame:
    """One row per (factors, label, setting, metric): `ours`, `printed`, `difference`, `limit`,
    `agrees`."""
    table = beside_table11(results).frame
    keys = [*results.factors.names, *SETTING, "label", "metric"]
    table = table[(table["protocol"] == "dcdi") & table["standardise"].isin(["", "none"])]
    ours = table[(table["source"] == "ours") & (table["n"] == N_DATASETS)].drop(
        columns="published_method"
    )
    printed = table[table["source"] == "printed"]
    both = ours.merge(printed, on=keys, suffixes=("", "_printed"))
    limit = T_97_5 * np.sqrt((both["sd"] ** 2 + both["sd_printed"].fillna(0.0) ** 2) / N_DATASETS)
    difference = both["mean"] - both["mean_printed"]
    both = both.assign(
        ours=both["mean"],
        printed=both["mean_printed"],
        difference=difference,
        limit=limit,
        agrees=difference.abs() <= limit,
        published_method=both["published_method"],
    )
    columns = [*keys, "published_method", "ours", "printed", "difference", "limit", "agrees"]
    return both[columns].sort_values(keys).reset_index(drop=True)


def _block(title: str, rows: pd.DataFrame) -> Block:
    columns = (
        Column("setting", align="left"),
        Column("metric", align="left"),
        *(Column(name) for name in ("ours", "printed", "difference", "limit")),
        Column("agree", align="left"),
    )
    lines = [
        Row(
            (
                Cell(f"N = {r.n_nodes}, E = {r.n_edges}, {r.mechanism}, {r.intervention}"),
                Cell({"map": "mAP", "auc": "AUC"}[r.metric]),
                *(Cell(number(value)) for value in (r.ours, r.printed, r.difference, r.limit)),
                Cell("yes" if r.agrees else "no"),
            )
        )
        for r in rows.itertuples()
    ]
    notes = [
        f"{kind}: {part['agrees'].sum()} of {len(part)} agree; mean signed difference "
        f"{part['difference'].mean():+.3f}."
        for kind, part in rows.groupby("intervention", sort=True)
    ]
    return Block(title, columns, tuple(lines), tuple(notes))
