"""Critical differences: average ranks over datasets, and which methods cannot be told apart.

Where one gene is perturbed in several lines, ranks are over genes, as in the table `comparisons`.
Friedman's test and Nemenyi's critical difference, from `cdnbench.reports.statistics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdnbench.metrics import METRICS
from cdnbench.reports import statistics
from cdnbench.reports.drawing.axes import point
from cdnbench.reports.drawing.cast import Cast
from cdnbench.reports.drawing.look import INK, SMALL, Look
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.rounds import without_rounds
from cdnbench.reports.standings import FEW, RANKING, block_title
from cdnbench.reports.table import slug

SUMMARY = (
    "critical differences of average ranks over datasets or perturbations: what cannot be told "
    "apart"
)
NEEDS = f"it takes three methods that finished the same {FEW} datasets."

_INCHES_PER_LINE = 0.155


def draw(results: Results, look: Look) -> Iterator[tuple[str, Figure]]:
    """One figure per block: methods that finished every dataset, the main reading of each."""
    cast = Cast(results, look)
    regimes = results.regimes
    needed = [*results.factors.names, "label", "method", "task", *statistics.UNIT, RANKING]
    needed += [name for name in ("perturbation",) if name in regimes]
    ours = without_rounds(results, regimes.loc[regimes["method"] != CEILING, needed])
    ours = statistics.with_genes(ours)
    for key, block in results.factors.blocks(ours):
        pairs = statistics.Pairs(block, RANKING)
        table = pairs.table()
        main = main_readings(results.factors.rows(results.readings, key))
        values = table[[label for label in table if label in main]]
        if values.shape[1] >= 3 and len(values) >= FEW:
            title = block_title(results, key)
            yield slug(title), _figure(title, pairs, values, cast, look)


def main_readings(readings: pd.DataFrame) -> set[str]:
    """One label per method, whatever its results: the reading that a run shows first, with the
    usual parameters where the method ran with these, otherwise the first by name. Choosing the
    best one here would rank methods by the luck of their readings.
    """
    columns = ["label", "method", "parameters", "is_default"]
    found = readings[columns].astype(str).drop_duplicates()
    found = found[found["is_default"] == "True"]
    found = found.assign(changed=found["parameters"] != "{}").sort_values(["changed", "label"])
    return set(found.drop_duplicates("method")["label"])


def _figure(
    title: str, pairs: statistics.Pairs, values: pd.DataFrame, cast: Cast, look: Look
) -> Figure:
    """values: (units, labels)."""
    test = statistics.friedman(METRICS[RANKING].merit(values.to_numpy(float)))
    ranks = pd.Series(test.ranks, index=values.columns).sort_values(kind="stable")
    n_methods, critical = len(ranks), test.critical_difference
    groups = statistics.indistinct(ranks.to_numpy(), critical)
    figure = look.figure(0.6 + _INCHES_PER_LINE * n_methods)
    figure.title(f"{title}: average ranks")
    widths = look.inches - 1.8, 0.12 + 0.09 * len(groups)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=widths)
    for place, (label, rank) in enumerate(ranks.items()):
        actor = cast[label]
        left.plot([1, rank], [place, place], color=actor.mark.colour, linewidth=0.8, alpha=0.6)
        point(left, actor, rank, place)
    left.set_yticks(range(n_methods), [cast[label].name for label in ranks.index])
    for text, label in zip(left.get_yticklabels(), ranks.index, strict=True):
        text.set_fontweight(cast[label].weight)
    left.set_ylim(n_methods - 0.4, -1.6)
    left.set_xlim(1 - 0.02 * n_methods, max(ranks.max(), 1 + critical) + 0.03 * n_methods)
    left.set_xlabel("average rank (1 is best)")
    left.grid(axis="x")
    left.tick_params(axis="y", length=0)
    left.spines["left"].set_visible(False)
    _scale(left, critical)
    _groups(right, groups)
    unit = "perturbations" if pairs.by_gene else "datasets"
    figure.note(
        f"{test.n_datasets} {unit}, {n_methods} methods that finished all of them; the main "
        "reading of each.",
        f"Friedman's test: {'p < .001' if test.p < 0.001 else f'p = {test.p:.3f}'}.",
        "Methods on one vertical line differ by less than the critical difference (Nemenyi, 5 %).",
        _among_settings(pairs),
        cast.notes(ranks.index),
    )
    return figure


def _among_settings(pairs: statistics.Pairs) -> str:
    if pairs.n_settings < 2:
        return ""
    if pairs.by_gene:
        return f"A perturbation is averaged over its settings, of {pairs.n_settings} in all."
    return f"Datasets of {pairs.n_settings} settings count alike."


def _scale(axes: Axes, critical: float) -> None:
    """The length of a critical difference, above the first method."""
    axes.plot([1, 1 + critical], [-1, -1], color=INK, linewidth=1.4, marker="|", markersize=5)
    axes.annotate(
        f"critical difference {critical:.2f}",
        (1 + critical, -1),
        xytext=(5, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=SMALL,
    )


def _groups(axes: Axes, groups: Sequence[tuple[int, ...]]) -> None:
    for i, members in enumerate(groups):
        axes.plot([i, i], [min(members) - 0.25, max(members) + 0.25], color=INK, linewidth=1.8)
    axes.set_xlim(-0.7, max(len(groups), 1) - 0.3)
    axes.axis("off")
