"""The leaderboard: one block per combination of factors, methods by mean average precision over
datasets."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cdnbench.metrics import METRICS, TOP
from cdnbench.reports import statistics, times
from cdnbench.reports.frame import Results
from cdnbench.reports.rounds import rounds_note
from cdnbench.reports.standings import (
    FEW,
    RANKING,
    TRIVIAL,
    block_title,
    interval_unit,
    standings,
)
from cdnbench.reports.table import (
    Block,
    Cell,
    Column,
    Row,
    Table,
    interval,
    number,
    place_best,
    seconds,
)

SUMMARY = (
    "methods by mean average precision, one block per suite and protocol; its CSV is the tidy frame"
)


def build(results: Results) -> Table:
    """The frame has one row per method and block, as `standings` gives it."""
    frame = standings(results)
    blocks = tuple(_block(results, key, rows) for key, rows in results.factors.blocks(frame))
    notes = (*results.notes, *rounds_note(results))
    return Table("leaderboard", "Leaderboard", blocks, frame, notes)


def _block(results: Results, key: tuple[str, ...], rows: pd.DataFrame) -> Block:
    ranked = (rows["kind"] != "reference").to_numpy()
    whole = ranked & rows["covers"].to_numpy(bool)
    top = [k for k in TOP if rows[f"recall_at_{k}"].notna().any()]
    profiled = ["top1_pearson"] if rows["top1_pearson"].notna().any() else []
    plain = ["auroc", *(f"recall_at_{k}" for k in top), *profiled]
    best = {name: np.zeros(len(rows), bool) for name in [RANKING, *plain, "average_rank"]}
    for name in best:
        values = rows[name].to_numpy(float)[whole]
        best[name][whole] = (
            place_best(-values, digits=2)
            if name == "average_rank"
            else place_best(METRICS[name].merit(values))
        )
    partial = (~rows["covers"] & rows[RANKING].notna()).to_numpy()
    columns = (
        Column("method", align="left"),
        Column("mAP"),
        Column("95 %"),
        Column("AUROC = rank"),
        *(Column(f"R@{k}", optional=2 if i == 0 else 2 + len(top) - i) for i, k in enumerate(top)),
        *(Column(METRICS[name].title, optional=1) for name in profiled),
        Column("coverage", optional=6),
        Column("avg. rank", optional=1),
        Column("datasets"),
        Column("failures", align="left"),
        Column("s/task", optional=1),
    )
    lines = []
    for i, (_, row) in enumerate(rows.iterrows()):
        cells = [
            Cell(row["label"]),
            Cell(number(row[RANKING]), best[RANKING][i], "†" if partial[i] else ""),
            Cell(interval(row["low"], row["high"])),
            *(Cell(number(row[name]), best[name][i]) for name in plain),
            Cell(number(row["coverage"], 2)),
            Cell(number(row["average_rank"], 2) if ranked[i] else "", best["average_rank"][i]),
            Cell(f"{row['finished']}/{row['total']}"),
            Cell(row["failures"]),
            Cell(seconds(row["seconds"]) if ranked[i] else ""),
        ]
        lines.append(Row(tuple(cells), row["kind"]))
    return Block(
        block_title(results, key),
        columns,
        tuple(lines),
        (
            *_notes(rows, partial),
            *_power(rows),
            *_leakage(results, key),
            *_noise(results, key),
            *_unconverged(results, key),
            *_machines(results, key),
        ),
    )


def _notes(rows: pd.DataFrame, partial: np.ndarray) -> tuple[str, ...]:
    one_setting = rows["n_settings"].max() <= 1
    how = (
        "a t-interval over datasets"
        if one_setting
        else "a bootstrap over perturbed genes or drugs, each with all of its lines"
        if interval_unit(rows) == "perturbations"
        else "a bootstrap over whole datasets, setting by setting"
    )
    notes = [
        f"mAP: the mean over datasets with its 95 % interval ({how}). Variables with equal scores "
        "count as the mean over all their orders. The intervals of two methods may overlap "
        "although one is better on nearly every dataset, so compare two with `--table "
        "comparisons`. The average rank is among the methods that were tried on every dataset; "
        "those that failed on a dataset share the last place there. R@k: targets among the first "
        "k, over k or the number of targets, whichever is less."
    ]
    most = {k: int(rows[f"recall_at_{k}_n"].max()) for k in TOP}
    few = [f"R@{k} on {n}" for k, n in most.items() if 0 < n < rows[f"{RANKING}_n"].max()]
    if few:
        notes.append(f"Regimes of k candidates or fewer have no R@k: {', '.join(few)} datasets.")
    if bool((rows["low"].isna() & rows[RANKING].notna()).any()):
        notes.append(
            f"No interval (–): all datasets have the same value, or there are too few (one; fewer "
            f"than {FEW} over several settings)."
        )
    if partial.any():
        notes.append(
            "† did not finish every dataset that others finished: such methods stand last and are "
            "never marked as the best. They have an average rank only if they were tried on all."
        )
    if rows["smallest_setting"].max() < FEW:
        notes.append(f"Fewer than {FEW} datasets per setting: no ground for claims from means.")
    if not (rows["kind"] == "reference").any():
        notes.append("No ceiling: the suite does not know its own truth well enough.")
    missing = [name for name in TRIVIAL if name not in set(rows["method"])]
    if missing:
        notes.append(f"Not run: {', '.join(missing)}; without them the floor is unknown.")
    return tuple(notes)


def _power(rows: pd.DataFrame) -> list[str]:
    """Which differences from the best method the datasets can show."""
    methods = rows[(rows["kind"] != "reference") & rows[RANKING].notna()]
    if len(methods) < 2:
        return []
    first = methods.iloc[0]
    note = statistics.power_note(
        float(first["spread"]),
        int(first["n_units"]),
        comparisons=len(methods) - 1,
        unit="perturbations" if first["by_gene"] else "datasets",
    )
    return [note] if note else []


def _leakage(results: Results, key: tuple[str, ...]) -> list[str]:
    """In how many tasks a target is one that trained methods have seen."""
    readings = results.factors.rows(results.readings, key)
    if "target_in_training" not in readings:
        return []
    seen = readings.drop_duplicates("task")["target_in_training"].dropna()
    if seen.empty:
        return []
    return [
        f"Leakage of the split: {seen.eq(True).sum()} of {len(seen)} tasks have a target that "
        "training has as well (bench data check)."
    ]


def _noise(results: Results, key: tuple[str, ...]) -> list[str]:
    """What the cells of the tasks allow."""
    readings = results.factors.rows(results.readings, key)
    if "reliability" not in readings:
        return []
    tasks = readings[readings["masking"].astype(str) == "none"].drop_duplicates("task")
    r, found = (
        pd.to_numeric(tasks[name].astype(object)).mean() for name in ("reliability", "retrieval")
    )
    if np.isnan(r):
        return []
    return [
        f"Noise ceiling: profiles correlate {r:.3f} with what repeating the experiment would "
        "give; half of a perturbation's cells finds "
        f"its other half first among the line's perturbations in {found:.3f} (labelled profile "
        "retrieval)."
    ]


def _unconverged(results: Results, key: tuple[str, ...]) -> list[str]:
    """One line for each method that has jobs which did not converge."""
    readings = results.factors.rows(results.readings, key)
    readings = readings[(readings["job"] >= 0) & (readings["status"] == "ok")].drop_duplicates(
        "job"
    )
    said = results.jobs["converged"].reindex(readings["job"]).eq(False).to_numpy()
    counts = (
        readings.assign(said=said)
        .groupby("method", sort=False, observed=True)["said"]
        .agg(["sum", "size"])
    )
    return [
        f"{method}: {row['sum']} of {row['size']} jobs did not converge (`--table jobs` says how "
        "far they came)."
        for method, row in counts.iterrows()
        if row["sum"]
    ]


def _machines(results: Results, key: tuple[str, ...]) -> list[str]:
    """Which machine the times are of where the methods ran on several, and how they were taken
    where that is not as usual, beside other jobs."""
    taken = times.comparable(results.jobs, results.factors.rows(results.readings, key))
    alone = f"s/task: {times.ALONE}." if taken.timed == times.ALONE else ""
    return [note for note in (alone, *taken.caveats, taken.note("s/task")) if note]
