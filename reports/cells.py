"""Our values on cells beside the printed ones of the paper's Tables 2 and 10: means by cell line.

The paper's lines are real screens. Results on other lines, the simulated ones among them, have
columns of their own, and only their mean over lines stands beside the mean of the printed lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cdnbench.errors import BenchError
from cdnbench.registry import METHODS, entries, load_class
from cdnbench.reports import published, statistics
from cdnbench.reports.factors import ALL_CELLS, SUBSAMPLE
from cdnbench.reports.frame import Results
from cdnbench.reports.standings import TRIVIAL, simulated

SUITE = "perturbseq"
LINES = ("k562_gw", "k562_es", "rpe1", "hepg2", "jurkat")
"""The paper's screens, in its order."""
METRICS = {"rank": "rank", "recall_at_20": "R20", "top1_pearson": "r"}
"""Our metrics, which have the paper's names here -> headings."""
MEAN = "mean"
"""What the mean over lines is called among the lines."""
OURS, PRINTED, DIFFERENCE = "ours", "printed", "difference"
COVERED = "-covered"
"""What is added to a name where targets and candidates that the method does not know are left out.
"""
LEAVES_OUT = ("gears",)
"""Methods that the paper scores on covered genes alone."""
PAPERS_OWN = ("cdn-axial-cells", "cdn-mlp-cells")
"""The paper's networks for cells."""
COUNTERPARTS = {
    "genept": ("genept-style",),
    "cdn": (*PAPERS_OWN, "cdn-cells"),
    "gears": ("gears" + COVERED,),
}
"""Published method -> ours, where names differ; see `counterparts`."""
SPLITS = {
    "seen": "",
    "unseen-cl": "-cl",
    "seen-strict": "-strict",
    "unseen-cl-strict": "-cl-strict",
}
"""Split -> what it adds to the name of a method that is trained on it, as in the paper."""
ORDER = ("random", "linear", "mlp", "genept", "gears", "pdgrapher", "cdn")
_READING = ("label", "short", "method", "variant")
_UNSPLIT = ("split", "masking", SUBSAMPLE)


def values(results: Results, by: Sequence[str] = ()) -> pd.DataFrame:
    """Means over perturbations of the test set, without masking.

    One row per (factors but the split, name, line, `by`, metric) with `value`, `finished` and
    `total` tasks. `name` is the label and the split that the method was trained on; what needs no
    training counts once. by: columns that tell tasks apart, such as `trivial`. The methods of
    `LEAVES_OUT` have two rows, over all genes and over those that they cover.
    """
    factors = [name for name in results.factors.names if name not in _UNSPLIT]
    keys = [*factors, "name", *_READING, "cell_line", *by]
    columns = [*keys, "metric", "value", "finished", "total"]
    readings = _chosen(results, results.readings, SUBSAMPLE in by)
    if readings.empty:
        return pd.DataFrame(columns=columns)
    regimes = _chosen(results, results.regimes, SUBSAMPLE in by)
    names = _names(results, readings)
    place = [*factors, "split", *_READING]
    readings = readings.merge(names, on=place)
    regimes = regimes.merge(names, on=place)
    readings = readings.assign(finished=readings["status"] == "ok", total=1)
    covered = _covered(regimes)
    regimes = pd.concat([regimes, covered], ignore_index=True)
    renamed = _with_value(_renamed(readings), covered, [*place, "name", SUBSAMPLE, "task"])
    readings = pd.concat([readings, renamed], ignore_index=True)
    means = statistics.dataset_means(regimes, list(METRICS), keys)
    found = means.groupby(keys, sort=False)[list(METRICS)].mean().reset_index()
    long = found.melt(keys, list(METRICS), var_name="metric", value_name="value")
    counts = readings.groupby(keys, sort=False)[["finished", "total"]].sum().reset_index()
    found = counts.merge(long, on=keys, how="left")[columns]
    return found if results.cell_rows is None else found[found["name"].isin(results.cell_rows)]


def rows_by_name(results: Results) -> dict[str, dict[str, str]]:
    """What users may call the rows of the tables of cells -> their names -> their labels: the names
    themselves (`linear-cl`), those without design and knowledge, and those of printed rows beside
    them."""
    parts = [_chosen(results, results.readings, rounds) for rounds in (False, True)]
    readings = pd.concat(parts, ignore_index=True)
    if readings.empty:
        return {}
    factors = [name for name in results.factors.names if name not in _UNSPLIT]
    place = [*factors, "split", *_READING]
    own = readings[place].drop_duplicates().merge(_names(results, readings), on=place)
    own = pd.concat([own, _renamed(own)], ignore_index=True).assign(value=0.0, cell_line="")
    label_of = dict(zip(own["name"], own["label"], strict=True))
    found = {name: {name: label} for name, label in label_of.items()}
    for name, label, short in own[["name", "label", "short"]].drop_duplicates().to_numpy():
        found.setdefault(short + name.removeprefix(label), {})[name] = label
    printed = [
        published.load(table)["method"] for table in ("table2_perturbseq", "table10_uncertainty")
    ]
    for method, name in counterparts(own, list(dict.fromkeys(pd.concat(printed)))).items():
        found.setdefault(method, {name: label_of[name]})
    return found


def printed_beside(results: Results, own: pd.DataFrame, printed: pd.DataFrame) -> pd.DataFrame:
    """The printed rows; where only some methods were chosen, those that a row of ours stands
    beside."""
    if not results.is_selection:
        return printed
    beside = counterparts(own, list(dict.fromkeys(printed["method"])))
    return printed[printed["method"].isin(list(beside))]


def _renamed(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of methods that leave genes out, under another name."""
    rows = frame[frame["method"].isin(LEAVES_OUT)]
    names = [
        label + COVERED + name.removeprefix(label)
        for name, label in zip(rows["name"], rows["label"], strict=True)
    ]
    return rows.assign(name=names)


def _covered(regimes: pd.DataFrame) -> pd.DataFrame:
    """The same of regimes, with the metrics over covered genes. A target that is not covered has
    none, and its task does not count."""
    rows = _renamed(regimes)
    return rows.assign(**{name: rows[f"{name}_covered"] for name in METRICS})


def _with_value(readings: pd.DataFrame, regimes: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The readings of tasks that have no value among the regimes, for no target of theirs is
    covered, do not count as finished. by: the columns that tell readings apart."""
    there = regimes.loc[regimes[list(METRICS)].notna().any(axis=1), list(by)]
    has = pd.MultiIndex.from_frame(readings[list(by)]).isin(pd.MultiIndex.from_frame(there))
    return readings.assign(finished=readings["finished"] & has)


def _chosen(results: Results, frame: pd.DataFrame, rounds: bool) -> pd.DataFrame:
    """The rows on test perturbations without masking, the columns that are used as plain text.

    rounds: the rounds of subsampling instead of all cells.
    """
    if not {"cell_line", "trivial"} <= set(frame.columns):
        return frame.iloc[:0]
    subsampled = (frame[SUBSAMPLE].astype(str) != ALL_CELLS).to_numpy()
    kept = (
        (frame["suite"].astype(str) == SUITE)
        & (frame["masking"].astype(str) == "none")
        & frame["split"].astype(str).isin(list(SPLITS))
        & (subsampled == rounds)
    )
    chosen = frame[kept.to_numpy()]
    texts = {*results.factors.names, *_READING, "cell_line", *statistics.UNIT}
    return chosen.assign(**{c: chosen[c].astype(str) for c in sorted(texts)}).astype(
        {"trivial": bool}
    )


def _names(results: Results, readings: pd.DataFrame) -> pd.DataFrame:
    """The name of each (factors, split, reading); what was not trained on any split keeps the first
    split that it was run on."""
    factors = [name for name in results.factors.names if name not in _UNSPLIT]
    fits = results.jobs["fit"].reindex(readings["job"]).fillna("")
    needs = {method: _needs_training(method) for method in readings["method"].unique()}
    fitted = (fits != "").to_numpy() | readings["method"].map(needs).to_numpy(bool)
    trained = readings.assign(trained=fitted)
    keys = [*factors, "split", *_READING]
    found = trained.groupby(keys, sort=False)["trained"].any().reset_index()
    reading = [*factors, *_READING]
    found["trained"] = found.groupby(reading)["trained"].transform("any")
    found["order"] = found["split"].map(list(SPLITS).index)
    found = found.sort_values("order", kind="stable")
    kept = found["trained"] | ~found.duplicated(reading)
    found = found[kept]
    suffix = found["split"].map(SPLITS).where(found["trained"], "")
    return found.assign(name=found["label"] + suffix)[[*keys, "name"]]


def _needs_training(method: str) -> bool:
    """Whether a method is known to need training; records of earlier versions do not name fits."""
    if method not in entries(METHODS):
        return False
    try:
        return load_class(METHODS, method).info.supervised == "required"  # type: ignore[attr-defined]
    except BenchError:
        return False


def with_means(frame: pd.DataFrame, keys: Sequence[str], value: str = "value") -> pd.DataFrame:
    """The rows of `frame` and, for each of `keys` and metric, the mean of `value` over its lines.

    Every line counts once. A line without a value is left out of the mean, and its tasks count as
    unfinished.
    """
    n_tasks = frame.groupby("cell_line")["total"].max().sum()
    groups = frame.groupby([*keys, "metric"], sort=False, dropna=False)
    means = groups.agg(
        **{
            value: (value, "mean"),
            "finished": ("finished", "sum"),
        }
    )
    means = means.reset_index().assign(cell_line=MEAN, total=n_tasks)
    return pd.concat([frame, means], ignore_index=True)


def parts(results: Results, own: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, list[str]]]:
    """(title, our rows, lines) for each combination of factors, the paper's lines apart from
    others, which come second."""
    factors = [name for name in results.factors.names if name not in _UNSPLIT]
    if own.empty:
        return
    for key, rows in own.groupby(factors, sort=True):
        of = dict(zip(factors, map(str, key), strict=True))  # type: ignore[arg-type]
        told = results.factors.told(tuple(of.get(name, "") for name in results.factors.names))
        title = ", ".join([SUITE, *(f"{name} {value}" for name, value in told)])
        there = sorted(set(rows["cell_line"]))
        known = [line for line in LINES if line in there]
        for lines in (known, [line for line in there if line not in LINES]):
            if lines:
                mark = " [SIMULATED DATA]" if are_simulated(results, lines) else ""
                yield title + mark, rows[rows["cell_line"].isin(lines)], lines


def are_simulated(results: Results, lines: Sequence[str]) -> bool:
    """Whether any of the lines stands in for real data."""
    readings = results.readings
    of_lines = readings["cell_line"].astype(str).isin(list(lines))
    return simulated(readings[of_lines & (readings["suite"].astype(str) == SUITE)])


def counterparts(own: pd.DataFrame, printed: Sequence[str]) -> dict[str, str]:
    """Published method -> name of our row that stands beside it: `genept-style` of `genept`,
    `cdn-cells-cl` of `cdn-cl`. A method that no row of ours stands beside is left out.

    Rows are found by their `short` label, as the designs and the knowledge in a name vary. Of
    several, those with values on the most lines come first, in the order of `COUNTERPARTS`, then
    the shortest name.
    """
    names: dict[str, list[str]] = {}
    for name, label, short in own[["name", "label", "short"]].drop_duplicates().to_numpy():
        names.setdefault(short + name.removeprefix(label), []).append(name)
    n_lines = own[own["value"].notna()].groupby("name")["cell_line"].nunique()
    found = {}
    for method in printed:
        stem, cl, _ = method.partition("-cl")
        wanted = [ours + cl for ours in COUNTERPARTS.get(stem, (stem,))]
        there = [
            n for ours in wanted for n in sorted(names.get(ours, []), key=lambda n: (len(n), n))
        ]
        if there:
            found[method] = max(there, key=lambda name: n_lines.get(name, 0))
    return found


def row_order(own: pd.DataFrame, printed: Sequence[str]) -> list[tuple[str, str | None]]:
    """(our name or "", printed method or None) in the order of the table: the paper's methods with
    ours beside them, then our other readings of the same methods, then our other methods.

    own: our rows, with the columns of `values`.
    """
    mine = dict(zip(own["name"], own["method"], strict=True))
    beside = counterparts(own, printed)
    placed = set(beside.values())
    order: list[tuple[str, str | None]] = []
    for stem in ORDER:
        order += [(beside.get(p, ""), p) for p in printed if p.removesuffix("-cl") == stem]
        methods = {ours.removesuffix(COVERED) for ours in COUNTERPARTS.get(stem, (stem,))}
        related = {name for name, method in mine.items() if method in methods} - placed
        order += [(name, None) for name in sorted(related)]
        placed |= related
    rest = [name for name in mine if name not in placed]
    rest.sort(key=lambda name: (mine[name] not in TRIVIAL, name))
    return [*order, *((name, None) for name in rest)]


def networks_beside(results: Results, own: pd.DataFrame, printed: Sequence[str]) -> list[str]:
    """A note for each printed row of `cdn` that says whose network stands beside it."""
    methods = dict(zip(own["name"], own["method"], strict=True))
    notes = []
    for method, name in counterparts(own, printed).items():
        stem, cl, _ = method.partition("-cl")
        if stem != "cdn":
            continue
        whose = "the paper's own network"
        if methods[name] not in PAPERS_OWN:
            missing = " or ".join(ours + cl for ours in PAPERS_OWN)
            why = f": on as many lines there are no values of {missing}"
            why = "" if results.is_selection else why
            whose = f"which is this package's own network{why}"
        notes.append(f"Beside the printed {method} stands {name}, {whose}.")
    return notes


def printed_frame(rows: pd.DataFrame, value: str = "value") -> pd.DataFrame:
    """Printed rows in the columns of `values`, with their mean over lines."""
    frame = rows.rename(columns={"method": "name"}).assign(finished=0, total=0)
    keys = [c for c in frame.columns if c in ("name", "trivial")]
    return with_means(frame, keys, value)


def lookup(rows: pd.DataFrame, value: str = "value") -> dict[tuple[str, str, str], Any]:
    """(name, line, metric) -> value."""
    keys = zip(rows["name"], rows["cell_line"], rows["metric"], strict=True)
    return dict(zip(keys, rows[value], strict=True))


def signed(value: float) -> str:
    """`+0.12`; a dash where there is none."""
    return "–" if np.isnan(value) else f"{value:+.2f}"
