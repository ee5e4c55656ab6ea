"""Recipe: every parameter that determines one synthetic dataset, and nothing else. Its digest is
the dataset's identity."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from cdnbench.digest import digest, generator

# Raise it whenever the same recipe would give other data or other targets; then run `freeze`.
GENERATOR_VERSION = 1

PAPER_ROWS = {10: 967, 20: 983}
"""30,000 rows of N = 10 and 60,000 of N = 20, divided equally among 3 N regimes and the
observational one."""

SCALE_RANGE = (1.5, 6.0)
SHIFT_RANGE = (0.5, 2.0)

HARD = ("hard-uniform", "hard-normal")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One dataset, or one regime of it.

    seed: name of the family of random streams. index: number of the dataset in its setting.
    n_variables: observed variables. n_hidden: further nodes of the graph, which are never targets
        and whose columns are left out.
    n_edges: expected edges of the whole graph, hidden nodes included.
    graph: "er" or "sf", see `graphs`. mechanism: see `mechanisms`. intervention: see
        `interventions`. noise: "gaussian", "laplace" or "heteroscedastic".
    protocol: "clean" (roots U(-2, 2), one noise variance per node and dataset) or "dcdi" (roots
        U(-1, 1), one noise variance per node and regime).
    rows: rows of each data set, the observational one included.
    target_counts: numbers of targets. regimes_per_count: how many regimes have each of them.
    factor: range of the scale factor (or its inverse), or of the size of the shift; (1, 1) for hard
        interventions.
    standardise: "none"; "obs" (by mean and standard deviation of the observational data); "each"
        (every data set by its own).
    track, regime: "joint", or "single" and the number of the one regime that the task holds.
    """

    seed: tuple[str, ...]
    n_variables: int
    n_edges: int
    mechanism: str
    intervention: str
    rows: int
    regimes_per_count: int
    index: int = 0
    target_counts: tuple[int, ...] = (1, 2, 3)
    graph: Literal["er", "sf"] = "er"
    noise: Literal["gaussian", "laplace", "heteroscedastic"] = "gaussian"
    protocol: Literal["clean", "dcdi"] = "clean"
    factor: tuple[float, float] = (1.0, 1.0)
    n_hidden: int = 0
    standardise: Literal["none", "obs", "each"] = "none"
    track: Literal["joint", "single"] = "joint"
    regime: int | None = None
    version: int = GENERATOR_VERSION

    def __post_init__(self) -> None:
        if self.noise != "gaussian" and (self.protocol != "clean" or self.mechanism == "nn"):
            raise ValueError(
                f"{self.noise} noise is defined for additive mechanisms under the clean protocol "
                "only"
            )
        if self.mechanism == "nn" and self.intervention in ("variance", "reweight"):
            raise ValueError(
                f"{self.intervention} is not defined where the noise is an input of the mechanism"
            )

    @property
    def hash(self) -> str:
        return digest(self._plain())

    @property
    def joint(self) -> Recipe:
        """The dataset that this regime is taken from (itself under track="joint")."""
        return self if self.track == "joint" else replace(self, track="joint", regime=None)

    @property
    def origin(self) -> str:
        """Identity of the dataset whatever the view: standardised or not, joint or one regime."""
        return digest("synthetic", replace(self.joint, standardise="none").hash)

    @property
    def n_regimes(self) -> int:
        """Number of regimes of the task, which is 1 under track="single"."""
        return 1 if self.track == "single" else self.n_dataset_regimes

    @property
    def n_dataset_regimes(self) -> int:
        return self.regimes_per_count * len(self.target_counts)

    @property
    def dataset(self) -> str:
        """Name of the dataset: its setting and number. Unique among all suites, the same in every
        suite that has it."""
        family = [name.removeprefix("synthetic-") for name in self.seed if name != "synthetic"]
        parts = [
            *family,
            f"n{self.n_variables}",
            f"e{self.n_edges}",
            self.mechanism,
            self.intervention,
        ]
        if self.graph != "er":
            parts.append(self.graph)
        if self.noise != "gaussian":
            parts.append(self.noise)
        if self.factor not in ((1.0, 1.0), SCALE_RANGE, SHIFT_RANGE):
            parts.append("x{:g}to{:g}".format(*self.factor))
        if self.n_hidden:
            parts.append(f"{self.n_hidden}hidden")
        if self.target_counts != (1, 2, 3):
            parts.append("upto" + str(max(self.target_counts)))
        if self.rows != PAPER_ROWS.get(self.n_variables):
            parts.append(f"{self.rows}rows")
        parts.append(self.protocol)
        if self.standardise != "none":
            parts.append(f"std.{self.standardise}")
        return "-".join([*parts, str(self.index)])

    @property
    def name(self) -> str:
        return self.dataset if self.regime is None else f"{self.dataset}/r{self.regime:03d}"

    def stream(self, purpose: str, *, protocol: bool = False) -> np.random.Generator:
        """The random stream for one purpose.

        It depends on everything that makes a setting, so that graphs are independent across
        settings; on the protocol only where asked, so that the two protocols share graphs,
        mechanisms, factors and targets (a paired comparison) but no sample; and never on
        standardisation or track, which are views of the same data.
        """
        views = {"standardise", "track", "regime"} | (set() if protocol else {"protocol"})
        axes = {name: value for name, value in self._plain().items() if name not in views}
        return generator("synthetic-scm", axes, purpose)

    def metadata(self) -> dict[str, Any]:
        """The factors of the task, for its `TaskSpec`."""
        return {
            "dataset": self.dataset,
            "protocol": self.protocol,
            "n_nodes": self.n_variables,
            "n_edges": self.n_edges,
            "graph": self.graph,
            "mechanism": self.mechanism,
            "intervention": self.intervention,
            "noise": self.noise,
            "rows": self.rows,
            "n_hidden": self.n_hidden,
            "index": self.index,
            "standardise": self.standardise,
            "track": self.track,
        }

    def _plain(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS = tuple(field.name for field in fields(Recipe))
