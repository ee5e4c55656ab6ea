"""Knowledge about simulated genes: interactions, annotations and texts, a stated share of them
wrong.

It is made from the network that the lines share. A process is the set of genes that one complex of
regulators governs. A complex governs a gene as strongly as the member that acts on it most.

    annotations    the complex of each gene, and the `PROCESSES` processes that govern it most. For
                   a regulator, the process of its own complex comes first; where there are too few,
                   others are added at random. Genes that regulate nothing form complexes too, each
                   within one process, with sizes from the same law.
    interactions   pairs within complexes; each gene with the `UPSTREAM` regulators that act on it
                   most; and pairs of other genes that share processes (functional association, as
                   in STRING). Pairs that share most processes come first, until a gene has as many
                   interactions as a regulator that is drawn for it.
    gene_text      the annotations in a sentence

With an error of e, each pair is wrong with probability e: an interaction becomes a pair of random
genes, and a term is given to a random gene. 0 is the truth; at 1 only the sizes of terms are right.
Only regulators are ever perturbed, so numbers must not tell regulators from other genes: all genes
have equally many terms, about equally many interactions, and names in random order.

Real networks are enriched among the differential genes of a knock-down by a factor that is measured
in `benchmarks/calibration.py`. `ERROR` is the error that comes nearest to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdnbench.datasets.cells.simulated.simulate import Network, Simulation, gene_name, network
from cdnbench.digest import generator

VERSION = 2
KINDS = ("interactions", "annotations", "gene_text")
ERRORS = ("0", "0.5", "0.9", "1")
ERROR = "0.5"
UPSTREAM = 3
PROCESSES = 3


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true about the simulated genes.

    complexes: (G,) the number of each gene's complex. processes: (G, PROCESSES) the numbers of its
    processes, the most important one first. edges: (E, 2) numbers of two different genes, the lower
    one first; sorted, and each pair occurs once.
    """

    complexes: np.ndarray
    processes: np.ndarray
    edges: np.ndarray


def write_knowledge(simulation: Simulation, error: float, folder: Path) -> dict[str, Path]:
    """Kind -> file. Missing files are written first."""
    paths = {kind: folder / f"{kind}.tsv" for kind in KINDS}
    if all(path.exists() for path in paths.values()):
        return paths
    rng = generator("cells", "knowledge", VERSION, simulation.stream, error)
    truth = true_knowledge(simulation)
    terms = known_annotations(truth, error, rng)
    of_gene: dict[int, list[str]] = {}
    for g, term in terms:
        of_gene.setdefault(g, []).append(term)
    rows = {
        "interactions": [
            (gene_name(i), gene_name(j)) for i, j in known_interactions(truth, error, rng)
        ],
        "annotations": [(gene_name(g), term) for g, term in terms],
        "gene_text": [(gene_name(g), f"A gene of {', '.join(its)}.") for g, its in of_gene.items()],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for kind, path in paths.items():
        partial = path.with_name(path.name + ".part")
        partial.write_text("".join("\t".join(row) + "\n" for row in rows[kind]), encoding="utf-8")
        partial.replace(path)
    return paths


def known_interactions(
    truth: Truth, error: float, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Interactions with their errors: sorted pairs of numbers of genes, the lower one first."""
    pairs = truth.edges.copy()
    wrong = rng.random(len(pairs)) < error
    pairs[wrong] = rng.integers(0, len(truth.complexes), size=(int(wrong.sum()), 2))
    return sorted({(min(i, j), max(i, j)) for i, j in pairs.tolist() if i != j})


def known_annotations(
    truth: Truth, error: float, rng: np.random.Generator
) -> list[tuple[int, str]]:
    """Annotations with their errors: sorted pairs of the number of a gene and a term."""
    n_genes, n_processes = truth.processes.shape
    terms = np.array(
        [f"complex{c}" for c in truth.complexes.tolist()]
        + [f"process{p}" for p in truth.processes.T.ravel().tolist()]
    )
    genes = np.tile(np.arange(n_genes), 1 + n_processes)
    wrong = rng.random(len(genes)) < error
    genes[wrong] = rng.integers(0, n_genes, size=int(wrong.sum()))
    return sorted(set(zip(genes.tolist(), terms.tolist(), strict=True)))


def true_knowledge(simulation: Simulation) -> Truth:
    """What the simulator knows, before any errors."""
    rng = generator("cells", "knowledge", VERSION, simulation.stream, "truth")
    net = network(simulation, None)
    processes = _processes(net, rng)
    complexes = _complexes(net, processes[:, 0], simulation.largest_complex, rng)
    edges = _edges(net, complexes, processes, rng)
    n_processes, n_complexes = int(net.complexes.max()) + 1, int(complexes.max()) + 1
    return Truth(
        rng.permutation(n_complexes)[complexes], rng.permutation(n_processes)[processes], edges
    )


def _processes(net: Network, rng: np.random.Generator) -> np.ndarray:
    """(G, PROCESSES) numbers of the complexes that govern each gene."""
    pull = np.zeros((len(net.weights), int(net.complexes.max()) + 1))
    np.maximum.at(pull.T, net.complexes, np.abs(net.weights).T)
    pull = np.where(pull > 0, pull, -rng.random(pull.shape))
    pull[net.regulators, net.complexes] = np.inf
    return np.argsort(-pull, axis=1, kind="stable")[:, :PROCESSES]


def _complexes(
    net: Network, process: np.ndarray, largest: int, rng: np.random.Generator
) -> np.ndarray:
    """(G,) the complex of each gene. Regulators keep their own. Other genes form new ones, the
    largest first, each from the process with most genes left."""
    complexes = np.full(len(process), -1)
    complexes[net.regulators] = net.complexes
    others = rng.permutation(np.flatnonzero(complexes < 0))
    sizes = rng.integers(1, largest + 1, size=len(others))
    sizes = np.bincount(np.repeat(np.arange(len(sizes)), sizes)[: len(others)])
    left = [others[process[others] == p].tolist() for p in range(int(process.max()) + 1)]
    for number, size in enumerate(
        sorted(sizes.tolist(), reverse=True), int(net.complexes.max()) + 1
    ):
        while size:
            pile = max(left, key=len)
            taken = pile[:size]
            del pile[:size]
            complexes[taken] = number
            size -= len(taken)
    return complexes


def _edges(
    net: Network, complexes: np.ndarray, processes: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    n_genes = len(complexes)
    known = complexes[:, None] == complexes
    strength = np.abs(net.weights)
    strongest = np.argsort(-strength, axis=1, kind="stable")[:, :UPSTREAM]
    gene, place = np.nonzero(np.take_along_axis(strength, strongest, axis=1))
    known[gene, net.regulators[strongest[gene, place]]] = True
    known |= known.T
    np.fill_diagonal(known, False)

    degree = known.sum(axis=1)
    missing = np.maximum(rng.choice(degree[net.regulators], n_genes) - degree, 0)
    missing[net.regulators] = 0
    takes_part = np.zeros((n_genes, int(processes.max()) + 1), dtype=int)
    np.put_along_axis(takes_part, processes, 1, axis=1)
    shared = np.where(known | (missing[:, None] * missing == 0), 0, takes_part @ takes_part.T)
    pairs = np.argwhere(np.triu(shared, 1))
    order = np.lexsort((rng.random(len(pairs)), -shared[pairs[:, 0], pairs[:, 1]]))
    for i, j in pairs[order].tolist():
        if missing[i] and missing[j]:
            known[i, j] = known[j, i] = True
            missing[[i, j]] -= 1
    return np.argwhere(np.triu(known, 1))
