"""Training and test perturbations of a cell line. Clusters of profiles are kept whole, so that
look-alikes stay together."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cdnbench.digest import generator
from cdnbench.errors import InvalidData

LARGEST_CHANGE = 5.0  # |log2 fold change| beyond which a gene is as good as on or off


def clusters(change: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """(P,) cluster of each profile of log2 fold changes (P, G), by k-means with at most P / 2
    clusters."""
    from sklearn.cluster import KMeans

    if len(change) < 4:
        return np.arange(len(change))
    k = min(n_clusters, len(change) // 2)
    state = int(generator("cells", "clusters", seed).integers(2**31))
    profiles = np.clip(change, -LARGEST_CHANGE, LARGEST_CHANGE)
    return KMeans(k, n_init=3, random_state=state).fit_predict(profiles).astype(np.int64)


def split_by_cluster(cluster: np.ndarray, seed: int) -> np.ndarray:
    """(P,) "train" or "test". The largest cluster is for training; of the others, a random half."""
    names, counts = np.unique(cluster, return_counts=True)
    others = np.delete(names, np.argmax(counts))
    test = generator("cells", "split", seed).permutation(others)[
        : len(others) // 2 + len(others) % 2
    ]
    return np.where(np.isin(cluster, test), "test", "train").astype(object)


def published_split(
    path: Path, line: str, names: list[str], targets: list[list[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster and split of perturbations from a published list (columns pert, name, cluster, split,
    fp_data).

    A perturbation is found by its target as symbol (name) or identifier (pert), in rows whose
    fp_data names the folder `line`. Those that the list lacks have cluster -1 and split "".

    Raises
    ------
    InvalidData: columns that are missing, or no row of this line.
    """
    import pandas as pd

    table = pd.read_csv(path)
    needed = {"pert", "name", "cluster", "split", "fp_data"}
    if missing := needed - set(table.columns):
        raise InvalidData(f"{path} lacks the columns {', '.join(sorted(missing))} of a split list.")
    mine = table[table["fp_data"].str.split("/").str[-2] == line]
    if mine.empty:
        lines = ", ".join(sorted(set(table["fp_data"].str.split("/").str[-2])))
        raise InvalidData(
            f"{path} has no rows of the cell line {line!r}; it has {lines}. Name the line as the "
            "list does: --line NAME."
        )
    known = {
        key: (c, s)
        for column in ("pert", "name")
        for key, c, s in zip(mine[column], mine["cluster"], mine["split"], strict=True)
    }
    found = [
        known.get(t[0] if len(t) == 1 else name, known.get(name, (-1, "")))
        for name, t in zip(names, targets, strict=True)
    ]
    return np.array([c for c, _ in found], dtype=np.int64), np.array(
        [s for _, s in found], dtype=object
    )
