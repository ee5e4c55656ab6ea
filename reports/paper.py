"""Our values beside the printed ones of the paper's tables. Each protocol is a block of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

import numpy as np
import pandas as pd

from cdnbench.reports import published, statistics
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.standings import FEW, TRIVIAL, block_title, kind
from cdnbench.reports.table import Block, Cell, Column, Row, Table, plus_minus

SUITES = ("synthetic", "synthetic-full", "synthetic-stat")
"""Suites with the paper's sizes and laws; the others (fewer rows, other noise) must not stand
beside its numbers."""

SETTING = ("n_nodes", "n_edges", "intervention", "mechanism")
MECHANISMS = ("linear", "polynomial", "sigmoid")
_TITLES = {"map": "mAP", "auc": "AUC"}
_DCDI = (
    "Ours under the dcdi protocol, a reconstruction of the paper's laws; "
    "soft factors follow our own law, so soft values are context."
)
_OTHER = "Not the paper's law: ours under the {} protocol, printed values for orientation only."


def beside_table4(results: Results) -> Table:
    """N = 10, E = 10, regimes of 1 and of 3 targets apart."""
    return beside(
        results,
        published.table4(),
        name="table4",
        title="Table 4, ours beside the printed values",
        panels=("intervention",),
        axes=("mechanism", "n_targets"),
        panel_title="N = 10, E = 10, {intervention} interventions",
    )


def beside_table11(results: Results) -> Table:
    """All settings, all regimes."""
    return beside(
        results,
        published.table11(),
        name="table11",
        title="Table 11, ours beside the printed values",
        panels=("n_nodes", "n_edges", "intervention"),
        axes=("mechanism",),
        panel_title="N = {n_nodes}, E = {n_edges}, {intervention} interventions",
    )


def ablation(results: Results, printed: pd.DataFrame, name: str, title: str) -> Table:
    """One row per variant: a method whose weights are `<name>/<variant>.safetensors`."""
    own = ours(results, by_targets=False)
    weights = [PurePath(json.loads(p).get("weights") or "") for p in own["parameters"]]
    variants = [path.stem if path.parent.name == name else None for path in weights]
    own = own.assign(label=variants, method=variants)
    return beside(
        results,
        printed,
        name=name,
        title=title,
        panels=("n_nodes", "n_edges", "intervention"),
        axes=("mechanism",),
        panel_title="N = {n_nodes}, E = {n_edges}, {intervention} interventions",
        chosen=own.dropna(subset=["label"]),
    )


def ours(results: Results, by_targets: bool) -> pd.DataFrame:
    """Our mean, sd and n over datasets for each (factors, label, setting[, n_targets], metric), in
    the paper's names.

    `partial`: fewer datasets than were run, or fewer than the paper's five.
    """
    reading = ["label", "method", "variant", "parameters"]
    factors = list(results.factors.names)
    axes = [*SETTING, *(["n_targets"] if by_targets else [])]
    regimes = results.regimes
    if not {"n_edges", "intervention", "mechanism"} <= set(regimes.columns):
        return pd.DataFrame(
            columns=[*factors, *reading, *axes, "metric", "mean", "sd", "n", "partial"]
        )
    regimes = regimes[regimes["suite"].isin(SUITES)]
    regimes = regimes.assign(
        intervention=regimes["intervention"].astype(str).map(published.INTERVENTIONS),
        mechanism=regimes["mechanism"].astype(str),
        n_nodes=regimes["n_variables"],
    ).dropna(subset=["intervention", "n_edges"])
    # Grouping ties would put the ceiling below methods that it bounds: whole sets of untouched
    # roots tie there.
    tied = regimes["average_precision_tie"].where(
        regimes["method"] == CEILING, regimes["average_precision"]
    )
    regimes = regimes.assign(average_precision=tied)
    keys = [*factors, *reading, *axes]
    means = statistics.dataset_means(regimes, list(published.METRICS), by=keys)
    found = statistics.over_datasets(means, list(published.METRICS), keys)
    found = found.assign(
        metric=found["metric"].map(published.METRICS), n_edges=found["n_edges"].astype(int)
    )
    most = found.groupby([*factors, *axes], observed=True)["n"].transform("max")
    return found.assign(partial=(found["n"] < most) | (found["n"] < FEW))


def beside(
    results: Results,
    printed: pd.DataFrame,
    *,
    name: str,
    title: str,
    panels: Sequence[str],
    axes: Sequence[str],
    panel_title: str,
    chosen: pd.DataFrame | None = None,
) -> Table:
    """A table with our rows and the printed ones.

    printed: as `cdnbench.reports.published` gives them.
    panels: the columns whose combinations are blocks. axes: those of the columns of a block.
    panel_title: its text, with the names of the panels in braces.
    chosen: our rows, as `ours` gives them; all of them by default.
    """
    names = results.factors.names
    rows = ours(results, by_targets="n_targets" in axes) if chosen is None else chosen
    own: pd.DataFrame = rows.assign(source="ours")
    same = [
        *panels,
        *(a for a in axes if a != "mechanism"),
        *(s for s in ("n_nodes", "n_edges") if s not in panels),
    ]
    own = own[own["mechanism"].isin(MECHANISMS)]
    if len(printed):
        keys = pd.MultiIndex.from_frame(printed[same].drop_duplicates())
        own = own[pd.MultiIndex.from_frame(own[same]).isin(keys)]
    if results.is_selection and chosen is None:
        printed = printed[printed["method"].isin(_beside(own, printed["method"].unique()))]
    printed = printed.assign(
        published_method=printed["method"],
        label=printed["method"].replace(published.READINGS),
        partial=False,
    )
    blocks, frames = [], []
    groups = list(results.factors.blocks(own)) if len(own) else [(("",) * len(names), own)]
    # What belongs beside the printed values comes first.
    groups.sort(key=lambda group: group[0][names.index("protocol")] != "dcdi")
    for factors, mine in groups:
        theirs = printed.assign(**dict(zip(names, factors, strict=True)))
        parts = [part for part in (mine, theirs) if len(part)]
        both = pd.concat(parts, ignore_index=True) if len(mine) else theirs.assign(n=np.nan)
        both = both.assign(published_method=both.get("published_method"))
        frames.append(both)
        for panel, rows in both.groupby(list(panels), sort=True):
            where = panel_title.format(**dict(zip(panels, panel, strict=True)))
            prefix = f"{block_title(results, factors)}: " if len(own) else "printed values only: "
            of = dict(zip(names, factors, strict=True))
            blocks.append(_block(prefix + where, rows, axes, of))
    frame = pd.concat(frames, ignore_index=True)
    first = [
        *names,
        *SETTING,
        *(a for a in axes if a not in SETTING),
        "label",
        "source",
        "metric",
        "mean",
        "sd",
        "n",
        "partial",
    ]
    notes = (
        "mAP groups ties as scikit-learn does; that of the ceiling is the mean over their orders. "
        "Mean ± standard deviation over datasets.",
    )
    return Table(
        name=name,
        title=title,
        blocks=tuple(blocks),
        frame=frame[[*first, "published_method"]],
        notes=notes,
    )


def _block(title: str, rows: pd.DataFrame, axes: Sequence[str], of: Mapping[str, str]) -> Block:
    present = rows[list(axes)].drop_duplicates()
    rank = present["mechanism"].map(MECHANISMS.index)
    present = present.assign(_rank=rank).sort_values(["_rank", *axes[1:]]).drop(columns="_rank")
    groups = [tuple(values) for values in present.itertuples(index=False)]
    columns = [Column("method", align="left"), Column("source", align="left")]
    columns += [Column(_TITLES[m], group=_heading(group)) for group in groups for m in _TITLES]
    keys = zip(*(rows[c] for c in ("label", "source", *axes, "metric")), strict=True)
    lookup = dict(
        zip(keys, zip(rows["mean"], rows["sd"], rows["partial"], strict=True), strict=True)
    )
    own = rows[rows["source"] == "ours"]
    methods = dict(zip(own["label"].astype(str), own["method"].astype(str), strict=True))
    lines = []
    for label, source in _order(rows):
        found = [
            lookup.get((label, source, *group, metric)) for group in groups for metric in _TITLES
        ]
        cells = [
            Cell() if f is None else Cell(plus_minus(f[0], f[1], 2), mark="†" if f[2] else "")
            for f in found
        ]
        shown = kind(methods[label]) if source == "ours" else "published"
        lines.append(Row((Cell(label), Cell(source), *cells), shown))
    return Block(title, tuple(columns), tuple(lines), _notes(rows, of))


def _beside(own: pd.DataFrame, methods: Iterable[str]) -> list[str]:
    """The published methods that a reading of ours stands near."""
    mine = own[["method", "variant"]].astype(str).drop_duplicates().to_numpy()
    return [m for m in methods if any(published.is_reading_of(m, *of) for of in mine)]


def _heading(group: tuple) -> str:
    mechanism, *targets = group
    return mechanism + "".join(f", {int(t)} target{'s' if t > 1 else ''}" for t in targets)


def _order(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """(label, source) in the order of the table.

    The ceiling comes first, then the paper's methods in its order with all our readings of them,
    then our other methods.
    """
    sources = {str(label): set(part["source"]) for label, part in rows.groupby("label", sort=False)}
    own = rows[rows["source"] == "ours"].drop_duplicates("label")
    mine = {
        str(row.label): (str(row.method), str(row.variant)) for row in own.itertuples(index=False)
    }
    order = [label for label, (method, _) in mine.items() if method == CEILING]
    for name in dict.fromkeys(rows["published_method"].dropna().astype(str)):
        order.append(published.READINGS.get(name) or name)
        order += sorted(label for label, of in mine.items() if published.is_reading_of(name, *of))
    order += sorted(mine, key=lambda label: (mine[label][0] not in TRIVIAL, label))
    return [
        (label, source)
        for label in dict.fromkeys(order)
        for source in ("ours", "printed", "corrected")
        if source in sources[label]
    ]


def _notes(rows: pd.DataFrame, of: Mapping[str, str]) -> tuple[str, ...]:
    """of: factor -> value of the block."""
    notes = []
    if of["suite"]:
        same_law = of["protocol"] == "dcdi" and of["standardise"] in ("", "none")
        notes.append(_DCDI if same_law else _OTHER.format(of["protocol"] or "unnamed"))
    if bool(np.any(rows["partial"])):
        notes.append(f"† fewer datasets than were run, or fewer than {FEW}.")
    linear = rows["label"].astype(str).isin(["bacadi-e", "bacadi-m"])
    if bool(linear.any()):
        notes.append(
            "bacadi without a likelihood in brackets is the linear one. The paper's is fully "
            "connected, so that its values stand beside likelihood=fc."
        )
    if "corrected" in set(rows["source"]):
        notes.append(
            "corrected: without the observational regime that the paper's CDN rows average in "
            "(inferred)."
        )
    return tuple(notes)
