"""World: everything that determines one training dataset except its random streams."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cdnbench.datasets.worlds.graphs import GRAPHS
from cdnbench.datasets.worlds.interventions import HIDDEN, INTERVENTIONS, NONE
from cdnbench.datasets.worlds.mechanisms import MECHANISMS, SETTLING
from cdnbench.datasets.worlds.noise import NOISE


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of a dataset and what ties them together.

    counts: (D,) rows of each data set, the observational one first. memory: the coefficient of
    autocorrelation, which a share `persistent` of the nodes has. drift: standard deviation of slow
    trends in what enters from outside, in units of the noise of roots. batches: number of batches,
    whose measured values are offset by `batch` control standard deviations. balanced: all data sets
    have the batches in the same proportions; otherwise each has proportions of its own. lag: nodes
    follow their parents with time constants of up to so many rows; 0: at once. onset: whether the
    rows that an intervention missed are those before it began or after it ended; otherwise they are
    random rows.
    """

    counts: tuple[int, ...]
    memory: float = 0.0
    persistent: float = 1.0
    drift: float = 0.0
    batches: int = 1
    batch: float = 0.0
    balanced: bool = True
    lag: float = 0.0
    onset: bool = False


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Sequencing: counts are Poisson around library size x share of the gene.

    depth: median library size per gene. library: log standard deviation of library sizes. basal:
    log standard deviation of the genes' levels. dispersion: of extra gamma noise (0: Poisson).
    rest: what is sequenced besides the variables, in units of their sum. The smaller it is, the
    more a change of one gene shows in the shares of all others. steep: log units per unit of state.
    output: "log-normalised", "log" (log(1 + count)), "share" (per total) or "raw".
    """

    depth: float
    library: float = 0.4
    basal: float = 1.5
    dispersion: float = 0.0
    rest: float = 0.0
    steep: float = 1.0
    output: str = "log-normalised"


@dataclass(frozen=True, kw_only=True)
class World:
    """One system and one way of measuring it.

    kind: a label, see `kinds`.
    n_hidden: further nodes, causes of several variables, never measured.
    graph, density, cyclic: see `graphs`.
    mechanisms: each node has one of these.
    calibrated: nodes have variance 1, and the share of it that is noise is log-uniform on
        `unexplained`. Otherwise effects are as the mechanism makes them, and the standard
        deviations of the noise are log-uniform on `level`.
    error: range of the standard deviation of measurement error, in control standard deviations;
        it does not act on children.
    held: share of roots that never vary unless they are hit: set points, configuration.
    interventions: (R,), each a family, "none" or "hidden". n_targets: (R,).
    strength: range of moves, see `interventions`.
    unaffected: range of the share of rows that an intervention missed.
    context: share of regimes with targets in which a hidden node moves as well.
    marginals: each variable is measured through one of these, see `measurement`.
    counts: sequencing, in place of marginals.
    quantised: share of variables that are rounded. units: factors are 10^U(-units, units).
    """

    kind: str
    n_variables: int
    rows: Rows
    interventions: tuple[str, ...]
    n_targets: tuple[int, ...]
    n_hidden: int = 0
    graph: str = "er"
    density: float = 1.5
    cyclic: bool = False
    mechanisms: tuple[str, ...] = ("linear",)
    noise: str = "gaussian"
    calibrated: bool = True
    unexplained: tuple[float, float] = (0.1, 0.8)
    level: tuple[float, float] = (0.3, 1.0)
    error: tuple[float, float] = (0.0, 0.0)
    held: float = 0.0
    strength: tuple[float, float] = (0.5, 4.0)
    unaffected: tuple[float, float] = (0.0, 0.0)
    context: float = 0.0
    marginals: tuple[str, ...] = ("plain",)
    counts: Counts | None = None
    quantised: float = 0.0
    units: float = 0.0

    def __post_init__(self) -> None:
        from cdnbench.datasets.worlds.measurement import MARGINALS

        known = (
            ("graph", {self.graph}, set(GRAPHS)),
            ("mechanism", set(self.mechanisms), set(MECHANISMS)),
            ("noise", {self.noise}, set(NOISE)),
            ("intervention", set(self.interventions), {*INTERVENTIONS, NONE, HIDDEN}),
            ("marginal", set(self.marginals), set(MARGINALS)),
        )
        for what, asked, there in known:
            if asked - there:
                raise ValueError(f"no {what} {sorted(asked - there)}; there are {sorted(there)}")
        if self.cyclic and not set(self.mechanisms) <= set(SETTLING):
            raise ValueError(f"cyclic worlds take the mechanisms {SETTLING}")
        if len(self.interventions) != self.n_regimes or len(self.n_targets) != self.n_regimes:
            raise ValueError("interventions and n_targets need one entry per regime")
        if self.cyclic and (self.rows.lag or self.held):
            raise ValueError("cyclic worlds are at steady state: no lag, and nothing held")
        if HIDDEN in self.interventions and not self.n_hidden:
            raise ValueError("a world without hidden nodes has no intervention on them")

    @property
    def n_regimes(self) -> int:
        return len(self.rows.counts) - 1

    def plain(self) -> dict[str, Any]:
        return asdict(self)
