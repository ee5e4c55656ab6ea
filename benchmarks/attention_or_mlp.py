"""Does attention beat the perceptron? The paper's two heads, by training seed and kind of
intervention.

    python benchmarks/attention_or_mlp.py > docs/results/attention.txt

Compares `cdn-axial` and `cdn-mlp` on the datasets of `synthetic` under the dcdi protocol, of which
both networks know hard interventions alone: mean average precision of each, and the paired
difference (axial less MLP) with its 95 % interval and p-value over datasets. Networks are told
apart by the folder of their weights. Each pair has the same encoder, training data and seed. The
results are those of `docs/results/store` and `docs/results/variants`; nothing is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from cdnbench.archive import find_stores
from cdnbench.reports import statistics
from cdnbench.reports.frame import read

FOLDER = Path(__file__).parents[1] / "docs" / "results"
METRIC = "average_precision"
HEADS = {"cdn-axial": "axial", "cdn-mlp": "mlp"}
PAIRS = {
    "": "as shipped (seed 0)",
    "cdn-HEAD-seed-1": "heads of seed 1",
    "table8": "Table 8 (5 minutes a head)",
}
"""Folder of the weights -> what the pair of networks is called. HEAD: either head."""
PARTS = {
    "hard": {"intervention": "hard-uniform"},
    "soft": {"intervention": "soft-scale"},
    **{
        f"soft, {mechanism}": {"intervention": "soft-scale", "mechanism": mechanism}
        for mechanism in ("linear", "polynomial", "sigmoid")
    },
}


def main() -> None:
    means = dataset_means()
    columns = "datasets   axial     mlp  difference  95 %               p"
    print(f"{'part':<17}  {'networks':<28}  {columns}")
    for part, where in PARTS.items():
        for folder, name in PAIRS.items():
            for line in lines(means, where, folder):
                print(f"{part:<17}  {name:<28}  {line}")


def dataset_means() -> pd.DataFrame:
    """The mean of each (head, pair, dataset)."""
    folders = [FOLDER / "store", FOLDER / "variants"]
    stores = [store for folder in folders if folder.is_dir() for store in find_stores(folder)]
    regimes = read([store for store in stores if "synthetic-dcdi" in str(store.folder)]).regimes
    regimes = regimes[regimes["method"].isin(HEADS)]
    columns = ["method", "parameters", "intervention", "mechanism"]
    regimes = regimes.astype(dict.fromkeys(columns, str))
    pair = regimes["parameters"].map(pair_of)
    regimes = regimes.assign(head=regimes["method"].map(HEADS), pair=pair)
    return statistics.dataset_means(
        regimes, [METRIC], ["head", "pair", "intervention", "mechanism"]
    )


def pair_of(parameters: str) -> str:
    """The folder of the weights, with HEAD for the name of a head."""
    weights = json.loads(parameters).get("weights")
    if weights in (None, *HEADS):
        return ""
    folder = Path(weights).parent.name
    for head in HEADS:
        folder = folder.replace(head, "cdn-HEAD")
    return folder


def lines(means: pd.DataFrame, where: dict[str, str], pair: str) -> Iterator[str]:
    """One line if both heads of the pair have results."""
    rows = means[means["pair"] == pair]
    for column, wanted in where.items():
        rows = rows[rows[column] == wanted]
    table = rows.pivot_table(METRIC, [*statistics.UNIT], "head", observed=True, sort=False).reindex(
        columns=["axial", "mlp"]
    )
    table = table.dropna()
    if table.empty:
        return
    gap = (table["axial"] - table["mlp"]).to_numpy()
    settings = table.index.get_level_values(statistics.UNIT[0]).astype(str).to_numpy()
    low, high = statistics.mean_interval(gap, settings)
    axial, mlp = table.mean()
    p = statistics.sign_flip_test(gap)
    yield (
        f"{len(table):8d}  {axial:6.3f}  {mlp:6.3f}  {gap.mean():+10.3f}  "
        f"{low:+.3f} to {high:+.3f}  {p:.4f}"
    )


if __name__ == "__main__":
    main()
