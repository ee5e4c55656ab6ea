"""Do our runs of the paper's methods agree with its values? Welch's interval for each setting of
Table 11.

Two means over five datasets each agree if they differ by no more than t sqrt((s_ours^2 +
s_printed^2) / 5). t is the 97.5 % point (two-sided, 5 %) with the degrees of freedom of Welch and
Satterthwaite: 2.31 where the two spreads are equal, up to 2.78 where one of them is 0. Where no
standard deviation is printed, there is only our own spread, and a note counts such pairs.

The paper's CDN rows average in a regime without labels (`cdnbench.reports.published`). Ours are
compared with the corrected rows, and what the rows as printed would have said is told beside it. A
method is compared in the variant that the paper ran, and in no other: BaCaDI is fully connected
there, so that our linear runs have no counterpart.
"""

from __future__ import annotations

import pandas as pd

from cdnbench.reports import published
from cdnbench.reports.frame import Results
from cdnbench.reports.paper import SETTING, ours
from cdnbench.reports.standings import block_title
from cdnbench.reports.statistics import agreement_limit
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number

SUMMARY = (
    "whether ours agree with Table 11's values (CDN: corrected), setting by setting (Welch), under "
    "the dcdi protocol"
)

N_DATASETS = 5


def build(results: Results) -> Table:
    """Ours against the paper's values, where the protocol is the paper's and all five datasets were
    run."""
    frame = differences(results)
    compared = frame[frame["agrees"].notna()]
    blocks = [
        _block(
            f"{block_title(results, factors)}: {label} against the {rows['source'].iloc[0]} "
            f"{rows['published_method'].iloc[0]}",
            rows,
        )
        for factors, own in results.factors.blocks(compared)
        for label, rows in own.groupby("label", observed=True, sort=True)
    ]
    notes = [
        _unfinished(label, rows) for label, rows in frame.groupby("label", observed=True, sort=True)
    ]
    if not blocks:
        notes.append(
            "Nothing to compare: it takes a method of the paper on `synthetic --protocol dcdi`."
        )
    return Table(
        name="agreement",
        title="Agreement with Table 11",
        blocks=tuple(blocks),
        frame=frame,
        notes=tuple(note for note in notes if note),
    )


def differences(results: Results) -> pd.DataFrame:
    """One row per (factors, label, setting, metric) of a method that the paper ran.

    Columns: `published_method`; `source` of the values that ours are compared with, corrected for
    CDN and printed for the others; `n`, our datasets; `ours`; `theirs`, the value of that source,
    and `theirs_sd`, NaN where none is printed; `printed`, the value as printed; `difference` (ours
    - theirs) and its `limit`; `agrees`. Where `n` is not that of the paper, `limit` is NaN and
    `agrees` missing.
    `printed_difference`, `agrees_printed`: the same against the value as printed.
    """
    own = ours(results, by_targets=False)
    named = [
        published.counterpart(*(str(value) for value in reading))
        for reading in zip(own["method"], own["variant"], own["parameters"], strict=True)
    ]
    own = own.assign(published_method=pd.Series(named, index=own.index, dtype=object))
    own = own[(own["protocol"] == "dcdi") & own["standardise"].isin(["", "none"])]
    theirs = published.to_compare(published.table11()).rename(
        columns={"method": "published_method", "mean": "theirs", "sd": "theirs_sd"}
    )
    both = own.merge(theirs, on=["published_method", *SETTING, "metric"])
    whole = both["n"] == N_DATASETS
    found = {"ours": both["mean"]}
    for name, value, agrees in (
        ("", "theirs", "agrees"),
        ("printed_", "printed", "agrees_printed"),
    ):
        difference = both["mean"] - both[value]
        sd = both[f"{value}_sd"].fillna(0.0)  # told in a note
        limit = pd.Series(agreement_limit(both["sd"], sd, N_DATASETS, N_DATASETS), both.index)
        found[f"{name}difference"] = difference
        found[f"{name}limit"] = limit.where(whole)
        found[agrees] = (difference.abs() <= limit).astype("boolean").where(whole)
    keys = [*results.factors.names, *SETTING, "label", "metric"]
    columns = ["n", "published_method", "source", "theirs", "theirs_sd", "printed", *found]
    both = both.assign(**found).sort_values(keys).reset_index(drop=True)
    return both[list(dict.fromkeys([*keys, *columns]))]


def _unfinished(label: str, rows: pd.DataFrame) -> str:
    """What a method lacks; "" if all of its settings were compared."""
    lacking = rows[rows["agrees"].isna()].drop_duplicates(list(SETTING))
    if lacking.empty:
        return ""
    least, most = lacking["n"].min(), lacking["n"].max()
    n = f"{least}" if least == most else f"{least} to {most}"
    return (
        f"{label}: not compared in {len(lacking)} of {len(rows.drop_duplicates(list(SETTING)))} "
        f"settings, which have {n} of {N_DATASETS} datasets."
    )


def _block(title: str, rows: pd.DataFrame) -> Block:
    corrected = rows["source"].iloc[0] == "corrected"
    numbers = ["ours", "theirs", "difference", "limit"]
    titles = ["ours", str(rows["source"].iloc[0]), "difference", "limit"]
    if corrected:
        numbers.insert(2, "printed")
        titles.insert(2, "as printed")
    columns = (
        Column("setting", align="left"),
        Column("metric", align="left"),
        *(Column(name) for name in titles),
        Column("agree", align="left"),
    )
    lines = [
        Row(
            (
                Cell(f"N = {r.n_nodes}, E = {r.n_edges}, {r.mechanism}, {r.intervention}"),
                Cell({"map": "mAP", "auc": "AUC"}[str(r.metric)]),
                *(Cell(number(float(getattr(r, name)))) for name in numbers),
                Cell("yes" if r.agrees else "no"),
            )
        )
        for r in rows.itertuples()
    ]
    notes = []
    for kind, part in rows.groupby("intervention", sort=True):
        notes.append(
            f"{kind}: {part['agrees'].sum()} of {len(part)} agree; mean signed difference "
            f"{part['difference'].mean():+.3f}."
        )
        if corrected:
            notes[-1] += (
                f" With the rows as printed, which average in a regime without labels: "
                f"{part['agrees_printed'].sum()} of {len(part)}, "
                f"{part['printed_difference'].mean():+.3f}."
            )
    if unknown := rows["theirs_sd"].isna().sum():
        notes.append(
            f"No standard deviation is printed for {unknown} of the {len(rows)} pairs (AUC, "
            "polynomial, soft). Their limit rests on the spread of ours alone."
        )
    return Block(title, columns, tuple(lines), tuple(notes))
