"""Does attention beat the perceptron? The paper's two heads, by training seed and kind of
intervention.

    python benchmarks/attention_or_mlp.py      # docs/results/attention.txt, see benchmarks/texts.py

Compares `cdn-axial` and `cdn-mlp` on the datasets of `synthetic` under the dcdi protocol, of which
both networks know hard interventions alone: mean average precision of each, and the paired
difference (axial less MLP) with its 95 % interval and p-value over datasets. Each pair has the same
encoder, training data and seed. The results are those of `docs/results/store` and
`docs/results/variants`; nothing is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from cdnbench.archive import find_stores
from cdnbench.registry import parse_methods
from cdnbench.reports import statistics
from cdnbench.reports.frame import read

FOLDER = Path(__file__).parents[1] / "docs" / "results"
METRIC = "average_precision"
PAIRS = {
    "as shipped (seed 0)": {"axial": "cdn-axial", "mlp": "cdn-mlp"},
    "heads of seed 1": {
        "axial": "cdn-axial:weights=results/train/cdn-axial-seed-1/weights.safetensors",
        "mlp": "cdn-mlp:weights=results/train/cdn-mlp-seed-1/weights.safetensors",
    },
    "Table 8 (5 minutes a head)": {
        "axial": "cdn-axial:weights=results/train/ablations/table8/axial.safetensors",
        "mlp": "cdn-mlp:weights=results/train/ablations/table8/mlp.safetensors",
    },
}
"""What a pair of networks is called -> its methods."""
PARTS = {
    "hard": {"intervention": "hard-uniform"},
    "soft": {"intervention": "soft-scale"},
    **{
        f"soft, {mechanism}": {"intervention": "soft-scale", "mechanism": mechanism}
        for mechanism in ("linear", "polynomial", "sigmoid")
    },
}


def table() -> Iterator[str]:
    """The lines of the comparison."""
    means = dataset_means()
    columns = "datasets   axial     mlp  difference  95 %               p"
    yield f"{'part':<17}  {'networks':<28}  {columns}"
    for part, where in PARTS.items():
        for name, methods in PAIRS.items():
            yield f"{part:<17}  {name:<28}  {compared(means, where, methods)}"


def dataset_means() -> pd.DataFrame:
    """The mean of each (method with its parameters, dataset)."""
    stores = [store for name in ("store", "variants") for store in find_stores(FOLDER / name)]
    stores = [store for store in stores if store.folder.name == "synthetic-dcdi"]
    regimes = read(stores).regimes
    regimes = regimes[regimes["method"].isin(["cdn-axial", "cdn-mlp"])]
    about = ["intervention", "mechanism"]
    regimes = regimes.astype(dict.fromkeys(["method", "parameters", *about], str))
    regimes = regimes.assign(network=regimes["method"] + regimes["parameters"])
    return statistics.dataset_means(regimes, [METRIC], ["network", *about])


def compared(means: pd.DataFrame, where: dict[str, str], methods: dict[str, str]) -> str:
    """Both means over the datasets of this part that both networks finished, and the difference."""
    rows = means
    for column, wanted in where.items():
        rows = rows[rows[column] == wanted]
    sides = {}
    for head, method in methods.items():
        ((name, parameters),) = parse_methods(method)
        own = rows[rows["network"] == name + json.dumps(parameters)]
        sides[head] = own.set_index(list(statistics.UNIT))[METRIC]
    both = pd.DataFrame(sides).dropna()
    if both.empty:
        return "no results"
    gap = (both["axial"] - both["mlp"]).to_numpy()
    settings = both.index.get_level_values(statistics.UNIT[0]).astype(str).to_numpy()
    low, high = statistics.mean_interval(gap, settings)
    p = statistics.sign_flip_test(gap)
    return (
        f"{len(both):8d}  {both['axial'].mean():6.3f}  {both['mlp'].mean():6.3f}  "
        f"{gap.mean():+10.3f}  {low:+.3f} to {high:+.3f}  {p:.4f}"
    )


if __name__ == "__main__":
    print("\n".join(table()))
