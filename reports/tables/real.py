"""The table `real`: a column per real data set, the mean over them, and false alarms.

Results of the suite `real` and of the suites of single data sets; what other suites hold is left
out. `source` names the data set of a task, `kind` says whether its rows are perturbed or controls.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cdnbench.reports import statistics
from cdnbench.reports.frame import Results
from cdnbench.reports.standings import KIND, PERTURBED, block_title, kind
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number, place_best

SUMMARY = "real data: share found first in each data set, the mean over data sets, false alarms"
SOURCE = "source"
"""Columns that the suites of real data give to their tasks."""
TOP_SCORE = "top_score"
SHOWN = {
    "recall_at_1": "share found first (R@1)",
    "rank": "mean rank of the target (1 is first, .5 chance)",
}
MOVES, STILL = "alarm_moves", "alarm_still"
ALARMS = {
    MOVES: "perturbed samples told from controls, where the target's own values move",
    STILL: "perturbed samples told from controls, where the target's own values do not move",
}
_PARTIAL = "†"


def build(results: Results) -> Table:
    """The table. Its frame has one row per (factors, label, data set), see `by_source`."""
    frame = by_source(results)
    blocks = [
        block
        for key, rows in results.factors.blocks(frame)
        for name, title in (*SHOWN.items(), *ALARMS.items())
        if (block := _block(rows, name, f"{block_title(results, key)}: {title}")) is not None
    ]
    return Table(
        name="real",
        title="Real data",
        blocks=tuple(blocks),
        frame=frame,
        notes=() if blocks else ("No results on real data sets: bench run --suite real.",),
    )


def by_source(results: Results) -> pd.DataFrame:
    """One row per (factors, label, method, data set).

    Columns: `finished` and `total`, readings of perturbed tasks, and `regimes` of these tasks; the
    metrics of `SHOWN`, means over the finished regimes; `alarm_moves` and `alarm_still`, the chance
    that the top score of a perturbed regime exceeds that of a control task (AUROC), for regimes
    with a target whose own column moves detectably and for the others, NaN where there are none;
    `n_moves`, `n_still`, `n_control`, the regimes behind these.
    """
    readings, regimes = results.readings, results.regimes
    keys = [*results.factors.names, "label", "method", SOURCE]
    columns = [
        *keys,
        *("finished", "total", "regimes"),
        *SHOWN,
        *ALARMS,
        *("n_moves", "n_still", "n_control"),
    ]
    if SOURCE not in readings or KIND not in readings:
        return pd.DataFrame(columns=columns)
    readings = readings[readings[SOURCE].notna() & (readings[KIND] == PERTURBED)]
    regimes = regimes[regimes[SOURCE].notna()]
    # seeds averaged, for all methods at once
    once = regimes.groupby([*keys, KIND, "task", "regime"], observed=True, sort=False)
    top = once[["detectable", TOP_SCORE]].mean().reset_index()
    alarms = {key: _alarms(own) for key, own in top.groupby(keys, observed=True, sort=False)}
    none = _alarms(top.iloc[:0])
    means = regimes.groupby(keys, observed=True, sort=False)[[*SHOWN]].mean()
    shown = dict(zip(means.index, means.to_dict("records"), strict=True))
    rows = []
    for key, tasks in readings.groupby(keys, observed=True, sort=False):
        rows.append(
            {
                **dict(zip(keys, map(str, key), strict=True)),  # type: ignore[arg-type]
                "finished": int((tasks["status"] == "ok").sum()),
                "total": len(tasks),
                "regimes": int(tasks.drop_duplicates("task")["n_regimes"].sum()),
                **shown.get(key, dict.fromkeys(SHOWN, np.nan)),
                **alarms.get(key, none),
            }
        )
    return pd.DataFrame(rows, columns=columns)


def _alarms(scores: pd.DataFrame) -> dict[str, float]:
    """Top scores of perturbed regimes against those of control tasks."""
    scores = scores.dropna(subset=[TOP_SCORE])
    control = scores.loc[scores[KIND] == "control", TOP_SCORE].to_numpy()
    perturbed = scores[scores[KIND] == "perturbed"]
    moves = perturbed.loc[perturbed["detectable"] == 1, TOP_SCORE].to_numpy()
    still = perturbed.loc[perturbed["detectable"] < 1, TOP_SCORE].to_numpy()
    return {
        MOVES: exceeds(moves, control),
        STILL: exceeds(still, control),
        "n_moves": len(moves),
        "n_still": len(still),
        "n_control": len(control),
    }


def exceeds(high: np.ndarray, low: np.ndarray) -> float:
    """The chance that one of `high` exceeds one of `low`, ties one half; NaN where either is
    empty.

    >>> exceeds(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    0.875
    """
    if not len(high) or not len(low):
        return float("nan")
    from scipy import stats  # half a second, which other tables need not wait for

    ranks = stats.rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.mean() - (len(high) + 1) / 2) / len(low))


def _block(rows: pd.DataFrame, name: str, title: str) -> Block | None:
    """Methods by the mean over data sets, those that finished all of them first; None where no data
    set has a value."""
    alarm = name in ALARMS
    values = rows.pivot_table(index="label", columns=SOURCE, values=name, sort=False)
    sources = sorted(map(str, values))
    if not sources:
        return None
    values = values[sources].reindex(rows["label"].unique())
    counts = values.notna().sum(axis=1)
    half = statistics.t_halfwidth(values.std(axis=1).to_numpy(), counts.to_numpy())
    mean = values.mean(axis=1)
    whole = _finished(rows, values, sources)
    complete = whole.all(axis=1)
    # A mean over some data sets alone is no place among means over all of them.
    order = np.lexsort((values.index.to_numpy(str), -mean.fillna(-np.inf), ~complete))
    best = {
        source: place_best(values[source].where(whole[source]).to_numpy()) for source in sources
    }
    best_mean = place_best(mean.where(complete).to_numpy())
    methods = dict(zip(rows["label"], rows["method"], strict=True))
    lines = []
    for i in order:
        label = str(values.index[i])
        cells = [
            Cell(
                number(values[s].iloc[i]),
                bool(best[s][i]),
                "" if whole[s].iloc[i] or np.isnan(values[s].iloc[i]) else _PARTIAL,
            )
            for s in sources
        ]
        mark = "" if complete.iloc[i] or not counts.iloc[i] else _PARTIAL
        cells.append(Cell(_interval(mean.iloc[i], float(half[i])), bool(best_mean[i]), mark))
        cells.append(Cell(f"{counts.iloc[i]}/{len(sources)}"))
        lines.append(Row((Cell(label), *cells), kind(methods[label])))
    columns = (
        Column("method", align="left"),
        *(Column(source) for source in sources),
        Column("mean ± 95 % t"),
        Column("data sets"),
    )
    notes = _alarm_notes(rows, name, sources) if alarm else _notes(rows, sources)
    if not whole.to_numpy().all():
        notes = (
            *notes,
            f"{_PARTIAL} rests on fewer tasks or data sets than were run; such methods stand below "
            "the others.",
        )
    return Block(title, columns, tuple(lines), notes)


def _finished(rows: pd.DataFrame, values: pd.DataFrame, sources: Sequence[str]) -> pd.DataFrame:
    """Whether every task of a data set is finished, by label and data set."""
    done = rows.assign(done=rows["finished"] == rows["total"])
    table = done.pivot_table(index="label", columns=SOURCE, values="done", aggfunc="min")
    table = table.reindex(index=values.index, columns=sources)
    return table.eq(True) & values.notna()


def _interval(mean: float, half: float) -> str:
    return number(mean) if np.isnan(half) else f"{mean:.3f} ± {half:.3f}"


def _notes(rows: pd.DataFrame, sources: Sequence[str]) -> tuple[str, ...]:
    sizes = rows.groupby(SOURCE)["regimes"].max()
    regimes = ", ".join(f"{source} {sizes[source]}" for source in sources)
    return (f"Perturbed regimes: {regimes}. Every data set counts once in the mean.",)


def _alarm_notes(rows: pd.DataFrame, name: str, sources: Sequence[str]) -> tuple[str, ...]:
    sizes = rows.groupby(SOURCE)[["n_control", "n_moves" if name == MOVES else "n_still"]].max()
    pairs = ", ".join(f"{s} {sizes.loc[s].iloc[1]} against {sizes.loc[s].iloc[0]}" for s in sources)
    return (
        "AUROC of the top score: how often that of a perturbed regime exceeds that of controls "
        "against controls; .5: the method cannot tell whether anything moved.",
        f"Regimes against control tasks: {pairs}.",
        "Where controls are few, control tasks have fewer rows than perturbed ones: a score that "
        "grows with the rows then looks better than it is.",
    )
