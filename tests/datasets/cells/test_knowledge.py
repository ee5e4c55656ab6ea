"""What would be known of simulated genes."""

from __future__ import annotations

import numpy as np
import pytest

from cdnbench.datasets.cells.knowledge import interactions, write_knowledge
from cdnbench.datasets.cells.simulate import Simulation, network
from cdnbench.knowledge import read_annotations, read_interactions, read_texts

SMALL = Simulation(lines=("a",), n_genes=300, n_regulators=60, n_perturbed=40)


def truth() -> set[tuple[int, int]]:
    net = network(SMALL, None)
    edges = {(min(g, r), max(g, r)) for g, j in np.argwhere(net.weights) for r in [net.regulators[j]]}
    same = net.complexes[:, None] == net.complexes
    return edges | {
        (min(a, b), max(a, b))
        for i, j in np.argwhere(same)
        for a, b in [(net.regulators[i], net.regulators[j])]
        if a != b
    }


@pytest.mark.parametrize(
    ("error", "low", "high"), [(0.0, 1.0, 1.0), (0.5, 0.4, 0.6), (0.9, 0.08, 0.2), (1.0, 0.0, 0.1)]
)
def test_the_share_of_true_edges(error, low, high):
    known = interactions(SMALL, error, np.random.default_rng(0))
    assert low <= np.mean([edge in truth() for edge in known]) <= high


def test_files_are_written_once_and_read(tmp_path):
    paths = write_knowledge(SMALL, 0.5, tmp_path)
    before = {kind: path.read_bytes() for kind, path in paths.items()}
    assert write_knowledge(SMALL, 0.5, tmp_path / "again").keys() == paths.keys()
    assert {kind: (tmp_path / "again" / path.name).read_bytes() for kind, path in paths.items()} == before
    assert len(read_interactions(paths["interactions"]).genes) > 250
    annotations, texts = read_annotations(paths["annotations"]), read_texts(paths["gene_text"])
    assert set(texts) == set(annotations.genes.tolist())


def test_a_complex_shares_its_terms(tmp_path):
    annotations = read_annotations(write_knowledge(SMALL, 0.0, tmp_path)["annotations"])
    net = network(SMALL, None)
    place = {gene: i for i, gene in enumerate(annotations.genes.tolist())}
    shared = np.asarray((annotations.matrix.astype(int) @ annotations.matrix.astype(int).T).todense())
    rows = [place[f"SIM{r + 1:04d}"] for r in net.regulators]
    same = net.complexes[:, None] == net.complexes
    assert (shared[np.ix_(rows, rows)][same] >= 2).all()
