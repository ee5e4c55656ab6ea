"""Sachs et al. 2005: flow cytometry of 11 phosphorylated proteins in single T cells under
inhibitors and activators.

"Causal Protein-Signaling Networks Derived from Multiparameter Single-Cell Data", Science 308:523.
Raw intensities (all at least 1). Each condition is a regime whose reagent acts on one measured
protein:

    primary    AKT inhibitor -> AKT, G0076 -> PKC, psitectorigenin -> PIP2, U0126 -> MEK; on top of
               anti-CD3/CD28, the observational condition (853 cells)
    secondary  LY294002 -> AKT (it inhibits PI3K, upstream and not measured), PMA -> PKC and b2cAMP
               -> PKA (both without anti-CD3/CD28, so that the background differs as well)
    icam       with `data` only: the same first five reagents on top of anti-CD3/CD28 + ICAM-2 (902
               cells observational)

The condition anti-CD3/CD28 + ICAM-2 has no target among the proteins and is no regime of the first
two groups. Each group is one task, so that no average mixes them; a handful of regimes allows
ranks, and no claims from means. An inhibitor blocks what its target does more than how much of it
is phosphorylated, so the target's own column need not move.

By default the data come out of the file that the `cdt` package carries, which has nine of the
conditions as rows in order and no column that says which; they are told apart by their published
numbers of cells.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from cdnbench.datasets.real.files import refusing, written
from cdnbench.digest import digest
from cdnbench.errors import BenchError
from cdnbench.suite import Suite, SuiteInfo, SuiteOption, TaskSpec
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

PROTEINS = ("RAF", "MEK", "PLCg", "PIP2", "PIP3", "ERK", "AKT", "PKA", "PKC", "P38", "JNK")
_CDT_COLUMNS = (
    "praf",
    "pmek",
    "plcg",
    "PIP2",
    "PIP3",
    "p44/42",
    "pakts473",
    "PKA",
    "PKC",
    "P38",
    "pjnk",
)


@dataclass(frozen=True)
class Condition:
    """One experiment, numbered as in the supplement of the paper. `target` is "" where no measured
    protein is meant."""

    number: int
    name: str
    cells: int
    target: str = ""


CONDITIONS = (
    Condition(1, "CD3/CD28", 853),
    Condition(2, "CD3/CD28 + ICAM-2", 902),
    Condition(3, "CD3/CD28 + AKT inhibitor", 911, "AKT"),
    Condition(4, "CD3/CD28 + G0076", 723, "PKC"),
    Condition(5, "CD3/CD28 + psitectorigenin", 810, "PIP2"),
    Condition(6, "CD3/CD28 + U0126", 799, "MEK"),
    Condition(7, "CD3/CD28 + LY294002", 848, "AKT"),
    Condition(8, "PMA", 913, "PKC"),
    Condition(9, "b2cAMP", 707, "PKA"),
    Condition(10, "CD3/CD28 + ICAM-2 + AKT inhibitor", 899, "AKT"),
    Condition(11, "CD3/CD28 + ICAM-2 + G0076", 753, "PKC"),
    Condition(12, "CD3/CD28 + ICAM-2 + psitectorigenin", 868, "PIP2"),
    Condition(13, "CD3/CD28 + ICAM-2 + U0126", 759, "MEK"),
    Condition(14, "CD3/CD28 + ICAM-2 + LY294002", 927, "AKT"),
)

GROUPS = {
    "primary": (1, (3, 4, 5, 6)),
    "secondary": (1, (7, 8, 9)),
    "icam": (2, (10, 11, 12, 13, 14)),
}
"""Group -> (observational condition, its regimes)."""


def read_cdt() -> dict[int, np.ndarray]:
    """Condition number -> (cells, 11) float32 raw intensities, conditions 1 to 9, from the file
    inside the cdt package.

    `find_spec` of a top-level package locates it without importing it, which would take 20 seconds.
    """
    spec = importlib.util.find_spec("cdt")
    if spec is None or not spec.submodule_search_locations:
        raise BenchError(
            "The suite sachs reads a file of the package cdt, which is not installed: pip install "
            "cdt."
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / "resources" / "cyto_full_data.csv"
    header, rows = _read(path, "reinstall the package cdt (0.6.0 has it)")
    if tuple(header) != _CDT_COLUMNS:
        raise BenchError(
            f"{path}: expected the columns {', '.join(_CDT_COLUMNS)}; got {', '.join(header)}."
        )
    values = _numbers(path, rows)
    conditions = [c for c in CONDITIONS if c.number <= 9]
    expected = sum(c.cells for c in conditions)
    if len(values) != expected:
        raise BenchError(
            f"{path}: {len(values)} cells where Sachs et al. have {expected}; conditions cannot "
            "be told apart."
        )
    parts = np.split(values, np.cumsum([c.cells for c in conditions])[:-1])
    return {c.number: part for c, part in zip(conditions, parts, strict=True)}


@refusing
def read_conditions(path: Path) -> dict[int, np.ndarray]:
    """Condition number -> (cells, 11) float32 raw intensities of all 14 conditions, from a csv(.gz)
    whose column `file` holds the number of the condition."""
    header, rows = _read(path, "give data= the csv(.gz) of the 14 conditions")
    missing = [name for name in ("file", *PROTEINS) if name not in header]
    if missing:
        raise BenchError(
            f"{path}: the column {missing[0]} is missing; expected file and {', '.join(PROTEINS)}."
        )
    columns = [header.index(protein) for protein in PROTEINS]
    values = _numbers(path, [[row[c] for c in columns] for row in rows])
    numbers = np.array([row[header.index("file")] for row in rows])
    found = {c.number: values[numbers == str(c.number)] for c in CONDITIONS}
    for condition in CONDITIONS:
        if len(found[condition.number]) != condition.cells:
            raise BenchError(
                f"{path}: condition {condition.number} ({condition.name}) has "
                f"{len(found[condition.number])} cells; "
                f"Sachs et al. have {condition.cells}."
            )
    return found


def _read(path: Path, cure: str) -> tuple[list[str], list[list[str]]]:
    if not path.is_file():
        raise BenchError(f"The suite sachs needs {path}, which is not there: {cure}.")
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="", encoding="utf-8-sig") as file:
        header, *rows = csv.reader(file)
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise BenchError(
                f"{path}: row {number} has {len(row)} fields, but the header has {len(header)}."
            )
    return header, rows


def _numbers(path: Path, rows: Sequence[Sequence[str]]) -> np.ndarray:
    try:
        values = np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise BenchError(f"{path}: not a table of numbers ({error}).") from error
    if not (values > 0).all():
        raise BenchError(f"{path}: intensities must be positive; the smallest is {values.min()}.")
    if not np.isfinite(values).all() or values.max() > np.finfo(np.float32).max:
        raise BenchError(f"{path}: intensities must be finite numbers of float32.")
    return values.astype(np.float32)


def _conditions(data: str) -> dict[int, np.ndarray]:
    """Condition number -> (cells, 11); a file that was replaced is read again."""
    path = Path(data).expanduser() if data else None
    return _read_once(path, written(path) if path else (0, 0))


@lru_cache(maxsize=2)
def _read_once(path: Path | None, when: tuple[int, int]) -> dict[int, np.ndarray]:
    return read_conditions(path) if path else read_cdt()


class Sachs(Suite):
    info: ClassVar[SuiteInfo] = SuiteInfo(
        name="sachs",
        summary="flow cytometry of 11 proteins under 7 reagents with known targets: ranks per "
        "regime, no claims from means",
        options=(
            SuiteOption(
                name="data",
                default="",
                help="csv(.gz) of all 14 conditions; adds the group icam. Default: the 9 in the "
                "package cdt.",
            ),
            SuiteOption(
                name="transform",
                default="log",
                choices=("log", "none"),
                help="log: natural logarithm of the intensities, all of which are at least 1. "
                "none: raw.",
            ),
            SuiteOption(
                name="track",
                default="joint",
                choices=("joint", "single"),
                help="joint: one task per group of conditions. single: one task per condition.",
            ),
        ),
        setting=("group", "transform", "track"),
        factors={"transform": "log", "track": "joint"},
        citation="Sachs, Perez, Pe'er, Lauffenburger and Nolan 2005, Science 308:523",
    )

    def specs(self) -> list[TaskSpec]:
        """Reads the file: hashes are of its content.

        Raises
        ------
        BenchError: the file is missing or is not what Sachs et al. published; the message says
        which and what to do.
        """
        specs = []
        for group, (_, numbers) in GROUPS.items():
            if not set(numbers) <= set(self._samples()):
                continue
            if self.options["track"] == "joint":
                specs.append(self._spec(group, None))
            else:
                specs.extend(self._spec(group, r) for r in range(len(numbers)))
        return specs

    def load(self, spec: TaskSpec) -> LabelledTask:
        group, regime = spec.recipe
        samples, base, numbers = self._samples(), GROUPS[group][0], self._order(group)
        view = np.log if self.options["transform"] == "log" else np.asarray
        conditions = [CONDITIONS[number - 1] for number in numbers]
        task = Task(
            name=f"sachs/{group}",
            variables=PROTEINS,
            observational=view(samples[base]),
            regimes=[view(samples[number]) for number in numbers],
        )
        targets = np.array([[protein == c.target for protein in PROTEINS] for c in conditions])
        facts = {
            "observational": CONDITIONS[base - 1].name,
            "regimes": [c.name for c in conditions],
        }
        whole = LabelledTask(task=task, targets=targets, facts=facts)
        if regime is None:
            return whole
        single = whole.regime(regime)
        return replace(
            single,
            task=replace(single.task, name=spec.name),
            truth=replace(single.truth, facts={**facts, "regimes": [conditions[regime].name]}),
        )

    def _samples(self) -> dict[int, np.ndarray]:
        return _conditions(self.options["data"])

    def _order(self, group: str) -> list[int]:
        """Conditions in an order without meaning: that of a digest of their samples."""
        return sorted(GROUPS[group][1], key=lambda number: digest(self._samples()[number]))

    def _spec(self, group: str, regime: int | None) -> TaskSpec:
        samples, base, numbers = self._samples(), GROUPS[group][0], self._order(group)
        chosen = numbers if regime is None else [numbers[regime]]
        return TaskSpec(
            name=f"sachs/{group}" if regime is None else f"sachs/{group}/r{regime:03d}",
            # Of the raw samples: logarithms may differ between machines in the last bit.
            hash=digest(
                "sachs",
                self.options["transform"],
                list(PROTEINS),
                samples[base],
                *[samples[k] for k in chosen],
            ),
            n_variables=len(PROTEINS),
            n_regimes=len(chosen),
            n_samples=min(len(samples[k]) for k in (base, *chosen)),
            metadata={
                "dataset": f"sachs/{group}",
                "group": group,
                "transform": self.options["transform"],
                "track": self.options["track"],
                "simulated": False,
            },
            recipe=(group, regime),
        )
