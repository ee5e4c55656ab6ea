"""The figures that `--method auto` chooses by, out of stored results.

    bench run --suite synthetic-far --methods cdn,target-shift,moderated-t,effect-size,ks-shift,quantile-invariance,regression-invariance --out runs
    bench run --suite perturbseq --split unseen-cl --limit 80 --methods cdn,target-shift,moderated-t,ks-shift,lfc-rank --out runs
    python benchmarks/choice_evidence.py docs/results/store/real runs

Writes bench/prediction/evidence.json: for each situation and each method that was run on all of its
sources, the mean average precision (every source counts once) and the 95 % interval of how far it
lies behind the best (units resampled within each source; a source of fewer than five units is shown
and takes no part). A unit without a score counts as 0.

`FOLDER@old=new,older=newer` reads results that were stored under earlier names of methods.
"""  # noqa: E501

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import cdnbench
from cdnbench import report
from cdnbench.archive import find_stores
from cdnbench.digest import generator

TARGET = Path(cdnbench.__file__).parent / "prediction" / "evidence.json"
METRIC, FIRST = "average_precision_tie", "recall_at_1"
RESAMPLES = 10_000
MIN_UNITS = 5


@dataclass(frozen=True)
class Source:
    """Results on one data set or suite.

    column, value: how its rows are told. unit: the columns that name what is resampled. what: its
        description, in the plural, after the number of units.
    """

    name: str
    column: str
    value: str
    unit: tuple[str, ...]
    what: str


REAL = {
    name: Source(name, "source", name, ("task", "regime"), what)
    for name, what in {
        "ecoli": "gene deletions in E. coli, 2 rows against 2",
        "pasilla": "knock-down in fly cells, 4 rows against 3",
        "petshop": "incidents of a micro-service system, 589 rows against 5",
        "sahin": "knock-downs on protein arrays, 24 rows against 24",
        "papalexi": "knock-outs in single cells",
        "hill": "weak knock-outs in single cells",
        "sachs": "conditions of flow cytometry",
    }.items()
}
CELLS = Source(
    "perturbseq",
    "suite",
    "perturbseq",
    ("perturbation",),
    "simulated knock-downs in single cells",
)
FAR = Source("synthetic-far", "suite", "synthetic-far", ("dataset",), "simulated systems")
# fused is no candidate: its members were chosen on these data sets.
EVERYWHERE = ("cdn", "moderated-t", "effect-size", "ks-shift")
# Place of the target of pasilla among its genes: DESeq2 on raw counts (`pytest -m slow
# tests/methods/test_deseq2.py`), the other on log counts per million (`bench run --suite pasilla`).
BULK_COUNTS = {"source": "pasilla", "genes": 9921, "places": {"deseq2": 33, "moderated-t": 99}}
# Below 30 rows target-shift moderates variances as moderated-t does: its assent would add nothing,
# so it is no candidate for few rows.
SITUATIONS: dict[str, tuple[tuple[Source, ...], tuple[str, ...]]] = {
    "few": ((REAL["ecoli"], REAL["pasilla"]), ("lfc-rank-down",)),
    "few-after": ((REAL["petshop"],), ("target-shift", "cholesky-root-cause", "cd-nod", "baro")),
    "some": ((REAL["sahin"],), ("target-shift", "cd-nod")),
    "cells": (
        (REAL["papalexi"], REAL["hill"], CELLS),
        (
            "target-shift",
            "lfc-rank-down",
        ),
    ),
    "general": (
        (REAL["sachs"], FAR),
        ("target-shift", "quantile-invariance", "regression-invariance"),
    ),
}


def main(folders: list[str], target: Path) -> None:
    rows = pd.concat([regimes(folder) for folder in folders], ignore_index=True)
    found = {
        "measure": "mean average precision",
        "bulk_counts": BULK_COUNTS,
        "situations": {
            name: situation(rows, sources, (*EVERYWHERE, *more))
            for name, (sources, more) in SITUATIONS.items()
        },
    }
    target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, part in found["situations"].items():
        print(name, *(f"{s['name']} ({s['units']})" for s in part["sources"]))
        for row in part["methods"]:
            behind = ", ".join(f"{low:.3f} to {high:.3f}" for low, high in row["behind"].values())
            print(f"    {row['name']:22} {row['mean']:.3f}  behind by {behind}")


def regimes(folder: str) -> pd.DataFrame:
    """Both metrics of every regime with a target: columns label, suite, source, task, dataset,
    perturbation, metric and value; NaN where the job failed."""
    path, _, pairs = folder.partition("@")
    renamed = dict(pair.split("=") for pair in pairs.split(",") if pair)
    frame = report(find_stores(Path(path))).frame
    frame = frame[frame["metric"].isin([METRIC, FIRST]) & (frame["n_targets"] > 0)]
    frame = frame[frame["masking"].astype(str) != "marginal"]
    frame = frame[frame["split"].astype(str) != "seen"]
    # A network's label says whose design it is besides.
    pairs = zip(frame["label"].astype(str), frame["method"].astype(str), strict=True)
    frame = frame.assign(label=[name if x.startswith(f"{name} (") else x for x, name in pairs])
    columns = ("label", "suite", "source", "task", "dataset", "perturbation")
    texts = {c: frame[c].astype(str) if c in frame else "" for c in columns}
    frame = frame[["regime", "metric", "value", "n_variables"]].assign(**texts)
    return frame.assign(label=frame["label"].map(lambda name: renamed.get(name, name)))


def situation(rows: pd.DataFrame, sources: tuple[Source, ...], names: tuple[str, ...]) -> dict:
    """The entry of one situation."""
    tables = [units(rows, source, METRIC) for source in sources]
    firsts = [units(rows, source, FIRST) for source in sources]
    names = tuple(name for name in names if all(name in table for table in tables))
    if not names:
        raise SystemExit(f"No method was run on all of {[source.name for source in sources]}.")
    deciding = [table[list(names)].to_numpy() for table in tables if len(table) >= MIN_UNITS]
    mean = np.mean([x.mean(axis=0) for x in deciding], axis=0)
    drawn = np.mean([resampled(x) for x in deciding], axis=0)
    order = [int(i) for i in np.argsort(-mean, kind="stable")]
    return {
        "sources": [
            {
                "name": source.name,
                "units": len(table),
                "what": source.what,
                "variables": sizes(rows, source),
                "decides": len(table) >= MIN_UNITS,
            }
            for source, table in zip(sources, tables, strict=True)
        ],
        "methods": [
            {
                "name": names[i],
                "mean": round(float(mean[i]), 3),
                "behind": {
                    names[j]: [
                        round(float(edge), 3)
                        for edge in np.quantile(drawn[:, j] - drawn[:, i], [0.025, 0.975])
                    ]
                    for j in order[:place]
                },
                "found_first": {
                    source.name: round(float(table[names[i]].mean()), 3)
                    for source, table in zip(sources, firsts, strict=True)
                },
            }
            for place, i in enumerate(order)
        ],
    }


def sizes(rows: pd.DataFrame, source: Source) -> list[int]:
    """The smallest and the largest number of variables."""
    own = rows.loc[rows[source.column] == source.value, "n_variables"]
    return [int(own.min()), int(own.max())]


def units(rows: pd.DataFrame, source: Source, metric: str) -> pd.DataFrame:
    """(units, methods): means over the regimes and tasks of each unit, 0 where a job failed."""
    own = rows[(rows[source.column] == source.value) & (rows["metric"] == metric)]
    table = own.pivot_table(
        index=list(dict.fromkeys([*source.unit, "task", "regime"])),
        columns="label",
        values="value",
    )
    return table.fillna(0.0).groupby(level=list(source.unit)).mean()


def resampled(values: np.ndarray) -> np.ndarray:
    """(RESAMPLES, methods) means of (units, methods) with the units drawn again."""
    n = len(values)
    weights = generator("choice evidence", n).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
    return weights @ values


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", metavar="FOLDER[@OLD=NEW,...]")
    parser.add_argument("--out", type=Path, default=TARGET)
    given = parser.parse_args()
    main(given.folders, given.out)
