"""What would be known of simulated genes: interactions, annotations and texts, wrong to a stated degree.

Made from the network that the lines share:

    interactions   regulators of one complex, and the strongest `EDGES_A_GENE` x G pairs of regulator and regulated gene
    annotations    the complex of a regulator and the process that the complex governs; of a gene, the processes it is regulated by
                   most strongly, at most `PROCESSES`
    gene_text      the annotations in a sentence

At error e, each pair of an edge and each term of a gene is replaced by a random one with probability e: 0 is the truth, 1 holds
nothing but the numbers. Real networks are enriched among the differential genes of a knock-down by a factor that is measured in
`benchmarks/calibration.py`; `ERROR` is what comes nearest.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cdnbench.datasets.cells.simulate import Simulation, gene_name, network
from cdnbench.digest import generator

VERSION = 1
ERRORS = ("0", "0.5", "0.9", "1")
ERROR = "0.5"
EDGES_A_GENE = 5
PROCESSES = 3


def write_knowledge(simulation: Simulation, error: float, folder: Path) -> dict[str, Path]:
    """Kind -> file, those that are missing made first."""
    paths = {kind: folder / f"{kind}.tsv" for kind in ("interactions", "annotations", "gene_text")}
    if all(path.exists() for path in paths.values()):
        return paths
    rng = generator("cells", "knowledge", VERSION, simulation.hash, error)
    terms = annotations(simulation, error, rng)
    rows = {
        "interactions": [(gene_name(i), gene_name(j)) for i, j in interactions(simulation, error, rng)],
        "annotations": [(gene_name(g), term) for g, term in terms],
        "gene_text": [
            (gene_name(g), f"A gene of {', '.join(t for h, t in terms if h == g)}.")
            for g in sorted({g for g, _ in terms})
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for kind, path in paths.items():
        partial = path.with_name(path.name + ".part")
        partial.write_text("".join("\t".join(row) + "\n" for row in rows[kind]))
        partial.replace(path)
    return paths


def interactions(simulation: Simulation, error: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Pairs of numbers of genes."""
    net = network(simulation, None)
    same = net.complexes[:, None] == net.complexes[None]
    pairs = [(net.regulators[i], net.regulators[j]) for i, j in np.argwhere(np.triu(same, 1))]
    strength = np.abs(net.weights)
    most = min(EDGES_A_GENE * simulation.n_genes, int((strength > 0).sum()))
    strongest = np.argpartition(-strength.ravel(), most - 1)[:most]
    genes, regulators = np.unravel_index(strongest, strength.shape)
    pairs += list(zip(net.regulators[regulators], genes, strict=True))
    both = np.array(pairs)
    wrong = rng.random(len(both)) < error
    both[wrong] = rng.integers(0, simulation.n_genes, size=(int(wrong.sum()), 2))
    return sorted({(min(i, j), max(i, j)) for i, j in both.tolist() if i != j})


def annotations(simulation: Simulation, error: float, rng: np.random.Generator) -> list[tuple[int, str]]:
    """Pairs of the number of a gene and a term."""
    net = network(simulation, None)
    n_complexes = int(net.complexes[-1]) + 1
    pull = np.zeros((simulation.n_genes, n_complexes))
    np.maximum.at(pull.T, net.complexes, np.abs(net.weights).T)
    pairs = [(int(g), f"complex{c}") for g, c in zip(net.regulators, net.complexes, strict=True)]
    pairs += [(int(g), f"process{c}") for g, c in zip(net.regulators, net.complexes, strict=True)]
    strongest = np.argsort(-pull, axis=1, kind="stable")[:, :PROCESSES]
    pairs += [(g, f"process{c}") for g in range(simulation.n_genes) for c in strongest[g] if pull[g, c] > 0]
    terms = sorted({term for _, term in pairs})
    wrong = rng.random(len(pairs)) < error
    drawn = rng.integers(0, len(terms), size=len(pairs))
    return sorted({(g, terms[d] if w else term) for (g, term), w, d in zip(pairs, wrong, drawn, strict=True)})
