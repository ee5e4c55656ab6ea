"""PetShop: faults injected into a micro-service system (Hardt et al. 2024).

"The PetShop Dataset - Finding Causes of Performance Issues across Microservices", CLeaR 2024,
PMLR 236, github.com/amazon-science/petshop-root-cause-analysis. Data under CC BY 4.0. What the
tasks need ships beside this module as petshop.npz (see petshop.md); `compact` makes it from the
archive.

A case is one of 52 incidents, 26 under low and 26 under high traffic. The front end (PetSite) was
seen to become slower or less available; the target is the service in which the fault was injected.
Rows are five-minute bins: 589 of a normal run, and 5 around the incident. Columns are services, one
each, in the metric and aggregation in which the front end suffered: mean latency in seconds, or
availability in per cent.

    columns   services with a value in at least half of the normal bins and in one abnormal bin,
              that are not constant over both: the others say nothing
    gaps      a service that nobody called in a bin has no value there; it gets the mean of its
              others on that side, as the authors' code does by default

A target that is constant in the normal run and changes in the incident stays: leaving such columns
out, as some comparisons do, leaves out the target of all but 4 incidents of availability. Rows are
consecutive and depend on each other, so that what stands in for an incident in tasks of normal
against normal is five consecutive bins as well.
"""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from cdnbench.arrays import read_arrays
from cdnbench.datasets.real.case import DRAWS, Case
from cdnbench.datasets.real.files import DataFile, refusing
from cdnbench.digest import generator
from cdnbench.errors import InvalidData
from cdnbench.files import write_atomically

SHIPPED = Path(__file__).with_name("petshop.npz")
ARCHIVE = DataFile(
    path="root_cause/petshop_low_high_traffic.tar.gz",
    source="amazon-science/petshop-root-cause-analysis, dataset/low_traffic and "
    "dataset/high_traffic.",
    licence="CC BY 4.0.",
)
FILES = ()  # none to be placed
GENES = False
TRAFFIC = ("low", "high")
METRICS = ("latency", "availability")
_AGGREGATION = "Average"
_MEASURED = 0.5


@refusing
def read(path: Path = SHIPPED) -> list[Case]:
    """One case per incident, then normal bins against normal bins of each traffic and metric.

    Raises
    ------
    InvalidData: the file is not what `compact` makes.
    """
    arrays = _load(path)
    cases = []
    for traffic in TRAFFIC:
        services = tuple(arrays[f"{traffic}_services"].tolist())
        for i, (values, metric, cause) in enumerate(
            zip(
                arrays[f"{traffic}_incidents"],
                arrays[f"{traffic}_metrics"],
                arrays[f"{traffic}_causes"],
                strict=True,
            )
        ):
            normal = arrays[f"{traffic}_normal_{metric}"]
            cases.append(_case(f"{traffic} incident {i}", services, normal, values, str(cause)))
    return cases + [c for traffic in TRAFFIC for c in _normal_against_normal(arrays, traffic)]


def call_graph(traffic: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Services and a bool matrix whose entry [i, j] says that service i calls service j, for
    methods that may know it. traffic: "low" or "high". An effect travels from j to i."""
    arrays = _load(SHIPPED)
    return tuple(arrays[f"{traffic}_services"].tolist()), arrays[f"{traffic}_calls"]


def write_call_graph(path: Path) -> None:
    """Write who acts on whom under either traffic, as a table of two columns for `traversal`: the
    service that is called, and the one that calls it."""
    pairs: set[tuple[str, str]] = set()
    for traffic in TRAFFIC:
        services, calls = call_graph(traffic)
        pairs |= {(services[j], services[i]) for i, j in np.argwhere(calls).tolist()}
    rows = ["source\ttarget", *(f"{cause}\t{effect}" for cause, effect in sorted(pairs))]
    write_atomically(path, ("\n".join(rows) + "\n").encode())


def _case(
    unit: str, services: tuple[str, ...], normal: np.ndarray, abnormal: np.ndarray, target: str
) -> Case:
    measured = (np.isfinite(normal).mean(axis=0) >= _MEASURED) & np.isfinite(abnormal).any(axis=0)
    before, after = _filled(normal[:, measured]), _filled(abnormal[:, measured])
    names = np.array(services)[measured]
    varies = np.ptp(np.concatenate([before, after]), axis=0) > 0
    return Case(
        unit=unit,
        variables=tuple(names[varies].tolist()),
        observational=before[:, varies],
        perturbed=after[:, varies],
        target=target,
    )


def _filled(values: np.ndarray) -> np.ndarray:
    means = np.nanmean(values.astype(np.float64), axis=0)
    return np.where(np.isnan(values), means, values).astype(np.float32)


def _normal_against_normal(arrays: Mapping[str, np.ndarray], traffic: str) -> list[Case]:
    """Five consecutive bins against all others, `DRAWS` / 2 times per metric."""
    services = tuple(arrays[f"{traffic}_services"].tolist())
    n_abnormal = arrays[f"{traffic}_incidents"].shape[1]
    cases = []
    for metric in METRICS:
        normal = arrays[f"{traffic}_normal_{metric}"]
        rng = generator("real", "petshop", "controls", traffic, metric)
        starts = rng.choice(len(normal) // n_abnormal, size=DRAWS // 2, replace=False) * n_abnormal
        for start in starts.tolist():
            taken = np.zeros(len(normal), bool)
            taken[start : start + n_abnormal] = True
            unit = f"{traffic} {metric} {start}"
            cases.append(_case(unit, services, normal[~taken], normal[taken], ""))
    return cases


@lru_cache(maxsize=1)
def _load(path: Path) -> dict[str, np.ndarray]:
    names = (
        "services",
        "calls",
        "incidents",
        "metrics",
        "causes",
        *(f"normal_{m}" for m in METRICS),
    )
    return read_arrays(path, [f"{t}_{n}" for t in TRAFFIC for n in names])


@refusing
def compact(archive: Path) -> dict[str, np.ndarray]:
    """What the cases need of the published archive, per traffic.

    Returns
    -------
    services: (N,) names, in alphabetical order; those that the normal run and all incidents have.
    calls: (N, N) bool. normal_latency, normal_availability: (bins, N) float32, NaN where nothing
    was measured. incidents: (26, 5, N) float32 in the metric of each. metrics, causes: (26,) text.

    Raises
    ------
    InvalidData: it is not that archive.
    """
    with tarfile.open(archive) as tar:
        texts = {
            member.name: io.TextIOWrapper(file, encoding="utf-8").read()
            for member in tar
            if member.isfile() and (file := tar.extractfile(member)) is not None
        }
    return {
        f"{traffic}_{name}": array
        for traffic in TRAFFIC
        for name, array in _of_traffic(texts, f"dataset/{traffic}_traffic/").items()
    }


def _of_traffic(texts: Mapping[str, str], folder: str) -> dict[str, np.ndarray]:
    issues = sorted(
        name.removesuffix("target.json")
        for name in texts
        if name.startswith(folder) and name.endswith("/target.json")
    )
    if not issues or f"{folder}noissue/metrics.csv" not in texts:
        raise InvalidData(f"The archive has no {folder}noissue/metrics.csv or no incidents.")
    normal = _metrics(texts[f"{folder}noissue/metrics.csv"])
    abnormal = [_metrics(texts[f"{issue}metrics.csv"]) for issue in issues]
    told = [json.loads(texts[f"{issue}target.json"]) for issue in issues]
    metrics = [t["target"]["metric"] for t in told]
    if any(t["target"]["agg"] != _AGGREGATION for t in told):
        raise InvalidData(f"{folder}: an incident is not told by the aggregation {_AGGREGATION}.")
    found = {m: normal.xs((m, _AGGREGATION), axis=1, level=[1, 2]) for m in METRICS}
    incidents = [
        t.xs((m, _AGGREGATION), axis=1, level=[1, 2])
        for t, m in zip(abnormal, metrics, strict=True)
    ]
    shared = set.intersection(*(set(t.columns) for t in [*found.values(), *incidents]))
    services = sorted(shared)
    graph = list(csv.reader(io.StringIO(texts[f"{folder}graph.csv"])))
    calls = pd.DataFrame(
        [[float(v) for v in row[1:]] for row in graph[1:]],
        index=[row[0] for row in graph[1:]],
        columns=graph[0][1:],
    )
    return {
        "services": np.array(services),
        "calls": calls.reindex(index=services, columns=services).fillna(0).to_numpy() != 0,
        **{f"normal_{m}": t[services].to_numpy(np.float32) for m, t in found.items()},
        "incidents": np.stack([t[services].to_numpy(np.float32) for t in incidents]),
        "metrics": np.array(metrics),
        "causes": np.array([t["root_cause"]["node"] for t in told]),
    }


def _metrics(text: str) -> pd.DataFrame:
    """Bins in rows; columns (service, metric, aggregation)."""
    return pd.read_csv(io.StringIO(text), header=[0, 1, 2], index_col=0)
