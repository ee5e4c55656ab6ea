"""What figures of screens show and stores of results lack: facts about the perturbations of
prepared lines, as data frames. `bench data describe` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np
import pandas as pd

from cdnbench.datasets.cells.prepared import PreparedLine

SHOWN_GENES = 150
"""So many genes have a column in a table of profiles."""
_SILENT = 10.0
"""Log2 fold changes as large as this come from a mean of zero."""

Lines = Mapping[str, PreparedLine]


def perturbations(lines: Lines, known: Set[str] | None) -> pd.DataFrame:
    """One row per perturbation that became a task.

    Columns: `line`, `perturbation`, `split` ("train", "test" or ""), `cells`, `differential` genes,
    `not_covered` (those of them that are not among `known`; missing if that is None), `cluster`,
    `simulated`.
    """
    tables = []
    for line in lines.values():
        differential = np.asarray(line.arrays["adjusted"]) < line.attributes["options"]["alpha"]
        unknown = None if known is None else ~np.isin(line.genes.astype(str), sorted(known))
        tables.append(
            pd.DataFrame(
                {
                    "line": line.name,
                    "perturbation": line.names.astype(str),
                    "split": line.split.astype(str),
                    "cells": np.diff(np.asarray(line.arrays["first"])),
                    "differential": differential.sum(axis=1),
                    "not_covered": pd.NA
                    if unknown is None
                    else (differential & unknown).sum(axis=1),
                    "cluster": np.asarray(line.arrays["cluster"]),
                    "simulated": bool(line.attributes["simulated"]),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def attrition(lines: Lines) -> pd.DataFrame:
    """One row per line and step of its preparation: `line`, `step`, and the `cells`,
    `perturbations` and `genes` that were left after it, `simulated`."""
    rows = [
        {
            "line": line.name,
            **dict(zip(("step", "cells", "perturbations", "genes"), row, strict=True)),
            "simulated": bool(line.attributes["simulated"]),
        }
        for line in lines.values()
        for row in line.attributes["attrition"]
    ]
    return pd.DataFrame(rows)


def profiles(line: PreparedLine, n_genes: int = SHOWN_GENES) -> pd.DataFrame:
    """Log2 fold changes: one row per perturbation, one column per gene that varies most among those
    that are never silent (the fold change of a gene that no cell of a side expresses says nothing).

    Rows are in the order of the k-means clusters of the split, similar clusters and similar
    perturbations of one cluster beside each other; so are genes. `perturbation` and `cluster` come
    first.
    """
    change = np.nan_to_num(np.asarray(line.arrays["change"], np.float64))
    clusters = np.asarray(line.arrays["cluster"])
    variance = np.where(np.abs(change).max(axis=0) < _SILENT, change.var(axis=0), -1)
    chosen = np.argsort(-variance, kind="stable")[: min(n_genes, int((variance >= 0).sum()))]
    genes = np.sort(chosen)
    values = change[:, genes]
    names = np.unique(clusters)
    means = np.array([values[clusters == name].mean(axis=0) for name in names])
    order: list[int] = []
    for place in _beside(means):
        members = np.flatnonzero(clusters == names[place])
        order += [int(members[i]) for i in _beside(values[members])]
    columns = _beside(values.T)
    frame = pd.DataFrame(
        values[np.ix_(order, columns)].round(2), columns=line.genes[genes][columns].astype(str)
    )
    frame.insert(0, "perturbation", line.names[order].astype(str))
    frame.insert(1, "cluster", clusters[order])
    return frame


def _beside(rows: np.ndarray) -> list[int]:
    """An order of the rows in which similar ones are neighbours: the leaves of an average linkage
    of correlations."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(rows) < 3:
        return list(range(len(rows)))
    centred = rows - rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return [int(i) for i in leaves_list(linkage(centred / np.maximum(norms, 1e-12), "average"))]
