"""Which runs each table of the paper rests on, at a scale of minutes and at the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Scale(StrEnum):
    """small: some tasks and methods, for minutes. full: all of the table."""

    small = "small"
    full = "full"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One run. limit: how many tasks, None for all. timing: one job at a time, timed alone.

    informed: further methods, for which there is no simulated knowledge: they run where
    `--knowledge` has what they need.
    """

    suite: str
    methods: str
    informed: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    timing: bool = False

    @property
    def command(self) -> str:
        """The same run as a user types it."""
        options = "".join(f" --{k.replace('_', '-')} {v}" for k, v in self.options.items())
        limit = f" --limit {self.limit}" if self.limit else ""
        timing = " --timing" if self.timing else ""
        return f"bench run --suite {self.suite}{options} --methods {self.methods}{limit}{timing}"


CELLS, DRUGS, SYNTHETIC = "perturbseq", "sciplex", "synthetic"
OF_CELLS = (CELLS, DRUGS)
"""Suites that take a folder of prepared lines."""

_QUICK_ON_CELLS = "random,target-shift,linear,mlp,genept-style"
_TIMED_ON_CELLS = f"{_QUICK_ON_CELLS},lfc-rank,gears,pdgrapher,cdn-cells"
_PAPERS_ON_CELLS = "cdn-axial-cells,cdn-mlp-cells"
"""The paper's networks, beside which its rows `cdn` and `cdn-cl` stand."""
_ON_CELLS = f"{_TIMED_ON_CELLS},{_PAPERS_ON_CELLS}"
_IN_TABLE_10 = f"linear,mlp,genept-style,gears,pdgrapher,cdn-cells,{_PAPERS_ON_CELLS}"
_INFORMED = "genept"
_QUICK_ON_GRAPHS = "random,target-shift,ut-igsp,cdn-axial,cdn-mlp"
_TIMED_ON_GRAPHS = f"{_QUICK_ON_GRAPHS},dci,dcdi-g,dcdi-dsf,bacadi"
_ON_GRAPHS = f"{_QUICK_ON_GRAPHS},dci,dcdi-g,dcdi-dsf,bacadi:likelihood=fc"
"""The paper's BaCaDI is the fully connected one."""


def _lines(limit: int | None) -> tuple[Recipe, ...]:
    """One task tells all of its line, but counts of tasks need them all."""
    return tuple(Recipe(suite=suite, methods="random", limit=limit) for suite in OF_CELLS)


def _both_splits(methods: str, limit: int | None, informed: str = "") -> tuple[Recipe, ...]:
    return tuple(
        Recipe(
            suite=CELLS, methods=methods, informed=informed, options={"split": split}, limit=limit
        )
        for split in ("seen", "unseen-cl")
    )


def _graphs(methods: str, limit: int | None, **options: str) -> tuple[Recipe, ...]:
    options = {"protocol": "dcdi", **options}
    return (Recipe(suite=SYNTHETIC, methods=methods, options=options, limit=limit),)


def _rounds(methods: str, rounds: int, limit: int | None, informed: str = "") -> tuple[Recipe, ...]:
    options = {"split": "seen", "subsample": rounds}
    return (Recipe(suite=CELLS, methods=methods, informed=informed, options=options, limit=limit),)


def _times(on_cells: str, on_graphs: str, limit: int) -> tuple[Recipe, ...]:
    """A median needs few tasks."""
    return (
        Recipe(suite=CELLS, methods=on_cells, limit=limit, timing=True),
        Recipe(
            suite=SYNTHETIC,
            methods=on_graphs,
            options={"protocol": "dcdi"},
            limit=limit,
            timing=True,
        ),
    )


RECIPES: dict[str, dict[Scale, tuple[Recipe, ...]]] = {
    **{
        table: {Scale.small: _lines(10), Scale.full: _lines(None)} for table in ("table1", "table5")
    },
    "table2": {
        Scale.small: _both_splits(_QUICK_ON_CELLS, 40),
        Scale.full: _both_splits(_ON_CELLS, None, _INFORMED),
    },
    "table4": {
        Scale.small: _graphs(_QUICK_ON_GRAPHS, 12, variables="10"),
        Scale.full: _graphs(_ON_GRAPHS, None, variables="10"),
    },
    "table6": {Scale.small: _lines(10), Scale.full: _lines(None)},
    "table9": {
        Scale.small: _times(_QUICK_ON_CELLS, _QUICK_ON_GRAPHS, 8),
        Scale.full: _times(_TIMED_ON_CELLS, _TIMED_ON_GRAPHS, 24),
    },
    "table10": {
        Scale.small: _rounds("linear,mlp,genept-style", 2, 40),
        Scale.full: _rounds(_IN_TABLE_10, 5, None, _INFORMED),
    },
    "table11": {
        Scale.small: _graphs(_QUICK_ON_GRAPHS, 24),
        Scale.full: _graphs(_ON_GRAPHS, None),
    },
}
"""Table -> scale -> its runs. Tables 7 and 8 rest on training, see `TRAINED`."""

TRAINED = ("table7", "table8")
"""Tables whose variants are trained first."""

LOST = ("table3",)
"""Tables of which neither the values nor the rows are known."""
