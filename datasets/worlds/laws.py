"""Laws: which worlds training data is drawn from, and what is never drawn."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cdnbench.datasets.worlds.graphs import GRAPHS
from cdnbench.datasets.worlds.interventions import INTERVENTIONS
from cdnbench.datasets.worlds.measurement import MARGINALS
from cdnbench.datasets.worlds.mechanisms import MECHANISMS
from cdnbench.datasets.worlds.noise import NOISE

KINDS = ("general", "physical", "cells", "bulk", "arrays")

HELD_OUT: dict[str, tuple[str, ...]] = {
    "mechanism": ("polynomial", "sigmoid", "fourier", "sigmix"),
    "marginal": ("gap", "u-shaped"),
    "noise": ("exponential", "two-sided"),
    "intervention": ("truncate", "decouple"),
}
"""Families that no world has, by factor. The last three rows are the suite `synthetic-far`."""


@dataclass(frozen=True, kw_only=True)
class Laws:
    """What training worlds are drawn from.

    kinds: shares of the kinds. sizes: ranges of N, one chosen per batch. regimes: range of R.
    rows_at_once: most rows of a dataset of 20 variables or fewer, all data sets together; larger
    ones get as many rows as keep rows x N constant. silent: share of datasets in which nothing is
    ever moved. In the regimes of the others, none is the share in which nothing moved, and hidden
    the share in which only hidden variables did. mixed: share of datasets whose regimes are of
    different families. confounded: share of datasets with hidden common causes. cyclic: share of
    cyclic graphs where the kind allows them.

    The other fields can take something away from every world (see `without`). marginals: whether
    values are measured through marginals, sequenced and rounded; otherwise they are plain.
    dependence: whether there are memory, drift, lag and batches. partial: whether an intervention
    may miss rows, and whether hidden nodes may move beside it. fewest_rows: every data set has at
    least so many.
    """

    kinds: tuple[tuple[str, float], ...] = (
        ("general", 0.30),
        ("physical", 0.32),
        ("cells", 0.20),
        ("bulk", 0.08),
        ("arrays", 0.10),
    )
    sizes: tuple[tuple[int, int], ...] = ((10, 10), (20, 20), (5, 30), (30, 60), (60, 100))
    regimes: tuple[int, int] = (1, 32)
    rows_at_once: int = 8000
    silent: float = 0.04
    none: float = 0.08
    hidden: float = 0.08
    mixed: float = 0.3
    confounded: float = 0.35
    cyclic: float = 0.15
    marginals: bool = True
    dependence: bool = True
    partial: bool = True
    fewest_rows: int = 3

    def __post_init__(self) -> None:
        unknown = {kind for kind, _ in self.kinds} - set(KINDS)
        if unknown:
            raise ValueError(f"no worlds of kind {sorted(unknown)}; there are {list(KINDS)}")

    def plain(self) -> dict[str, Any]:
        """For a card and the names of random streams: the numbers above and the families of each
        factor. The fields that take something away are named only where they do. So laws that take
        nothing away have the same random streams as before these fields existed."""
        numbers = asdict(self)
        for name, usual in _TAKEN_AWAY.items():
            if numbers[name] == usual:
                del numbers[name]
        silent = ["none"] if self.silent or self.none else []
        silent += ["hidden"] if self.hidden and self.confounded else []
        return {
            **numbers,
            "families": {
                "graph": list(GRAPHS),
                "mechanism": list(MECHANISMS),
                "noise": list(NOISE),
                "intervention": [*INTERVENTIONS, *silent],
                "marginal": [*MARGINALS, "sequenced", "quantised"] if self.marginals else ["plain"],
            },
            "held_out": {factor: list(names) for factor, names in HELD_OUT.items()},
        }


_TAKEN_AWAY = {"marginals": True, "dependence": True, "partial": True, "fewest_rows": 3}

WIDE = Laws()
"""The worlds that `cdn` is trained on."""
