"""The paper's Table 9: running times. Its values are lost, so ours stand alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cdnbench.record import FitRecord
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.standings import kind
from cdnbench.reports.table import Block, Cell, Column, Row, Table, seconds
from cdnbench.reports.times import ALONE, BESIDE, BUSY, MACHINE, busy_note, machine_in_words

SUMMARY = "the paper's Table 9 (running times); its values are lost, so ours stand alone"
_MACHINE = (*MACHINE, "timed")
_SIZES = ("suite", "size")
_BANDS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Upper ends of the bands of sizes, where a suite has many sizes."""
_FEW_SIZES = 4
_BUSY_MARK = "‡"


def build(results: Results) -> Table:
    """One block per machine, since times of different machines must not share a column.

    The frame has one row per (machine, suite, number of variables, method).
    """
    frame = times(results)
    blocks = tuple(
        _block(dict(zip(_MACHINE, map(str, key), strict=True)), rows)  # type: ignore[arg-type]
        for key, rows in frame.groupby(list(_MACHINE), sort=True)
    )
    fits = trainings(results)
    blocks += tuple(_training_block(str(host), rows) for host, rows in fits.groupby("host"))
    notes = (
        "Median wall time of a task in seconds, all of its regimes together; training is not "
        "counted. The paper's Table 9 is not recoverable, so no printed value stands beside ours.",
    )
    if len(fits):
        notes = (
            *notes,
            "One training: the median where there are several, of all splits and maskings, beside "
            "other jobs. Archives that older versions compacted have none.",
        )
    if not (frame["timed"] == ALONE).any():
        notes = (
            *notes,
            "No job was timed alone. `bench run --timing` does that; times beside other jobs say "
            "what a run cost, not how fast a method is.",
        )
    busy = frame[frame["load"] > BUSY]
    if len(busy):
        notes = (*notes, f"{_BUSY_MARK} {busy_note(busy.groupby('label')['load'].max().to_dict())}")
    return Table("table9", "Table 9: running times", blocks, frame, notes)


def times(results: Results) -> pd.DataFrame:
    """Median and longest wall time of finished tasks, their number, and the highest load average at
    which one was timed alone. Where a method was timed alone on tasks of a size, its times beside
    other jobs on the same machine are not shown for that size."""
    jobs = results.jobs
    jobs = jobs[(jobs["status"] == "ok") & ~jobs["superseded"].astype(bool)]
    sizes = results.readings.drop_duplicates("job").set_index("job")["n_variables"]
    jobs = jobs.assign(n_variables=sizes.reindex(jobs.index)).dropna(subset=["n_variables"])
    jobs = jobs[jobs["method"] != CEILING]
    alone = jobs["wall_s_single"].notna()
    jobs = jobs.assign(
        timed=alone.map({True: ALONE, False: BESIDE}),
        seconds=jobs["wall_s_single"].where(alone, jobs["wall_s"]),
        threads=jobs["threads"].astype(int),
        n_variables=jobs["n_variables"].astype(int),
        suite=jobs["suite"].astype(str),
    ).dropna(subset=["seconds"])
    sizes = jobs.groupby("suite")["n_variables"]
    jobs = jobs.assign(size=sizes.transform(_bands), banded=sizes.transform("nunique") > _FEW_SIZES)
    place = [*MACHINE, *_SIZES, "label", "method"]
    better = (jobs["timed"] == ALONE).groupby([jobs[name] for name in place]).transform("any")
    jobs = jobs[(jobs["timed"] == ALONE) | ~better]
    return (
        jobs.groupby([*place, "timed", "banded"], sort=True)
        .agg(
            seconds=("seconds", "median"),
            longest_s=("seconds", "max"),
            tasks=("seconds", "count"),
            load=("load_average", "max"),
        )
        .reset_index()
    )


def trainings(results: Results) -> pd.DataFrame:
    """Median wall time of finished trainings, one row per (host, suite, size, label).

    size: that of the simulated lines, "" for the usual one. The label is that of the jobs that a
    training was for, so that what it was told of the genes counts. Splits and maskings are
    together.
    """
    jobs = results.jobs
    fits = jobs[(jobs["kind"] == FitRecord.kind) & (jobs["status"] == "ok")]
    fits = fits.drop_duplicates("key").set_index("key")  # a store and its archive hold it both
    users = jobs[jobs["fit"].isin(fits.index) & ~jobs["superseded"].astype(bool)]
    users = users.drop_duplicates("fit")
    readings = results.readings.drop_duplicates("job").set_index("job")
    told = readings["size"].astype(object) if "size" in readings else pd.Series("", readings.index)
    sizes = told.fillna("").astype(str)
    used = users.assign(
        size=sizes.reindex(users.index).fillna("").to_numpy(),
        seconds=fits["wall_s"].reindex(users["fit"]).to_numpy(),
        host=fits["host"].reindex(users["fit"]).to_numpy(),
    )
    place = ["host", "suite", "size", "label", "method"]
    used = used.astype(dict.fromkeys(place, str))
    return used.groupby(place)["seconds"].median().dropna().reset_index()


def _training_block(host: str, rows: pd.DataFrame) -> Block:
    rows = rows.assign(
        column=rows["suite"] + rows["size"].map(lambda size: f", size {size}" if size else "")
    )
    seen = rows.set_index(["label", "column"])["seconds"].to_dict()
    columns = sorted(set(rows["column"]))
    order = rows.groupby(["label", "method"])["seconds"].median().sort_values()
    lines = []
    for label, method in order.index:
        found = [seen.get((label, column)) for column in columns]
        texts = [Cell() if value is None else Cell(seconds(value)) for value in found]
        lines.append(Row((Cell(label), *texts), kind(method)))
    heads = (Column("method", align="left"), *(Column(column) for column in columns))
    return Block(f"{host}, one training", heads, tuple(lines))


def _bands(sizes: pd.Series) -> pd.Series:
    """The largest number of variables of each task's band; exact where a suite has few sizes."""
    if sizes.nunique() <= _FEW_SIZES:
        return sizes
    ends = np.array([*_BANDS, np.inf])
    band = np.searchsorted(ends, sizes.to_numpy())
    return sizes.groupby(band).transform("max")


def _block(machine: dict[str, str], rows: pd.DataFrame) -> Block:
    of = machine_in_words(machine["host"], machine["device"], int(machine["threads"]))
    sizes = sorted(set(zip(rows["suite"], rows["size"], strict=True)))
    labels = rows.groupby("label")["seconds"].median().sort_values().index
    cells = {
        (row.label, row.suite, row.size_): (row.seconds, row.load)
        for row in rows.rename(columns={"size": "size_"}).itertuples(index=False)
    }
    methods = dict(zip(rows["label"], rows["method"], strict=True))
    banded = rows.groupby("suite")["banded"].any()
    lines = []
    for label in map(str, labels):
        found = [cells.get((label, *size)) for size in sizes]
        texts = [Cell() if f is None else _cell(*f) for f in found]
        lines.append(Row((Cell(label), *texts), kind(methods[label])))
    heads = (
        Column("method", align="left"),
        *(Column(f"N {'≤' if banded[suite] else '='} {n}", group=suite) for suite, n in sizes),
    )
    return Block(f"{of}, {machine['timed']}", heads, tuple(lines))


def _cell(value: float, load: float) -> Cell:
    return Cell(seconds(value), mark=_BUSY_MARK if load > BUSY else "")
