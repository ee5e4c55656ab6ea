"""Laws that lack one of the things that make worlds hard, for studies of what training needs."""

from __future__ import annotations

from dataclasses import replace

from cdnbench.datasets.worlds.laws import Laws
from cdnbench.datasets.worlds.world import World

PARTS = {
    "physical": "plants, test benches and services",
    "cells": "single cells",
    "bulk": "3 to 8 sequenced samples",
    "arrays": "protein arrays and cytometry",
    "marginals": "marginals, sequencing and rounding; values are plain",
    "dependence": "memory, drift, lag and batches of rows",
    "few-rows": "data sets with fewer than 30 rows",
    "silence": "regimes in which no variable was hit",
    "hidden-causes": "hidden common causes, and regimes that act on them",
    "partial-effects": "rows that an intervention missed, and hidden nodes that move beside it",
}
"""What `without` can take away, in words."""

_CHANGES = {
    "marginals": {"marginals": False},
    "dependence": {"dependence": False},
    "few-rows": {"fewest_rows": 30},
    "silence": {"silent": 0.0, "none": 0.0, "hidden": 0.0},
    "hidden-causes": {"confounded": 0.0},
    "partial-effects": {"partial": False},
}


def without(laws: Laws, what: str) -> Laws:
    """The laws without one of `PARTS`; the others stay as they are. The shares of the other kinds
    of worlds grow in proportion where a kind is left out.

    Raises
    ------
    ValueError: there is no such part, or nothing would be left.
    """
    if what not in PARTS:
        raise ValueError(f"laws have no part {what!r}; they have {', '.join(PARTS)}")
    if what in _CHANGES:
        return replace(laws, **_CHANGES[what])  # type: ignore[arg-type]
    kinds = tuple((kind, share) for kind, share in laws.kinds if kind != what)
    if not kinds:
        raise ValueError(f"laws with worlds of kind {what!r} alone are nothing without it")
    return replace(laws, kinds=kinds)


def reduced(laws: Laws, world: World) -> World:
    """A world without what its laws take away. It is drawn whole first, so that taking one part
    away leaves the draws of the others."""
    rows = world.rows
    if not laws.dependence:
        rows = replace(rows, memory=0.0, drift=0.0, lag=0.0, batches=1, batch=0.0)
    if not laws.partial:
        rows = replace(rows, onset=False)
        world = replace(world, unaffected=(0.0, 0.0), context=0.0)
    if not laws.marginals:
        world = replace(world, marginals=("plain",), counts=None, quantised=0.0)
    counts = tuple(max(laws.fewest_rows, count) for count in rows.counts)
    return replace(world, rows=replace(rows, counts=counts))
