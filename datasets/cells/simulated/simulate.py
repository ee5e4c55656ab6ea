"""Screens of simulated cell lines: the embedded default of the cell suites.

One network of regulators (transcription factors) is drawn, and each line's own from it. In a cell,
u_g is the expression of gene g relative to unperturbed cells of its line:

    log u_g = log r_g + e_g + sum_j w_gj (hill(u_j) - 1/2),     hill(u) = u^2 / (1 + u^2),

solved by iteration. r_g is what a knock-down leaves of its target (1 elsewhere). e_g is the cell's
own noise, which the network passes on, so that genes correlate as they are wired. Molecules are
Poisson around library size x share of gene x u_g x batch. All is computed in float64, so that
processors, which differ in the last digit, still draw the same counts.

What is drawn
    complexes  1 to `largest_complex` regulators that act together: most of the genes that a member
               acts on are those of its complex
    edges      out-degrees of complexes by a power law; edges are shared by all lines, except for a
               share `line_specific` that each line has of its own
    basal      log-normal expression, in part the line's own
    guides     residual expression uniform on `residual`; in a share `failed` of the cells the
               perturbation does nothing
    cells      log-normal numbers of cells per perturbation, and log-normal library sizes
    batches    two per line, with one log-normal factor per gene
A drug lowers 1 to 3 genes, each to a residual of its own; all of them are its targets.

Regulators are expressed above the median, since a knock-down that cannot be seen makes no task.
`benchmarks/calibration.py` says what the numbers were set to match.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from cdnbench.digest import digest, generator

if TYPE_CHECKING:
    import pandas as pd

CONTROL = "non-targeting"
VERSION = 3
_STREAM = 2
"""The version that names the random streams: version 3 draws the same networks and perturbations
as version 2, in float64."""
_CELLS_AT_ONCE = 4000
_ITERATIONS = 12


@dataclass(frozen=True)
class Simulation:
    """All parameters of a simulation.

    n_perturbed: perturbations per line, all of regulators. Those with too small an effect are
    removed by the filters of preparation.
    """

    lines: tuple[str, ...] = ("sim-a", "sim-b", "sim-c", "sim-d", "sim-e")
    kind: str = "knock-down"  # or "drug"
    n_genes: int = 1000
    n_regulators: int = 280
    n_perturbed: int = 260
    n_controls: int = 2000
    cells: tuple[float, float] = (
        110.0,
        0.45,
    )  # median and log standard deviation, per perturbation
    largest_complex: int = 8
    member: float = 0.75  # share of its complex's edges that a member has
    mean_degree: float = 36.0  # genes that a regulator acts on
    degree_power: float = 3.0
    most_genes: float = 0.2  # share of the genes that one regulator acts on at most
    weight: float = 1.5  # standard deviation of w
    line_specific: float = 0.15
    basal: tuple[float, float] = (1.9, 0.3)  # log standard deviation: shared, the line's own
    regulators_basal: tuple[float, float] = (1.4, 0.4)
    """Least log expression of regulators, and the scale of what they have above it."""
    noise: float = 0.3  # of e
    residual: tuple[float, float] = (0.05, 0.4)
    failed: float = 0.1
    molecules: tuple[float, float] = (850.0, 0.5)  # median and log standard deviation, per cell
    batch: float = 0.1
    seed: int = 0

    @property
    def hash(self) -> str:
        return digest(VERSION, asdict(self))

    @property
    def stream(self) -> str:
        """What names the random streams of all that is drawn beside the cells."""
        return digest(_STREAM, asdict(self))


DRUGS = Simulation(
    lines=("sim-x", "sim-y"), kind="drug", n_perturbed=40, residual=(0.05, 0.3), failed=0.0, seed=1
)
FULL = Simulation(
    lines=("sim-f", "sim-g"),
    n_genes=5000,
    n_regulators=400,
    n_perturbed=60,
    n_controls=3000,
    cells=(500.0, 0.35),
    largest_complex=4,
    mean_degree=3000.0,
    most_genes=0.8,
    weight=0.6,
    basal=(1.3, 0.3),
    molecules=(10_000.0, 0.5),
    seed=2,
)
"""Two lines with as many genes as real screens have, and so many differential ones that half of the
tasks have 831 to 1,000 candidates. They take minutes to make."""
SMALL = Simulation(
    lines=("one", "two"),
    n_genes=250,
    n_regulators=60,
    n_perturbed=40,
    n_controls=800,
    cells=(90.0, 0.2),
    mean_degree=25.0,
)
"""Two lines that are made in seconds, for tests."""
SMALL_DRUGS = replace(SMALL, kind="drug", n_perturbed=20, residual=(0.05, 0.3), failed=0.0, seed=1)


@dataclass(frozen=True, eq=False)
class Network:
    """The network of one line.

    regulators: (T,) their numbers among the genes. complexes: (T,) the complex of each regulator.
    weights: (G, T) effects w of regulators on genes. basal: (G,) shares of expression, sum 1.
    """

    regulators: np.ndarray
    complexes: np.ndarray
    weights: np.ndarray
    basal: np.ndarray


def network(simulation: Simulation, line: str | None) -> Network:
    """The network of a line: the shared one with a share of its edges drawn anew. None: the shared
    network itself."""
    shared = generator("cells", "simulate", _STREAM, simulation.seed, "network")
    own = generator("cells", "simulate", _STREAM, simulation.seed, "network", line)
    n, t = simulation.n_genes, simulation.n_regulators
    regulators = shared.choice(n, t, replace=False)
    sizes = shared.integers(1, simulation.largest_complex + 1, size=t)
    complexes = np.repeat(np.arange(t), sizes)[:t]
    degree = (1 - shared.random(complexes[-1] + 1)) ** (-1 / simulation.degree_power)
    chance = np.minimum(degree * simulation.mean_degree / degree.mean() / n, simulation.most_genes)
    together = _edges(shared, simulation, chance)
    replaced = own.random(together.shape) < (0 if line is None else simulation.line_specific)
    together = np.where(replaced, _edges(own, simulation, chance), together)
    is_own = shared.random((n, t)) >= simulation.member
    weights = np.where(
        is_own, _edges(shared, simulation, chance[complexes]), together[:, complexes]
    )
    weights[regulators, np.arange(t)] = 0
    sd_shared, sd_own = simulation.basal
    log_basal = sd_shared * shared.normal(size=n) + sd_own * own.normal(size=n)
    low, spread = simulation.regulators_basal
    log_basal[regulators] = (
        low + spread * np.abs(shared.normal(size=t)) + sd_own * own.normal(size=t)
    )
    basal = np.exp(log_basal)
    return Network(regulators, complexes, weights, basal / basal.sum())


def _edges(rng: np.random.Generator, simulation: Simulation, chance: np.ndarray) -> np.ndarray:
    shape = simulation.n_genes, len(chance)
    return np.where(rng.random(shape) < chance, simulation.weight * rng.normal(size=shape), 0.0)


def steady_state(net: Network, offset: np.ndarray) -> np.ndarray:
    """(M, G) relative expression u of M cells. offset: (M, G) log r + e."""
    log_u = offset.copy()
    for _ in range(_ITERATIONS):
        regulator = np.exp(np.clip(2 * log_u[:, net.regulators], -20, 20))
        pull = (regulator / (1 + regulator) - 0.5) @ net.weights.T
        log_u = 0.4 * log_u + 0.6 * (offset + pull)
    return np.exp(np.clip(log_u, -8, 3))


def targets_of(simulation: Simulation) -> dict[str, list[int]]:
    """Perturbation -> numbers of its target genes; the same in all lines."""
    rng = generator("cells", "simulate", _STREAM, simulation.seed, "targets")
    regulators = network(simulation, simulation.lines[0]).regulators
    if simulation.kind == "drug":
        return {
            f"drug-{i + 1}": sorted(
                rng.choice(regulators, rng.integers(1, 4), replace=False).tolist()
            )
            for i in range(simulation.n_perturbed)
        }
    return {
        gene_name(g): [g] for g in rng.permutation(regulators)[: simulation.n_perturbed].tolist()
    }


def gene_name(g: int) -> str:
    return f"SIM{g + 1:04d}"


def simulate_line(simulation: Simulation, line: str) -> tuple[sparse.csr_matrix, pd.DataFrame]:
    """Counts (M, G) of one line and a table of its cells (perturbation, target, batch), in random
    order."""
    import pandas as pd

    rng = generator("cells", "simulate", _STREAM, simulation.seed, "cells", line)
    net = network(simulation, line)
    targets = targets_of(simulation)
    median, spread = simulation.cells
    sizes = np.maximum(
        25, np.round(median * np.exp(spread * rng.normal(size=len(targets))))
    ).astype(int)
    n_genes = simulation.n_genes
    effect = np.zeros((1 + len(targets), n_genes))
    for i, genes in enumerate(targets.values(), 1):
        effect[i, genes] = np.log(rng.uniform(*simulation.residual, size=len(genes)))
    condition = rng.permutation(np.repeat(np.arange(len(effect)), [simulation.n_controls, *sizes]))
    works = rng.random(len(condition)) >= simulation.failed
    batch = rng.integers(0, 2, len(condition))
    of_batch = np.exp(simulation.batch * rng.normal(size=(2, n_genes)))
    size, size_spread = simulation.molecules
    library = size * np.exp(size_spread * rng.normal(size=len(condition)))
    parts = []
    for low in range(0, len(condition), _CELLS_AT_ONCE):
        some = slice(low, low + _CELLS_AT_ONCE)
        noise = simulation.noise * rng.standard_normal((len(condition[some]), n_genes))
        u = steady_state(net, noise + effect[condition[some]] * works[some, None])
        mean = library[some, None] * net.basal * u * of_batch[batch[some]]
        parts.append(sparse.csr_matrix(rng.poisson(mean).astype(np.float32)))
    names = np.array([CONTROL, *targets], dtype=object)
    joined = np.array(
        ["", *("+".join(map(gene_name, genes)) for genes in targets.values())], dtype=object
    )
    obs = pd.DataFrame(
        {"perturbation": names[condition], "target": joined[condition], "batch": batch},
        index=[f"{line}-{i}" for i in range(len(condition))],
    )
    return sparse.csr_matrix(sparse.vstack(parts)), obs


def write_raw(simulation: Simulation, line: str, path: Path) -> None:
    """Write one line as raw .h5ad, with the parameters of the simulation in its uns."""
    import anndata
    import pandas as pd

    counts, obs = simulate_line(simulation, line)
    var = pd.DataFrame(index=[gene_name(g) for g in range(simulation.n_genes)])
    adata = anndata.AnnData(counts, obs=obs, var=var)
    adata.uns["simulation"] = json.dumps({"version": VERSION, **asdict(simulation), "line": line})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    adata.write_h5ad(partial)
    partial.replace(path)
