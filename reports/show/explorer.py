"""The numbers behind the leaderboard of a page: block by block, method by method, task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cdnbench.metrics import METRICS
from cdnbench.record import Status
from cdnbench.reports import statistics, times
from cdnbench.reports.frame import Results
from cdnbench.reports.show.packed import packed, small
from cdnbench.reports.standings import RANKING, block_title, simulated

STATUSES = ("not run", *map(str, Status))
"""What the codes in `status` mean."""
_SAME_AS_ANOTHER = ("rank",)


@dataclass(frozen=True, eq=False)
class Cells:
    """One block of the leaderboard as a grid.

    labels: names of the readings in the order of the leaderboard. tasks: names.
    readings: (labels, tasks) row of the readings, the first of several seeds; -1 where there is
        none.
    """

    key: tuple[str, ...]
    labels: tuple[str, ...]
    tasks: tuple[str, ...]
    readings: np.ndarray
    rows: pd.DataFrame

    @property
    def codes(self) -> tuple[np.ndarray, np.ndarray]:
        """The label and the task of each of the rows."""
        return _codes(self.rows["label"], self.labels), _codes(self.rows["task"], self.tasks)


def grids(results: Results, standing: pd.DataFrame) -> list[Cells]:
    """The blocks of a leaderboard. standing: as `standings` gives it."""
    found = []
    for key, own in results.factors.blocks(standing):
        rows = results.factors.rows(results.readings, key)
        labels = tuple(own["label"].astype(str))
        tasks = tuple(dict.fromkeys(rows["task"].astype(str)))
        cells = Cells(key, labels, tasks, np.full((len(labels), len(tasks)), -1), rows)
        label, task = cells.codes
        cells.readings[label[::-1], task[::-1]] = rows.index.to_numpy()[::-1]
        found.append(cells)
    return found


def board(results: Results, standing: pd.DataFrame, cells: Sequence[Cells]) -> str:
    """All that sorting, filtering and comparing needs, as `packed` writes it."""
    metrics = [
        metric
        for name, metric in METRICS.items()
        if name == RANKING  # also where every job failed
        or (metric.ranked and name not in _SAME_AS_ANOTHER and results.regimes[name].notna().any())
    ]
    names = [metric.name for metric in metrics]
    sums, counts = _per_reading(results, names)
    arrays: dict[str, np.ndarray] = {}
    blocks = []
    for number, grid in enumerate(cells):
        about, own = _block(results, standing, grid, sums, counts)
        blocks.append(about)
        arrays |= {f"{number}.{name}": array for name, array in own.items()}
    header = {
        "ranking": names.index(RANKING),
        "metrics": [
            {"title": m.title, "summary": m.summary, "higher": m.higher_is_better} for m in metrics
        ],
        "statuses": STATUSES,
        "factors": results.factors.names,
        "blocks": blocks,
    }
    return packed(header, arrays)


def _per_reading(results: Results, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of the defined values of each reading: (readings, metrics) each."""
    values = results.regimes[list(names)].to_numpy(float)
    n = len(results.readings)
    there = ~np.isnan(values)
    columns = range(len(names))
    sums = [np.bincount(results.rows, np.where(there[:, i], values[:, i], 0), n) for i in columns]
    counts = [np.bincount(results.rows, there[:, i], n) for i in columns]
    return np.column_stack(sums), np.column_stack(counts)


def _block(
    results: Results,
    standing: pd.DataFrame,
    grid: Cells,
    sums: np.ndarray,
    counts: np.ndarray,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    rows, shape = grid.rows, grid.readings.shape
    label, task = grid.codes
    cell = label * shape[1] + task
    size = shape[0] * shape[1]

    def into_cells(values: np.ndarray) -> np.ndarray:
        """(metrics, labels, tasks), summed over seeds."""
        own = values[rows.index.to_numpy()]
        return np.stack([np.bincount(cell, column, size).reshape(shape) for column in own.T])

    total, n = into_cells(sums), into_cells(counts)
    status = np.zeros(size, np.uint8)
    codes = _codes(rows["status"], STATUSES)
    np.maximum.at(status, cell, codes.astype(np.uint8))
    taken = times.comparable(results.jobs, rows).seconds.to_numpy(float)
    timed = ~np.isnan(taken)
    seconds = _ratio(
        np.bincount(cell[timed], taken[timed], size), np.bincount(cell[timed], None, size)
    )
    first = rows.drop_duplicates("task").set_index("task").loc[list(grid.tasks)]
    settings, setting = np.unique(first["setting"].astype(str), return_inverse=True)
    names, parts = _parts(settings.tolist())
    genes = statistics.with_genes(first.reset_index())[statistics.GENE].to_numpy(str)
    units = pd.Series(list(zip(setting, first["dataset"].astype(str), genes, strict=True)))
    dataset, unit = pd.factorize(units)
    own = results.factors.rows(standing, grid.key).set_index("label").loc[list(grid.labels)]
    about = {
        "title": block_title(results, grid.key),
        "key": grid.key,
        "told": results.factors.told(grid.key),
        "simulated": simulated(rows),
        "labels": grid.labels,
        "kinds": list(own["kind"]),
        "methods": [str(method) for method in own["method"]],
        "intervals": [_pair(low, high) for low, high in zip(own["low"], own["high"], strict=True)],
        "tasks": grid.tasks,
        "settingNames": names,
        "settings": parts,
        "datasets": [name for _, name, _ in unit],
        "genes": [gene for *_, gene in unit] if len(genes) and (genes != "").all() else None,
    }
    return about, {
        "mean": _ratio(total, n).astype(np.float32),
        "count": small(n),
        "status": status.reshape(shape),
        "seconds": seconds.reshape(shape).astype(np.float32),
        "setting": small(setting),
        "dataset": small(dataset),
    }


def _parts(settings: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The names of what makes a setting, and the values of each setting, from texts such as
    `n_nodes=10, mechanism=linear`. One name, "setting", where they are not of one form."""
    pairs = [[part.partition("=") for part in text.split(", ")] for text in settings]
    names = [[name for name, *_ in parts] for parts in pairs]
    if any(own != names[0] for own in names) or any(
        not sign for parts in pairs for _, sign, _ in parts
    ):
        return ["setting"], [[str(text)] for text in settings]
    return names[0], [[value for *_, value in parts] for parts in pairs]


def _pair(low: float, high: float) -> list[float] | None:
    return None if np.isnan(low) else [round(float(low), 6), round(float(high), 6)]


def _codes(values: pd.Series, of: Sequence[str]) -> np.ndarray:
    """(rows,) where each value stands among `of`."""
    places: Mapping[str, int] = {name: i for i, name in enumerate(of)}
    return values.astype(str).map(places).to_numpy(np.int64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)
