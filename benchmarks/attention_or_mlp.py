"""Does attention beat the perceptron? The paper's two heads, by training seed and kind of
intervention.

    python benchmarks/attention_or_mlp.py      # docs/results/attention.txt, see benchmarks/texts.py

Compares `cdn-axial` and `cdn-mlp` on the datasets of `synthetic` under the dcdi protocol, of which
both networks know hard interventions alone: mean average precision of each, and the paired
difference (axial less MLP) with its 95 % interval and p-value over datasets. Each pair has the same
encoder, training data and seed. "as printed": on the eight settings of the paper's Table 11 that
have soft interventions.

The second part takes the seeds of the heads on the shipped encoder as the unit: means and standard
deviations over seeds, a t-interval of the difference, and the interval in which the difference of
one further pair is expected. The results are those of `docs/results/store` and
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
HEAD_SEEDS = range(1, 4)
"""Seeds of the heads beside those of the shipped weights, which are 0."""


def of_run(run: str) -> dict[str, str]:
    """The two methods with the weights of a training; `run` has the place of the head."""
    return {
        head: f"cdn-{head}:weights=results/train/{run.format(head)}.safetensors"
        for head in ("axial", "mlp")
    }


SHIPPED = {"as shipped (seeds 0)": {"axial": "cdn-axial", "mlp": "cdn-mlp"}}
HEADS = SHIPPED | {
    f"heads of seed {seed}": of_run(f"cdn-{{}}-seed-{seed}/weights") for seed in HEAD_SEEDS
}
PAIRS = HEADS | {
    "encoder of seed 1": of_run("cdn-{}-encoder-1/weights"),
    "Table 8 (5 minutes a head)": of_run("ablations/table8/{}"),
}
"""What a pair of networks is called -> its methods."""
PARTS = {
    "hard": {"intervention": ["hard-uniform"]},
    "soft": {"intervention": ["soft-scale"]},
    "soft, as printed": {"intervention": ["soft-scale"], "mechanism": ["linear", "polynomial"]},
    **{
        f"soft, {mechanism}": {"intervention": ["soft-scale"], "mechanism": [mechanism]}
        for mechanism in ("linear", "polynomial", "sigmoid")
    },
}


def table() -> Iterator[str]:
    """The lines of the comparison."""
    means = dataset_means()
    pairs = {
        (part, name): both_on(means, where, methods)
        for part, where in PARTS.items()
        for name, methods in PAIRS.items()
    }
    columns = "datasets   axial     mlp  difference  95 %               p"
    yield f"{'part':<17}  {'networks':<28}  {columns}"
    for (part, name), both in pairs.items():
        yield f"{part:<17}  {name:<28}  {over_datasets(both)}"
    columns = (
        "seeds  axial (sd)      mlp (sd)        difference (sd)  95 % over seeds   a further pair"
    )
    yield ""
    yield f"{'part':<17}  {columns}"
    for part in PARTS:
        of_seeds = [pairs[part, name].mean() for name in HEADS if len(pairs[part, name])]
        yield f"{part:<17}  {over_seeds(pd.DataFrame(of_seeds))}"


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


def both_on(
    means: pd.DataFrame, where: dict[str, list[str]], methods: dict[str, str]
) -> pd.DataFrame:
    """Values of the two heads (columns) on the datasets of this part that both finished."""
    rows = means
    for column, wanted in where.items():
        rows = rows[rows[column].isin(wanted)]
    sides = {}
    for head, method in methods.items():
        ((name, parameters),) = parse_methods(method)
        own = rows[rows["network"] == name + json.dumps(parameters)]
        sides[head] = own.set_index(list(statistics.UNIT))[METRIC]
    return pd.DataFrame(sides).dropna()


def over_datasets(both: pd.DataFrame) -> str:
    """Means and their difference, with what the datasets say about it."""
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


def over_seeds(seeds: pd.DataFrame) -> str:
    """The same with seeds as the unit. seeds: the means of each, with a column per head."""
    gap = seeds["axial"] - seeds["mlp"]
    half = float(statistics.t_halfwidth(gap.std(ddof=1), len(gap)))
    further = half * (len(gap) + 1) ** 0.5
    told = [f"{seeds[head].mean():.3f} ({seeds[head].std(ddof=1):.3f})" for head in seeds]
    return (
        f"{len(gap):5d}  {told[0]:<14}  {told[1]:<14}  {gap.mean():+.3f} ({gap.std(ddof=1):.3f})"
        f"   {gap.mean() - half:+.3f} to {gap.mean() + half:+.3f}"
        f"  {gap.mean() - further:+.3f} to {gap.mean() + further:+.3f}"
    )


if __name__ == "__main__":
    print("\n".join(table()))
