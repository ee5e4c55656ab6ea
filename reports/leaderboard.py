"""The leaderboard: one block per combination of `FACTORS`, methods by mean average precision over
datasets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd

from cdnbench.metrics import METRICS, TOP
from cdnbench.reports import statistics
from cdnbench.reports.frame import CEILING, FACTORS, Results
from cdnbench.reports.table import (
    Block,
    Cell,
    Column,
    Kind,
    Row,
    Table,
    number,
    place_best,
    plus_minus,
    seconds,
)

RANKING = "average_precision_tie"
TRIVIAL = ("random", "target-shift")
"""Trivial baselines: the floor of every table."""
FEW = 5


def leaderboard(results: Results) -> Table:
    frame = standings(results)
    blocks = tuple(_block(results, key, rows) for key, rows in by_factors(frame))
    return Table(
        name="leaderboard", title="Leaderboard", blocks=blocks, frame=frame, notes=results.notes
    )


def standings(results: Results) -> pd.DataFrame:
    """One row per (factors, label), the ceiling first and then by falling mean of `RANKING`.

    Columns: `<metric>` and `<metric>_sd` over datasets; `low`, `high` (95 % interval of `RANKING`:
    t in one setting, stratified bootstrap over several); `n_settings`; `finished` and `total`
    datasets; `failures` as text; `average_rank` with failures last; `seconds` (median wall time of
    a task).
    """
    names = list(METRICS)
    means = statistics.dataset_means(
        statistics.with_genes(results.regimes), names, ["label", statistics.GENE]
    )
    rows = []
    for key, readings in by_factors(results.readings):
        values = same_factors(means, key)
        total = _datasets(readings[readings["label"] != CEILING])
        ranks = _average_ranks(readings, values)
        for label, own in readings.groupby("label", observed=True, sort=False):
            found = values[values["label"] == label]
            rows.append(
                {
                    **dict(zip(FACTORS, key, strict=True)),
                    "label": label,
                    "method": own["method"].iloc[0],
                    **{name: found[name].mean() for name in names},
                    **{f"{name}_sd": found[name].std() for name in names},
                    **dict(zip(("low", "high"), interval(found), strict=True)),
                    "n_settings": found["setting"].nunique(),
                    "smallest_setting": found.groupby("setting", observed=True).size().min()
                    if len(found)
                    else 0,
                    "finished": len(finished(own)),
                    "total": len(total) if label != CEILING else len(_datasets(own)),
                    "failures": failures(own),
                    "average_rank": ranks.get(str(label), np.nan),
                    "seconds": own.loc[own["status"] == "ok", "wall_s"].dropna().median(),
                }
            )
    frame = pd.DataFrame(rows)
    frame["kind"] = [kind(method) for method in frame["method"]]
    order = frame.assign(_ceiling=frame["kind"] != "reference", _value=-frame[RANKING])
    return (
        order.sort_values([*FACTORS, "_ceiling", "_value", "label"])
        .drop(columns=["_ceiling", "_value"])
        .reset_index(drop=True)
    )


def interval(found: pd.DataFrame) -> tuple[float, float]:
    """95 % interval of the mean of `RANKING` over datasets: t in one setting, bootstrap over
    several, by gene where genes are perturbed in several lines.

    None (NaN) from fewer than `FEW` datasets over several settings: resampling so few says next to
    nothing.
    """
    values = found.dropna(subset=[RANKING])
    if values["setting"].nunique() > 1 and len(values) < FEW:
        return np.nan, np.nan
    if (
        values["setting"].nunique() > 1
        and statistics.GENE in values
        and (values[statistics.GENE] != "").all()
    ):
        return statistics.cluster_bootstrap_interval(
            values[RANKING].to_numpy(), values[statistics.GENE].to_numpy(str)
        )
    if values["setting"].nunique() > 1:
        return statistics.bootstrap_interval(
            values[RANKING].to_numpy(), values["setting"].to_numpy(str)
        )
    half = float(statistics.t_halfwidth(values[RANKING].std(), len(values)))
    return values[RANKING].mean() - half, values[RANKING].mean() + half


def by_factors(frame: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """Each combination of `FACTORS` with its rows, in order."""
    for key, rows in frame.groupby(list(FACTORS), observed=True, sort=True):
        yield tuple(map(str, key)), rows  # type: ignore[arg-type]


def block_title(results: Results, key: tuple[str, ...]) -> str:
    """`synthetic, protocol clean`; it says so where the data are simulated."""
    title = ", ".join([key[0], *(f"{name} {value}" for name, value in named_factors(key))])
    return f"{title} [SIMULATED DATA]" if simulated(same_factors(results.readings, key)) else title


def named_factors(key: tuple[str, ...]) -> list[tuple[str, str]]:
    """The factors but the suite that say something: `standardise none` and `track joint` go without
    saying."""
    factors = zip(FACTORS[1:], key[1:], strict=True)
    return [(name, value) for name, value in factors if value not in ("", "none", "joint")]


def simulated(readings: pd.DataFrame) -> bool:
    """Whether any task stands in for real data: metadata `simulated` true, or `origin` =
    "simulated"."""
    flagged = (
        [readings["simulated"].astype(str).str.lower().eq("true")]
        if "simulated" in readings
        else []
    )
    flagged += [readings["origin"].astype(str).eq("simulated")] if "origin" in readings else []
    return any(bool(f.any()) for f in flagged)


def kind(method: str) -> Kind:
    return "reference" if method == CEILING else "trivial" if method in TRIVIAL else "method"


def finished(readings: pd.DataFrame) -> set[tuple[str, str]]:
    """(setting, dataset) of which every job of the reading is ok."""
    failed = _datasets(readings[readings["status"] != "ok"])
    return _datasets(readings) - failed


def failures(readings: pd.DataFrame) -> str:
    """`2 timeout, 1 oom`."""
    counts = Counter(readings["status"].astype(str))
    return ", ".join(f"{n} {status}" for status, n in counts.most_common() if status != "ok")


def _datasets(readings: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(readings["setting"].astype(str), readings["dataset"].astype(str), strict=True))


def same_factors(frame: pd.DataFrame, key: tuple[str, ...]) -> pd.DataFrame:
    """The rows of one combination of `FACTORS`."""
    same = np.ones(len(frame), bool)
    for factor, value in zip(FACTORS, key, strict=True):
        same &= (frame[factor] == value).to_numpy()
    return frame[same]


def _average_ranks(readings: pd.DataFrame, means: pd.DataFrame) -> dict[str, float]:
    """Label -> average rank over datasets. A dataset of which any job failed counts as failed."""
    readings = readings[readings["label"] != CEILING]
    unit = [*statistics.UNIT, "label"]
    ok = (
        (readings["status"] == "ok")
        .groupby([readings[c].astype(str) for c in unit])
        .all()
        .unstack("label")
    )
    values = means.assign(**{c: means[c].astype(str) for c in unit}).set_index(unit)[RANKING]
    values = values.unstack("label").reindex(index=ok.index, columns=ok.columns)
    defined = values.notna().any(axis=1).to_numpy() | ~ok.eq(True).any(axis=1).to_numpy()
    ran = ok.notna().to_numpy() & defined[:, None]
    ranks = statistics.average_ranks(values.where(ok.eq(True)).to_numpy(float), ran)
    return dict(zip(ok.columns, ranks, strict=True))


def _block(results: Results, key: tuple[str, ...], rows: pd.DataFrame) -> Block:
    ranked = (rows["kind"] != "reference").to_numpy()
    top = [k for k in TOP if rows[f"recall_at_{k}"].notna().any()]
    profiled = ["top1_pearson"] if rows["top1_pearson"].notna().any() else []
    plain = ["auroc", *(f"recall_at_{k}" for k in top), *profiled]
    best = {name: np.zeros(len(rows), bool) for name in [RANKING, *plain, "average_rank"]}
    for name in best:
        values = rows[name].to_numpy(float) * (-1 if name == "average_rank" else 1)
        best[name][ranked] = place_best(values[ranked], digits=2 if name == "average_rank" else 3)
    partial = ((rows["finished"] < rows["total"]) & rows[RANKING].notna()).to_numpy()
    columns = (
        Column("method", align="left"),
        Column("mAP"),
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
            Cell(
                plus_minus(row[RANKING], row[f"{RANKING}_sd"]),
                best[RANKING][i],
                "†" if partial[i] else "",
            ),
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
            *_leakage(results, key),
            *_noise(results, key),
            *_unconverged(results, key),
        ),
    )


def _notes(rows: pd.DataFrame, partial: np.ndarray) -> tuple[str, ...]:
    notes = [
        "mAP ± standard deviation over datasets, ties in expectation; average rank with failures "
        "tied last."
    ]
    if partial.any():
        notes.append("† rests on fewer datasets than were run: compare by the average rank.")
    if rows["smallest_setting"].max() < FEW:
        notes.append(f"Fewer than {FEW} datasets a setting: no ground for claims from means.")
    if not (rows["kind"] == "reference").any():
        notes.append("No ceiling: the suite does not know its own truth well enough.")
    missing = [name for name in TRIVIAL if name not in set(rows["method"])]
    if missing:
        notes.append(f"Not run: {', '.join(missing)}; without them the floor is unknown.")
    return tuple(notes)


def _leakage(results: Results, key: tuple[str, ...]) -> list[str]:
    """How many tasks ask for what a trained method has seen as a target."""
    readings = same_factors(results.readings, key)
    if "target_in_training" not in readings:
        return []
    seen = readings.drop_duplicates("task")["target_in_training"].dropna().astype(str).str.lower()
    if seen.empty:
        return []
    return [
        f"Leakage of the split: {seen.eq('true').sum()} of {len(seen)} tasks have a target that "
        "training has as well (bench data check)."
    ]


def _noise(results: Results, key: tuple[str, ...]) -> list[str]:
    """What the cells of the tasks allow."""
    readings = same_factors(results.readings, key)
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
    """One line for each method some of whose jobs say that they did not converge."""
    readings = same_factors(results.readings, key)
    readings = readings[(readings["job"] >= 0) & (readings["status"] == "ok")].drop_duplicates(
        "job"
    )
    said = (
        results.jobs["note"]
        .reindex(readings["job"])
        .fillna("")
        .str.startswith("not converged")
        .to_numpy()
    )
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
