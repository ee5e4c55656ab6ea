"""The kinds of worlds. Each kind has graphs, mechanisms, noise, rows and measurement that go
together:

    general   structural models of all sorts, measured through all sorts of instruments
    physical  plants, test benches, services: little noise, dependent rows, responses that lag,
              set points that never vary, faults of up to hundreds of standard deviations, effects
              that grow downstream, measurement error that children do not see
    cells     transcription by regulators, bursts, sequencing with library sizes, knock-outs that
              reach a part of the cells
    bulk      3 to 8 samples per side, sequenced deeply or measured on an array
    arrays    protein arrays and cytometry: 15 to 1,000 rows, saturation, batches

Literature behind `cells`: Bintu et al. 2005 (regulation), Raj et al. 2006 (bursts), Grün et al.
2014 (Poisson sampling with log-normal library sizes), Love et al. 2014 (dispersion in bulk data).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cdnbench.datasets.worlds.interventions import GENERAL, HIDDEN, NONE
from cdnbench.datasets.worlds.laws import Laws
from cdnbench.datasets.worlds.measurement import MARGINALS
from cdnbench.datasets.worlds.mechanisms import SETTLING
from cdnbench.datasets.worlds.noise import NOISE
from cdnbench.datasets.worlds.reduction import reduced
from cdnbench.datasets.worlds.world import Counts, Rows, World


def draw_world(laws: Laws, rng: np.random.Generator, n: int, regimes: int) -> World:
    """A world of N variables and R regimes."""
    kinds, shares = zip(*laws.kinds, strict=True)
    kind = kinds[int(rng.choice(len(kinds), p=np.array(shares) / sum(shares)))]
    world = reduced(laws, DRAWS[kind](laws, rng, n, regimes))
    return replace(world, interventions=_silenced(laws, rng, world))


def _general(laws: Laws, rng: np.random.Generator, n: int, regimes: int) -> World:
    cyclic = _with_loops(laws, rng, n)
    return _world(
        laws, rng, "general", n, regimes,
        rows=_rows(
            laws, rng, n, regimes,
            control=_pick(rng, ((30, 200), (200, 1000), (100, 3000))),
            side=_pick(rng, ((10, 100), (30, 300), (200, 1000))),
            dependent=0.15, drifting=0.1, batched=0.15,
        ),
        graph=_pick(rng, ("er", "er", "sf", "modular", "layered")),
        density=_pick(rng, (1.0, 1.5, 2.0, 3.0)),
        cyclic=cyclic,
        mechanisms=_mechanisms(
            rng, SETTLING[:-1] if cyclic else (*SETTLING[:-1], "linear", "network", "network")
        ),
        noise=_pick(rng, ("gaussian",) * 3 + NOISE),
        calibrated=bool(rng.random() < 0.5),
        unexplained=_pick(rng, ((0.1, 0.9), (0.1, 0.9), (0.01, 0.5))),
        error=_pick(rng, ((0.0, 0.0), (0.0, 0.0), (0.01, 0.5))),
        families=GENERAL,
        strength=_pick(rng, ((0.5, 4.0), (0.2, 1.5), (1.0, 6.0))),
        unaffected=_pick(rng, ((0.0, 0.0), (0.0, 0.0), (0.0, 0.6))),
        marginals=_marginals(rng),
        quantised=_pick(rng, (0.0, 0.0, 0.3)),
    )  # fmt: skip


def _physical(laws: Laws, rng: np.random.Generator, n: int, regimes: int) -> World:
    controlled = bool(rng.random() < laws.cyclic)  # by loops
    return _world(
        laws, rng, "physical", n, regimes,
        rows=_rows(
            laws, rng, n, regimes,
            control=_pick(rng, ((30, 200), (200, 700), (300, 3000))),
            side=_pick(rng, ((3, 8), (5, 30), (30, 300), (200, 1000))),
            dependent=0.75, drifting=0.35, batched=0.1,
            lagging=0.0 if controlled else 0.4, sudden=0.5,
        ),
        graph=_pick(rng, ("layered", "layered", "sf", "er", "modular", "regulators")),
        density=_pick(rng, (1.0, 1.5, 2.0)),
        cyclic=controlled,
        mechanisms=_pick(
            rng,
            (("linear",), ("linear", "leaky"), ("softplus", "slowest"))
            if controlled
            else (
                ("linear",), ("linear", "knee"), ("linear", "slowest"), ("softplus", "leaky"),
                ("linear", "knee", "slowest", "softplus", "leaky"), ("knee",),
            ),
        ),
        noise=_pick(rng, ("gaussian", "gaussian", "laplace", "student", *NOISE)),
        calibrated=not controlled,
        unexplained=_pick(rng, ((1e-6, 1e-2), (1e-4, 0.1), (1e-2, 0.5), (1e-4, 0.9))),
        level=_pick(rng, ((0.003, 1.0), (0.03, 1.0))),
        held=0.0 if controlled else _pick(rng, (0.0, 0.0, 0.3, 0.8)),
        error=_pick(rng, ((0.0, 0.0), (1e-3, 0.1), (1e-2, 1.0))),
        families=(
            "hard", "hard", "scale", "shift", "shift", "ramp", "variance", "reweight", "knock-down",
        ),
        strength=_pick(rng, ((0.3, 3.0), (0.5, 10.0), (2.0, 20.0), (2.0, 300.0))),
        unaffected=_pick(rng, ((0.0, 0.0), (0.0, 0.0), (0.0, 0.7))),
        context=_pick(rng, (0.0, 0.0, 0.5)),
        marginals=_pick(
            rng,
            (
                ("plain",), ("plain",), ("skewed",), ("light",), tuple(MARGINALS),
                ("plain", "skewed", "full", "count"), ("full",),
            ),
        ),
        quantised=_pick(rng, (0.0, 0.2, 0.5)),
    )  # fmt: skip


def _cells(laws: Laws, rng: np.random.Generator, n: int, regimes: int) -> World:
    cyclic = _with_loops(laws, rng, n, 2.0)
    return _world(
        laws, rng, "cells", n, regimes,
        rows=_rows(
            laws, rng, n, regimes,
            control=_pick(rng, ((100, 500), (500, 2000), (1000, 4000))),
            side=_pick(rng, ((20, 100), (50, 200), (100, 400))),
            dependent=0.0, drifting=0.0, batched=0.4,
        ),
        graph=_pick(rng, ("regulators", "regulators", "sf", "modular")),
        density=_pick(rng, (0.5, 1.0, 2.0, 3.0)),
        cyclic=cyclic,
        mechanisms=("regulation",) if rng.random() < 0.75 else ("regulation", "softplus", "leaky"),
        noise=_pick(rng, ("bursts", "bursts", "gaussian", "student")),
        calibrated=False,
        level=_pick(rng, ((0.1, 0.4), (0.2, 0.8), (0.4, 1.2))),
        families=("knock-out", "knock-out", "knock-out", "activation"),
        unaffected=_pick(rng, ((0.0, 0.3), (0.0, 0.8))),
        counts=Counts(
            depth=_log_uniform(rng, 0.1, 20),
            library=rng.uniform(0.15, 0.8),
            basal=rng.uniform(0.5, 2.2),
            dispersion=_pick(rng, (0.0, 0.0, 0.1, 0.5)),
            rest=_pick(rng, (0.0, 0.3, 3.0, 30.0)),
            output=_pick(rng, ("log-normalised",) * 4 + ("log", "share", "raw")),
        ),
    )  # fmt: skip


def _bulk(laws: Laws, rng: np.random.Generator, n: int, regimes: int) -> World:
    sequencing = Counts(
        depth=_log_uniform(rng, 20, 2000),
        library=rng.uniform(0.05, 0.5),
        basal=rng.uniform(0.5, 2.2),
        dispersion=_log_uniform(rng, 0.005, 0.2),
        rest=_pick(rng, (0.0, 3.0, 30.0)),
        output=_pick(rng, ("log-normalised", "log-normalised", "log", "raw")),
    )
    return _world(
        laws, rng, "bulk", n, regimes,
        rows=_rows(
            laws, rng, n, regimes,
            control=_pick(rng, ((3, 8), (3, 30))), side=(3, 8),
            dependent=0.0, drifting=0.0, batched=0.3,
        ),
        graph=_pick(rng, ("regulators", "sf", "modular", "er")),
        density=_pick(rng, (0.5, 1.0, 2.0)),
        mechanisms=("regulation",),
        noise=_pick(rng, ("gaussian", "gaussian", "student")),
        calibrated=False,
        level=_pick(rng, ((0.05, 0.2), (0.1, 0.4))),
        families=("knock-out", "knock-out", "activation"),
        counts=sequencing if rng.random() < 0.7 else None,
        marginals=_pick(rng, (("plain",), ("skewed",))),
    )  # fmt: skip


def _arrays(laws: Laws, rng: np.random.Generator, n: int, regimes: int) -> World:
    cyclic = _with_loops(laws, rng, n, 2.0)
    return _world(
        laws, rng, "arrays", n, regimes,
        rows=_rows(
            laws, rng, n, regimes,
            control=_pick(rng, ((12, 40), (100, 1000))), side=_pick(rng, ((12, 40), (100, 1000))),
            dependent=0.1, drifting=0.1, batched=0.5,
        ),
        graph=_pick(rng, ("er", "modular", "layered", "sf")),
        density=_pick(rng, (1.0, 1.5, 2.0)),
        cyclic=cyclic,
        mechanisms=_mechanisms(rng, ("linear", "softplus", "leaky", "regulation")),
        noise=_pick(rng, ("gaussian", "laplace", "student", "bursts")),
        calibrated=bool(rng.random() < 0.5) and not cyclic,
        unexplained=(0.1, 0.9),
        error=_pick(rng, ((0.0, 0.0), (0.05, 0.5))),
        families=("hard", "shift", "scale", "knock-down", "knock-down", "reweight", "knock-out"),
        strength=_pick(rng, ((0.5, 4.0), (0.2, 1.5))),
        unaffected=_pick(rng, ((0.0, 0.0), (0.0, 0.4))),
        marginals=_pick(
            rng, (("plain",), ("skewed",), ("saturated",), ("heavy",), ("skewed", "clipped"))
        ),
    )  # fmt: skip


DRAWS = {
    "general": _general,
    "physical": _physical,
    "cells": _cells,
    "bulk": _bulk,
    "arrays": _arrays,
}


def _world(
    laws: Laws,
    rng: np.random.Generator,
    kind: str,
    n: int,
    regimes: int,
    *,
    families: Sequence[str],
    **parts: Any,
) -> World:
    """The parts that all kinds draw alike: hidden causes, families, numbers of targets, units."""
    hidden = int(rng.integers(1, 2 + n // 8)) if rng.random() < laws.confounded else 0
    one_family = rng.random() >= laws.mixed
    chosen = [_pick(rng, families)] * regimes if one_family else rng.choice(families, regimes)
    most = 1 if rng.random() < 0.4 else min(3, n // 3)
    if n >= 20 and rng.random() < 0.1:
        most = 10
    return World(
        kind=kind,
        n_variables=n,
        n_hidden=hidden,
        interventions=tuple(map(str, chosen)),
        n_targets=tuple(int(k) for k in rng.integers(1, max(most, 1) + 1, regimes)),
        units=_pick(rng, (0.0, 3.0)),
        **parts,
    )


def _silenced(laws: Laws, rng: np.random.Generator, world: World) -> tuple[str, ...]:
    """The family of each regime, after some regimes have been made silent and others have been made
    to act on hidden variables only."""
    if rng.random() < laws.silent:
        return (NONE,) * world.n_regimes
    u = rng.random(world.n_regimes)
    hidden = laws.hidden if world.n_hidden else 0.0
    return tuple(
        NONE if x < laws.none else HIDDEN if x < laws.none + hidden else family
        for x, family in zip(u, world.interventions, strict=True)
    )


def _rows(
    laws: Laws,
    rng: np.random.Generator,
    n: int,
    regimes: int,
    *,
    control: tuple[int, int],
    side: tuple[int, int],
    dependent: float,
    drifting: float,
    batched: float,
    lagging: float = 0.0,
    sudden: float = 0.0,
) -> Rows:
    """Row counts within the budget of the laws, and what ties rows together."""
    most = laws.rows_at_once * 20 / max(n, 20)
    n_control = _log_uniform(rng, *control)
    usual = _log_uniform(rng, *side)
    even = rng.random() < 0.5
    sides = [
        usual if even else max(3, round(usual * rng.uniform(0.4, 1.6))) for _ in range(regimes)
    ]
    share = min(1.0, 0.7 * most / sum(sides))
    counts = [round(min(n_control, 0.3 * most if share < 1 else most))]
    counts += [max(3, round(share * size)) for size in sides]
    batches = int(rng.integers(2, 5)) if rng.random() < batched else 1
    return Rows(
        counts=tuple(max(3, int(c)) for c in counts),
        memory=float(_pick(rng, (0.3, 0.6, 0.9, 0.97))) if rng.random() < dependent else 0.0,
        persistent=float(_pick(rng, (0.3, 1.0))),
        drift=float(rng.uniform(0.1, 1.0)) if rng.random() < drifting else 0.0,
        batches=batches,
        batch=float(rng.uniform(0.05, 0.6)) if batches > 1 else 0.0,
        balanced=bool(rng.random() < 0.6),
        lag=_log_uniform(rng, 1.0, 30.0) if rng.random() < lagging else 0.0,
        onset=bool(rng.random() < sudden),
    )


def _with_loops(laws: Laws, rng: np.random.Generator, n: int, times: float = 1.0) -> bool:
    """Whether a graph is cyclic. None is beyond 150 variables, where scaling loops takes long."""
    return bool(rng.random() < times * laws.cyclic) and n <= 150


def _mechanisms(rng: np.random.Generator, families: Sequence[str]) -> tuple[str, ...]:
    """Either one family for all nodes, or all families."""
    return (_pick(rng, families),) if rng.random() < 0.6 else tuple(dict.fromkeys(families))


def _marginals(rng: np.random.Generator) -> tuple[str, ...]:
    """Plain values in half of the worlds, one family for all variables, or a mixture."""
    u = rng.random()
    if u < 0.45:
        return ("plain",)
    return (_pick(rng, tuple(MARGINALS)),) if u < 0.75 else tuple(MARGINALS)


def _pick(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> Any:
    value = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return (
        int(round(value)) if isinstance(low, int) and isinstance(high, int) and low >= 3 else value
    )
