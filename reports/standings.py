"""Who stands where: one row per method in each block, for the leaderboard, the page and figures."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from cdnbench.metrics import METRICS
from cdnbench.reports import statistics, times
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.rounds import without_rounds
from cdnbench.reports.table import Kind

RANKING = "average_precision_tie"
"""The metric that orders methods."""
BOUNDS = (METRICS[RANKING].worst, METRICS[RANKING].best)
"""Its possible values."""
TRIVIAL = ("random", "target-shift")
"""Trivial baselines: the floor of every table."""
KIND, PERTURBED, CONTROLS = "kind", "perturbed", "control"
"""Of tasks of real data: whether their rows are perturbed, or controls."""
FEW = statistics.FEW
"""Fewer datasets than this are no ground for claims from means."""


def standings(results: Results) -> pd.DataFrame:
    """One row per (factors, label): the ceiling first, then by the mean of `RANKING`, those that do
    not cover the block last. Rounds of subsampling cells and controls against controls are left
    out.

    Columns: `<metric>` and `<metric>_sd` over datasets, and `<metric>_n`, how many have a value;
    `low` and `high`, the 95 % interval of `RANKING`; `spread` and `n_units`, the same in all rows
    of a block: the usual standard deviation of paired differences from its best method, and on how
    many perturbations or datasets they rest; `by_gene`, whether on perturbations; `n_settings` and
    `smallest_setting` (datasets); `finished` and `total` datasets; `covers`, whether it finished
    every dataset that any method finished; `failures` as text; `average_rank` with failures last,
    NaN for what was not tried on every one of these datasets; `seconds`, the median wall time of a
    task on one machine, see `times.comparable`; `kind` of the method.
    """
    names, factors = list(METRICS), results.factors
    # Only the columns that are needed: each selection of rows copies all that there are.
    needed = [*factors.names, "label", "method", *statistics.UNIT]
    kinds = [KIND] if KIND in results.readings else []
    told = [name for name in ("perturbation",) if name in results.regimes]
    columns = [*needed, *kinds, "status", "wall_s", "job"]
    all_readings = _perturbed(without_rounds(results, results.readings[columns]))
    means = statistics.dataset_means(
        statistics.with_genes(without_rounds(results, results.regimes[[*needed, *told, *names]])),
        names,
        [*factors.names, "label", statistics.GENE],
    )
    rows = []
    for key, readings in factors.blocks(all_readings):
        values = factors.rows(means, key)
        labels = _by_label(values)
        total = finished(readings[readings["method"] != CEILING].assign(status="ok"))
        done = outcomes(readings)
        covers = covering(done)
        ranks = _average_ranks(done, values)
        spread, n_units, by_gene = _spread(values, covers)
        seconds = times.comparable(results.jobs, readings).seconds
        for label, own in readings.groupby("label", observed=True, sort=False):
            found = values.iloc[labels.get(str(label), [])]
            numbers = found[names].to_numpy(float).T
            average, sd = _moments(numbers)
            sizes = np.unique(statistics.codes_of(found["setting"]), return_counts=True)[1]
            method = own["method"].iloc[0]
            ok = (own["status"] == "ok").to_numpy()
            rows.append(
                {
                    **dict(zip(factors.names, key, strict=True)),
                    "label": label,
                    "method": method,
                    **dict(zip(names, average, strict=True)),
                    **{f"{name}_sd": value for name, value in zip(names, sd, strict=True)},
                    **{f"{name}_n": n for name, n in found[names].notna().sum().items()},
                    **dict(zip(("low", "high"), interval(found), strict=True)),
                    "spread": spread,
                    "n_units": n_units,
                    "by_gene": by_gene,
                    "n_settings": len(sizes),
                    "smallest_setting": sizes.min(initial=len(found)),
                    "finished": finished(own),
                    "total": total if method != CEILING else finished(own.assign(status="ok")),
                    "covers": method == CEILING or str(label) in covers,
                    "failures": "" if ok.all() else failures(own),
                    "average_rank": ranks.get(str(label), np.nan),
                    "seconds": seconds[own.index].dropna().median(),
                }
            )
    if not rows:
        return pd.DataFrame(columns=[*factors.names, "label", "method", "kind", "covers", *names])
    frame = pd.DataFrame(rows)
    frame["kind"] = [kind(method) for method in frame["method"]]
    worst_first = METRICS[RANKING].merit(frame[RANKING])
    order = frame.assign(
        _ceiling=frame["kind"] != "reference", _partial=~frame["covers"], _value=-worst_first
    )
    return (
        order.sort_values([*factors.names, "_ceiling", "_partial", "_value", "label"])
        .drop(columns=["_ceiling", "_partial", "_value"])
        .reset_index(drop=True)
    )


def _perturbed(readings: pd.DataFrame) -> pd.DataFrame:
    """The readings without those of controls against controls: there is no target to be found, so
    that they count neither as finished nor as failed."""
    return readings[readings[KIND].astype(str) != CONTROLS] if KIND in readings else readings


def interval(found: pd.DataFrame) -> tuple[float, float]:
    """95 % interval of the mean of `RANKING` over datasets; see `statistics.mean_interval`.

    found: one row per dataset with `RANKING`, `setting` and, where it is known, `GENE`.
    """
    # In one order whatever order the jobs ended in: the same datasets are resampled alike, so that
    # methods share the resampling and the interval does not depend on the order of files.
    found = found.sort_values([c for c in statistics.UNIT if c in found], kind="stable")
    genes = found[statistics.GENE] if statistics.GENE in found else pd.Series([""])
    known = len(found) > 0 and bool((genes != "").all())
    return statistics.mean_interval(
        found[RANKING].to_numpy(float),
        statistics.codes_of(found["setting"]),
        statistics.codes_of(genes) if known else None,
        bounds=BOUNDS,
    )


def interval_unit(rows: pd.DataFrame) -> str:
    """What the intervals of the standings of a block are over: "perturbations" or "datasets"."""
    return "perturbations" if rows["n_settings"].max() > 1 and rows["by_gene"].all() else "datasets"


def _by_label(values: pd.DataFrame) -> dict[str, np.ndarray]:
    """Label -> its rows, in their order."""
    names, codes = statistics.coded(values["label"])
    order = np.argsort(codes, kind="stable")
    cuts = np.searchsorted(codes[order], np.arange(1, len(names)))
    return dict(zip(names, np.split(order, cuts), strict=True)) if names else {}


def _moments(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each row of (k, n), missing values left out; NaN where too few
    are there."""
    there = ~np.isnan(numbers)
    n = there.sum(axis=1)
    values = np.where(there, numbers, 0.0)
    mean = np.divide(values.sum(axis=1), n, out=np.full(len(n), np.nan), where=n > 0)
    squares = np.where(there, np.square(mean[:, None] - values), 0.0).sum(axis=1)
    variance = np.divide(squares, n - 1, out=np.full(len(n), np.nan), where=n > 1)
    return mean, np.sqrt(variance)


def _spread(values: pd.DataFrame, covers: set[str]) -> tuple[float, int, bool]:
    """`statistics.typical_spread` of one block, from its best method, and whether over genes."""
    methods = values[values["label"] != CEILING]
    best = best_of(methods, covers)
    if not best:
        return np.nan, 0, False
    spread, n_units = statistics.typical_spread(methods, RANKING, best)
    return spread, n_units, bool((methods[statistics.GENE] != "").all())


def best_of(means: pd.DataFrame, covers: set[str]) -> str:
    """The label of `covers` with the best mean of `RANKING`; "" where none of them has a value.

    means: one row per dataset and label of one block.
    """
    own = means[means["label"].astype(str).isin(covers)]
    scores = own.groupby(own["label"].astype(str))[RANKING].mean().dropna()
    return str(METRICS[RANKING].merit(scores).idxmax()) if len(scores) else ""


def outcomes(readings: pd.DataFrame) -> pd.DataFrame:
    """(datasets, labels) of one block: whether every job of a label on a dataset is ok; missing
    where it has none. Ceilings are left out.

    readings: one row per job, with `label`, `method`, `status` and the columns of `UNIT`.
    """
    readings = readings[readings["method"] != CEILING]
    unit = [*statistics.UNIT, "label"]
    ok = (readings["status"] == "ok").groupby([readings[c].astype(str) for c in unit])
    return ok.all().unstack("label")


def covering(done: pd.DataFrame) -> set[str]:
    """The labels that finished every dataset that any label finished, none where none finished one.

    Means are only comparable among these. done: as `outcomes` gives it.
    """
    ok = done.eq(True)
    finished_by_any = ok[ok.any(axis=1)]
    return set(ok.columns[finished_by_any.all()]) if len(finished_by_any) else set()


def block_title(results: Results, key: tuple[str, ...]) -> str:
    """`synthetic, protocol clean`. The title says so where the data are simulated."""
    told = (f"{name} {value}" for name, value in results.factors.told(key))
    title = ", ".join([key[0], *told])
    readings = results.factors.rows(results.readings, key)
    return f"{title} [SIMULATED DATA]" if simulated(readings) else title


def simulated(readings: pd.DataFrame) -> bool:
    """Whether any task stands in for real data.

    Its metadata say so: `simulated` is true, or `origin` is "simulated".
    """
    flags = readings["simulated"].eq(True) if "simulated" in readings else pd.Series(dtype=bool)
    origins = readings["origin"].eq("simulated") if "origin" in readings else flags
    return bool(flags.any() or origins.any())


def kind(method: str) -> Kind:
    """How tables show a method of ours."""
    return "reference" if method == CEILING else "trivial" if method in TRIVIAL else "method"


def finished(readings: pd.DataFrame) -> int:
    """For how many (setting, dataset) pairs every job of the reading is ok."""
    setting, dataset = (statistics.codes_of(readings[name]) for name in statistics.UNIT)
    unit = setting * (dataset.max(initial=0) + 1) + dataset
    failed = (readings["status"] != "ok").to_numpy()
    return len(np.setdiff1d(unit, unit[failed]))


def failures(readings: pd.DataFrame) -> str:
    """`2 timeout, 1 oom`."""
    counts = Counter(readings["status"].astype(str))
    return ", ".join(f"{n} {status}" for status, n in counts.most_common() if status != "ok")


def _average_ranks(done: pd.DataFrame, means: pd.DataFrame) -> dict[str, float]:
    """Label -> average rank over datasets, among the labels that were tried on every dataset that
    any label finished; there may be none. A dataset counts as failed if any of its jobs did.

    done: as `outcomes` gives it.
    """
    unit = [*statistics.UNIT, "label"]
    tried = done.notna()[done.eq(True).any(axis=1)].all()
    done = done.loc[:, tried]
    if done.columns.empty:
        return {}
    values = means.assign(**{c: means[c].astype(str) for c in unit}).set_index(unit)[RANKING]
    values = METRICS[RANKING].merit(values)
    values = values.unstack("label").reindex(index=done.index, columns=done.columns)
    ranks = statistics.average_ranks(
        values.where(done.eq(True)).to_numpy(float), done.notna().to_numpy()
    )
    return dict(zip(done.columns, ranks, strict=True))
