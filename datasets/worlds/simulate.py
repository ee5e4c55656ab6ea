"""World -> simulation: states, measured samples, targets and graph.

The rows of all data sets are simulated side by side, one node after another. In cyclic worlds the
pass over the nodes is repeated until states settle. A hidden reference, rows without intervention
that no method gets to see, sets the scale of effects, interventions and measurement. So a world may
have as few as three control rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cdnbench.datasets.worlds.graphs import GRAPHS, sweep_order, with_cycles
from cdnbench.datasets.worlds.interventions import (
    HIDDEN,
    NONE,
    Blow,
    draw_blow,
    log_fold,
    strike,
)
from cdnbench.datasets.worlds.measurement import (
    in_units,
    quantised,
    sequenced,
    through_marginals,
)
from cdnbench.datasets.worlds.mechanisms import MECHANISMS, Mechanism
from cdnbench.datasets.worlds.noise import SCALED, dependent, drift, lagged, scale_of, standard
from cdnbench.datasets.worlds.world import World

REFERENCE_ROWS = 200
_LOOP_GAIN = 0.7
_FAR = 1e4
_FASTEST = 0.3  # rows: the shortest time constant


@dataclass(frozen=True, eq=False, kw_only=True)
class Simulation:
    """A dataset with its truth. V = N + H nodes, the hidden ones last; M rows, those of the
    reference first.

    adjacency: (V, V) bool, [i, j] is the edge i -> j. targets: (R, V) bool. states: (V, M) before
    measurement. stretch: (M,) int, -1 in the reference, then 0 for the observational rows and 1 ..
    R for the regimes. affected: (M,) bool, rows that the intervention of their regime reached.
    samples: D arrays (rows, N) float32, what a method sees.
    """

    world: World
    adjacency: np.ndarray
    targets: np.ndarray
    states: np.ndarray
    stretch: np.ndarray
    affected: np.ndarray
    samples: tuple[np.ndarray, ...]


def simulate(world: World, rng: np.random.Generator, *, sweeps: int = 25) -> Simulation:
    """Draw one dataset of a world. sweeps: most passes over the nodes of a cyclic world."""
    adjacency = _graph(world, rng)
    sizes = [REFERENCE_ROWS, *world.rows.counts]
    stretch = np.repeat(np.arange(-1, world.n_regimes + 1), sizes)
    targets = _targets(world, rng)
    held = ~adjacency.any(0) & (rng.random(len(adjacency)) < world.held)
    affected, blows = _blows(world, rng, adjacency, targets, held, stretch)
    states, measured = _states(world, rng, adjacency, held, blows, sizes, sweeps)
    values = _measured(world, rng, measured[: world.n_variables], stretch)
    starts = np.cumsum(sizes)
    samples = np.split(np.ascontiguousarray(values.T, dtype=np.float32), starts[:-1])[1:]
    return Simulation(
        world=world,
        adjacency=adjacency,
        targets=targets,
        states=states,
        stretch=stretch,
        affected=affected,
        samples=tuple(samples),
    )


def _graph(world: World, rng: np.random.Generator) -> np.ndarray:
    """(V, V) bool. Hidden nodes are causes of 2 or more variables."""
    n, v = world.n_variables, world.n_variables + world.n_hidden
    adjacency = np.zeros((v, v), bool)
    visible = GRAPHS[world.graph](rng, n, world.density)
    adjacency[:n, :n] = with_cycles(rng, visible) if world.cyclic else visible
    for hidden in range(n, v):
        reach = min(n, 2 + rng.poisson(rng.uniform(0, 0.5) * n))
        adjacency[hidden, rng.permutation(n)[:reach]] = True
    return adjacency


def _targets(world: World, rng: np.random.Generator) -> np.ndarray:
    """(R, V) bool."""
    n, v = world.n_variables, world.n_variables + world.n_hidden
    targets = np.zeros((world.n_regimes, v), bool)
    for regime, (family, count) in enumerate(
        zip(world.interventions, world.n_targets, strict=True)
    ):
        if family == HIDDEN:
            targets[regime, n + rng.integers(world.n_hidden)] = True
        elif family != NONE:
            targets[regime, rng.permutation(n)[:count]] = True
    return targets


def _blows(
    world: World,
    rng: np.random.Generator,
    adjacency: np.ndarray,
    targets: np.ndarray,
    held: np.ndarray,
    stretch: np.ndarray,
) -> tuple[np.ndarray, dict[int, list[Blow]]]:
    """Which rows were reached, and what happens to each node.

    A node is shifted where its family could do nothing: "reweight" without parents, and "variance"
    of a node that is held and has no noise. A hidden node is hit like any other.
    """
    affected = np.zeros(len(stretch), bool)
    blows: dict[int, list[Blow]] = {}
    visible_families = [f for f in world.interventions if f not in (NONE, HIDDEN)]
    for regime, family in enumerate(world.interventions):
        rows = np.flatnonzero(stretch == regime + 1)
        if family == NONE:
            continue
        stretch_rows, context = rows, family != HIDDEN and rng.random() < world.context
        missed = rng.random(len(rows)) < rng.uniform(*world.unaffected)
        if world.rows.onset:
            missed = np.sort(missed)[:: rng.choice((-1, 1))]
        rows = rows[~missed] if not missed.all() else rows[:1]
        affected[rows] = True
        if family == HIDDEN:
            family = str(rng.choice(visible_families)) if visible_families else "shift"
        for node in np.flatnonzero(targets[regime]):
            n_parents = int(adjacency[:, node].sum())
            without = (family == "reweight" and not n_parents) or (
                family == "variance" and held[node]
            )
            own = "shift" if without else family
            blow = draw_blow(rng, own, rows, world.strength, n_parents)
            blows.setdefault(int(node), []).append(blow)
        if context and world.n_hidden:
            hidden = world.n_variables + int(rng.integers(world.n_hidden))
            blow = draw_blow(rng, "shift", stretch_rows, world.strength, 0)
            blows.setdefault(hidden, []).append(blow)
    return affected, blows


def _states(
    world: World,
    rng: np.random.Generator,
    adjacency: np.ndarray,
    held: np.ndarray,
    blows: dict[int, list[Blow]],
    sizes: list[int],
    sweeps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(V, M) states that act on children, and what of them can be measured."""
    v, m = len(adjacency), sum(sizes)
    starts = np.cumsum([0, *sizes[:-1]])
    noise = _outside(world, rng, v, starts, m)
    noise[held] = 0.0
    gains = _gains(world, rng, adjacency)
    order = sweep_order(adjacency)
    nodes = {}
    for node in order:
        parents = np.flatnonzero(adjacency[:, node])
        if len(parents):
            family = world.mechanisms[rng.integers(len(world.mechanisms))]
            mechanism = MECHANISMS[family].draw(rng, gains[parents, node])
            nodes[int(node)] = (parents, mechanism)
    signal = 1 - _log_uniform(rng, world.unexplained, v)
    level = _log_uniform(rng, world.level, v)
    reference = slice(0, REFERENCE_ROWS)
    x = np.zeros((v, m))
    if not world.cyclic:
        for node in map(int, order):
            parents, mechanism = nodes.get(node, (np.empty(0, int), None))
            e = noise[node]
            f, f_raw = np.zeros(m), None
            if mechanism is not None:
                f_raw = mechanism(x[parents])
                if world.rows.lag > _FASTEST:
                    constant = float(_log_uniform(rng, (_FASTEST, world.rows.lag), 1)[0])
                    middle = f_raw[reference].mean()
                    f_raw = middle + lagged(f_raw - middle, starts, constant)
                centre, spread = float(f_raw[reference].mean()), float(_spread(f_raw[reference]))
                if world.calibrated:
                    f = np.sqrt(signal[node]) * (f_raw - centre) / spread
                    e = np.sqrt(1 - signal[node]) * e
                    inner = _calibrated(mechanism, centre, spread, float(np.sqrt(signal[node])))
                else:
                    f, e, inner = f_raw - centre, level[node] * e, _centred(mechanism, centre)
                if world.noise in SCALED:
                    e = e * scale_of(rng, world.noise, _standard(x[parents], reference), f)
            else:
                inner = None
                e = e if world.calibrated else 1.5 * level[node] * e
            x[node] = np.clip(f + e, -_FAR, _FAR)
            _hit(rng, x, node, parents, inner, f, e, blows.get(node, []), reference)
    else:
        e = level[:, None] * noise
        settled = _settle(sweeps, x, order, nodes, e)
        centre = settled[:, reference].mean(1)
        spread = _spread(settled[:, reference])
        x = _settle(sweeps, settled, order, nodes, e, blows, centre, spread, rng)
    return x, _own_levels(x, blows)


def _hit(
    rng: np.random.Generator,
    x: np.ndarray,
    node: int,
    parents: np.ndarray,
    mechanism: Mechanism | None,
    f: np.ndarray,
    e: np.ndarray,
    blows: list[Blow],
    reference: slice,
) -> None:
    if not blows:
        return
    centre, spread = float(x[node, reference].mean()), float(_spread(x[node, reference]))
    for blow in blows:
        rows = blow.rows
        inputs = x[np.ix_(parents, rows)]
        values = strike(rng, blow, inputs, mechanism, f[rows], e[rows], centre, spread)
        x[node, rows] = np.clip(values, -_FAR, _FAR)


def _settle(
    sweeps: int,
    start: np.ndarray,
    order: np.ndarray,
    nodes: dict[int, tuple[np.ndarray, Mechanism]],
    e: np.ndarray,
    blows: dict[int, list[Blow]] | None = None,
    centre: np.ndarray | None = None,
    spread: np.ndarray | None = None,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """States at which every node equals what its mechanism makes of its parents, plus its noise.
    Sweeps stop when no state moves by more than 1e-3."""
    x = start.copy()
    seed = None if rng is None else rng.integers(2**63)
    for _ in range(sweeps):
        before = x.copy()
        # The draws of hard interventions are the same in every sweep.
        again = None if seed is None else np.random.default_rng(seed)
        for node in map(int, order):
            parents, mechanism = nodes.get(node, (np.empty(0, int), None))
            f = mechanism(x[parents]) if mechanism else np.zeros(x.shape[1])
            x[node] = f + e[node]
            if blows and again is not None and centre is not None and spread is not None:
                for blow in blows.get(node, []):
                    rows = blow.rows
                    inputs = x[np.ix_(parents, rows)]
                    x[node, rows] = strike(
                        again, blow, inputs, mechanism, f[rows], e[node, rows],
                        float(centre[node]), float(spread[node]),
                    )  # fmt: skip
        np.clip(x, -_FAR, _FAR, out=x)
        if np.abs(x - before).max() < 1e-3:
            break
    return x


def _outside(
    world: World, rng: np.random.Generator, v: int, starts: np.ndarray, m: int
) -> np.ndarray:
    """(V, M) noise of every node: its law, its memory, its drift."""
    noise = standard(rng, world.noise, v, m)
    if world.rows.memory > 0:
        persistent = rng.random(v) < world.rows.persistent
        noise = dependent(noise, starts, np.where(persistent, world.rows.memory, 0.0))
    if world.rows.drift > 0:
        noise[:, REFERENCE_ROWS:] += drift(rng, v, m - REFERENCE_ROWS, world.rows.drift)
    return noise


def _gains(world: World, rng: np.random.Generator, adjacency: np.ndarray) -> np.ndarray:
    """(V, V) strength of each edge; in cyclic worlds small enough for every loop to settle."""
    gains = np.where(adjacency, rng.uniform(0.3, 1.2, adjacency.shape), 0.0)
    if world.cyclic:
        radius = np.abs(np.linalg.eigvals(gains)).max()
        gains *= min(1.0, _LOOP_GAIN / max(radius, 1e-9))
    return gains


def _calibrated(mechanism: Mechanism, centre: float, spread: float, size: float) -> Mechanism:
    return lambda parents: size * (mechanism(parents) - centre) / spread


def _centred(mechanism: Mechanism, centre: float) -> Mechanism:
    return lambda parents: mechanism(parents) - centre


def _standard(parents: np.ndarray, reference: slice) -> np.ndarray:
    control = parents[:, reference]
    return (parents - control.mean(1, keepdims=True)) / _spread(control)[:, None]


def _own_levels(x: np.ndarray, blows: dict[int, list[Blow]]) -> np.ndarray:
    """States as they can be measured: a knock-out may lower a protein and spare its messenger."""
    measured = x.copy()
    for node, struck in blows.items():
        for blow in struck:
            measured[node, blow.rows] -= (1 - blow.own) * log_fold(blow)
    return measured


def _measured(
    world: World, rng: np.random.Generator, x: np.ndarray, stretch: np.ndarray
) -> np.ndarray:
    """(N, M) measured values of the states (N, M) of the variables."""
    n, m = x.shape
    control = x[:, stretch == -1]
    centre, spread = control.mean(1, keepdims=True), _spread(control)[:, None]
    x = x + spread * _batch_offsets(world, rng, n, stretch)
    if world.error[1] > 0:
        size = _log_uniform(rng, world.error, (n, 1))
        x = x + size * spread * rng.normal(size=(n, m))
    if world.counts is not None:
        values = sequenced(rng, world.counts, x - centre)
    else:
        values = through_marginals(rng, (x - centre) / spread, world.marginals)
    return in_units(rng, quantised(rng, values, world.quantised), world.units)


def _spread(values: np.ndarray) -> np.ndarray:
    """Standard deviation over the last axis. It is 1 where nothing varies, since any unit will do
    there."""
    sd = np.asarray(values.std(-1))
    return np.where(sd > 1e-7, sd, 1.0)


def _batch_offsets(
    world: World, rng: np.random.Generator, n: int, stretch: np.ndarray
) -> np.ndarray:
    """(N, M) offsets of the measured values by batch, in control standard deviations."""
    rows = world.rows
    if rows.batches == 1 or rows.batch == 0:
        return np.zeros((n, 1))
    offsets = rows.batch * rng.normal(size=(n, rows.batches))
    member = rng.integers(rows.batches, size=len(stretch))
    if not rows.balanced:
        for part in range(world.n_regimes + 1):
            shares = rng.dirichlet(np.ones(rows.batches))
            here = stretch == part
            member[here] = rng.choice(rows.batches, int(here.sum()), p=shares)
    return offsets[:, member]


def _log_uniform(
    rng: np.random.Generator, bounds: tuple[float, float], shape: int | tuple[int, ...]
) -> np.ndarray:
    low, high = np.log(bounds)
    return np.exp(rng.uniform(low, high, shape))
