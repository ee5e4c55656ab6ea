"""Paired comparisons: every method against the best one and against the trivial baseline, on what
both finished."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cdnbench.metrics import METRICS
from cdnbench.reports import statistics
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.rounds import rounds_note, without_rounds
from cdnbench.reports.standings import RANKING, best_of, block_title, covering, outcomes
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number

SUMMARY = (
    "paired differences to the best method and to target-shift, or to any: sign-flip tests, Holm"
)
BASELINE = "target-shift"
_COLUMNS = [
    "against",
    "label",
    "n_datasets",
    "n_settings",
    "n_units",
    "difference",
    "sd",
    "low",
    "high",
    "p",
    "p_holm",
    "by_gene",
]


def build(results: Results, against: Sequence[str] = ()) -> Table:
    """The frame is that of `differences`."""
    methods = _of_methods(results)
    frame = differences(results, against, methods)
    blocks = tuple(
        _block(
            block_title(results, key),
            rows,
            "" if against else _chosen(results, key),
            friedman_note(statistics.Pairs(results.factors.rows(methods, key), RANKING)),
        )
        for key, rows in results.factors.blocks(frame)
    )
    notes = (
        ()
        if blocks
        else ("Nothing to compare: it takes two methods that finished the same two datasets.",)
    )
    shown = {block.title for block in blocks}
    titles = [block_title(results, key) for key, _ in results.factors.blocks(methods)]
    if blocks and (missing := [title for title in titles if title not in shown]):
        of = f" or no result of {', '.join(against)}" if against else ""
        notes = (f"Nothing is compared where there is one dataset{of}: {'; '.join(missing)}.",)
    return Table(
        name="comparisons",
        title="Paired differences in mAP",
        blocks=blocks,
        frame=frame,
        notes=(*notes, *rounds_note(results)),
    )


def differences(
    results: Results, against: Sequence[str] = (), methods: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row per (factors, against, label).

    against: the labels to compare with; by default the best method of each block, and `BASELINE`.
    methods: their regimes, where they are at hand.

    Columns: `n_datasets`, `n_settings`, `n_units` (genes where `by_gene`, otherwise datasets);
    `difference` (label - against) of `RANKING`, its `sd` over units and its 95 % interval `low`,
    `high`; `p` of the sign-flip test, and `p_holm`, where all comparisons of the block are one
    family; `by_gene`, whether genes were resampled in place of datasets.

    Within one setting there is a t-interval and no p. A block of one dataset has no rows. The best
    method is the best on these very data, of those that finished every dataset that any finished;
    where there is none, only `BASELINE` is compared with.
    """
    names = results.factors.names
    methods = _of_methods(results) if methods is None else methods
    means = statistics.dataset_means(methods, [RANKING], [*names, "label"])
    frames = []
    for key, block in results.factors.blocks(methods):
        chosen = against or (_best(results, key, means), BASELINE)
        found = statistics.paired_differences(block, RANKING, chosen)
        if found["n_datasets"].max() > 1:  # nothing can be said from one dataset
            frames.append(found.assign(**dict(zip(names, key, strict=True))))
    found = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_COLUMNS)
    return found.reindex(columns=[*names, *_COLUMNS])


def _of_methods(results: Results) -> pd.DataFrame:
    """The regimes of all readings but ceilings, with what comparisons need of them."""
    needed = [*results.factors.names, "label", "method", "task", *statistics.UNIT]
    told = [name for name in ("perturbation",) if name in results.regimes]
    columns = list(dict.fromkeys([*needed, *told, RANKING]))
    kept = (results.regimes["method"] != CEILING).to_numpy()
    return statistics.with_genes(without_rounds(results, results.regimes.loc[kept, columns]))


def friedman_note(pairs: statistics.Pairs) -> str:
    """What the Friedman test says of all methods that finished everything; "" for fewer than three
    of them or fewer than `FEW` datasets."""
    table = pairs.table()
    if table.shape[1] < 3 or len(table) < statistics.FEW:
        return ""
    found = statistics.friedman(METRICS[RANKING].merit(table.to_numpy(float)))
    p = p_text(found.p) if found.p < 0.001 else f"= {p_text(found.p)}"
    return (
        f"Friedman test of the {table.shape[1]} methods that finished everything: p {p}; average "
        f"ranks closer than {found.critical_difference:.2f} cannot be told apart (Nemenyi, "
        f"{found.n_datasets} {'perturbations' if pairs.by_gene else 'datasets'})."
    )


def _best(results: Results, key: tuple[str, ...], means: pd.DataFrame) -> str:
    """The best method of one block among those that cover it, "" where none does."""
    covers = covering(outcomes(results.factors.rows(results.readings, key)))
    return best_of(results.factors.rows(means, key), covers)


def _block(title: str, rows: pd.DataFrame, chosen: str, friedman: str) -> Block:
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
                Cell(signed(row["difference"])),
                Cell(
                    "–"
                    if np.isnan(row["low"])
                    else f"{signed(row['low'])} to {signed(row['high'])}"
                ),
                Cell(p_text(row["p"])),
                Cell(p_text(row["p_holm"]), best=bool(row["p_holm"] < 0.05)),
            )
        )
        for _, row in rows.sort_values(
            ["against", "difference"], ascending=[True, False]
        ).iterrows()
    ]
    pooled = rows["n_settings"].max() > 1
    note = (
        "Over perturbations that both finished: paired bootstrap and sign-flip test by gene or "
        "drug, all lines together; Holm over the block."
        if pooled and rows["by_gene"].all()
        else "Over datasets that both finished: paired bootstrap stratified by setting, sign-flip "
        "test, Holm over the block."
        if pooled
        else "One setting: t-interval over its datasets, no p-value."
    )
    power = statistics.power_note(
        float(rows["sd"].median()),
        int(rows["n_units"].median()),
        comparisons=max(int(rows["p"].notna().sum()), 1),
        unit="perturbations" if rows["by_gene"].all() else "datasets",
    )
    flips = statistics.flips_note(rows["p"].to_numpy(float))
    notes = (note, chosen, flips, power, friedman)
    return Block(title, columns, tuple(lines), tuple(text for text in notes if text))


def _chosen(results: Results, key: tuple[str, ...]) -> str:
    """How what the methods of a block are compared with was chosen."""
    if not covering(outcomes(results.factors.rows(results.readings, key))):
        return (
            "No method finished every dataset that others finished, so that none is the best: "
            f"compared with {BASELINE} alone."
        )
    return (
        "The best method was chosen on these data, among those that finished every dataset that "
        "others finished."
    )


def signed(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:+.3f}".replace("-", "−")


def p_text(value: float) -> str:
    return "–" if np.isnan(value) else "<0.001" if value < 0.001 else number(value)
