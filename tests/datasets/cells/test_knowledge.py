"""What would be known of simulated genes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy.stats import rankdata

from cdnbench.datasets.cells.simulated.knowledge import (
    ERROR,
    PROCESSES,
    UPSTREAM,
    Truth,
    known_annotations,
    known_interactions,
    true_knowledge,
    write_knowledge,
)
from cdnbench.datasets.cells.simulated.simulate import Simulation, gene_name, network
from cdnbench.knowledge import read_annotations, read_interactions, read_texts

SMALL = Simulation(lines=("a",), n_genes=300, n_regulators=60, n_perturbed=40)
LARGE = Simulation()


@cache
def truth(simulation: Simulation = SMALL) -> Truth:
    return true_knowledge(simulation)


def is_regulator(simulation: Simulation) -> np.ndarray:
    return np.isin(np.arange(simulation.n_genes), network(simulation, None).regulators)


def terms_of_genes(simulation: Simulation, error: float, seed: int) -> np.ndarray:
    genes = [g for g, _ in known_annotations(truth(simulation), error, np.random.default_rng(seed))]
    return np.bincount(genes, minlength=simulation.n_genes)


def degrees(simulation: Simulation, error: float, seed: int) -> np.ndarray:
    pairs = known_interactions(truth(simulation), error, np.random.default_rng(seed))
    return np.bincount(np.ravel(pairs), minlength=simulation.n_genes)


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    n = positive.sum()
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


@pytest.mark.parametrize("numbers", [terms_of_genes, degrees])
@pytest.mark.parametrize(
    ("simulation", "error"), [(SMALL, 1.0), (LARGE, 1.0), (LARGE, float(ERROR)), (LARGE, 0.0)]
)
def test_numbers_do_not_tell_regulators(
    numbers: Callable[[Simulation, float, int], np.ndarray], simulation: Simulation, error: float
):
    regulators = is_regulator(simulation)
    areas = [auroc(numbers(simulation, error, seed), regulators) for seed in range(4)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.1)


def test_sizes_and_names_of_complexes_do_not_tell_regulators():
    complexes, regulators = truth(LARGE).complexes, is_regulator(LARGE)
    assert not set(complexes[regulators]) & set(complexes[~regulators])
    sizes = np.bincount(complexes)
    of_regulators = np.isin(np.arange(len(sizes)), complexes[regulators])
    assert sizes.min() > 0
    assert auroc(sizes, of_regulators) == pytest.approx(0.5, abs=0.1)
    assert auroc(np.arange(len(sizes)), of_regulators) == pytest.approx(0.5, abs=0.1)


def test_true_edges_are_complexes_strongest_regulators_and_shared_processes():
    net, found = network(SMALL, None), truth()
    edges = set(map(tuple, found.edges.tolist()))
    members = {
        (i, j)
        for i in range(SMALL.n_genes)
        for j in range(i)
        if found.complexes[i] == found.complexes[j]
    }
    upstream = set()
    for g, weights in enumerate(np.abs(net.weights)):
        for r in sorted(np.flatnonzero(weights), key=lambda r: -weights[r])[:UPSTREAM]:
            upstream.add((g, int(net.regulators[r])))
    expected = {(min(pair), max(pair)) for pair in members | upstream}
    assert expected < edges
    regulators = is_regulator(SMALL)
    for i, j in edges - expected:
        assert not regulators[i] and not regulators[j]
        assert set(found.processes[i]) & set(found.processes[j])


def test_processes_are_what_governs_a_gene_most():
    net, found = network(SMALL, None), truth()
    assert all(len(set(its)) == PROCESSES for its in found.processes.tolist())
    own = {}
    for r, c in zip(net.regulators, net.complexes, strict=True):
        assert own.setdefault(int(c), found.processes[r, 0]) == found.processes[r, 0]
    assert len(set(own.values())) == len(own)
    for g in np.flatnonzero(~is_regulator(SMALL) & (net.weights != 0).any(axis=1)):
        assert found.processes[g, 0] == own[int(net.complexes[np.abs(net.weights[g]).argmax()])]


@pytest.mark.parametrize("error", [0.0, 0.5, 0.9, 1.0])
def test_the_share_of_true_edges(error: float):
    true = set(map(tuple, truth().edges.tolist()))
    known = known_interactions(truth(), error, np.random.default_rng(0))
    by_chance = len(true) / (SMALL.n_genes * (SMALL.n_genes - 1) / 2)
    share = np.mean([edge in true for edge in known])
    assert share == pytest.approx(1 - error + error * by_chance, abs=0.03 if error else 0)
    assert 0.94 * len(true) < len(known) <= len(true)


@pytest.mark.parametrize("error", [0.0, 0.5, 0.9, 1.0])
def test_the_share_of_true_terms(error: float):
    found = truth(LARGE)
    known = known_annotations(found, error, np.random.default_rng(0))
    true = set(known_annotations(found, 0.0, np.random.default_rng(1)))
    assert len(true) == (1 + PROCESSES) * LARGE.n_genes
    sizes = np.concatenate([np.bincount(found.complexes), np.bincount(found.processes.ravel())])
    by_chance = (sizes / sizes.sum()) @ (sizes / LARGE.n_genes)
    share = np.mean([pair in true for pair in known])
    assert share == pytest.approx(1 - error + error * by_chance, abs=0.03 if error else 0)
    assert 0.94 * len(true) < len(known) <= len(true)


def test_files_are_written_once_and_read(tmp_path):
    paths = write_knowledge(SMALL, 0.5, tmp_path / "one")
    written = {kind: (path.stat().st_mtime_ns, path.stat().st_ino) for kind, path in paths.items()}
    assert write_knowledge(SMALL, 0.5, tmp_path / "one") == paths
    assert {
        kind: (path.stat().st_mtime_ns, path.stat().st_ino) for kind, path in paths.items()
    } == written
    for kind, path in write_knowledge(SMALL, 0.5, tmp_path / "two").items():
        assert path != paths[kind]
        assert path.read_bytes() == paths[kind].read_bytes()
    assert len(read_interactions(paths["interactions"]).genes) > 290
    found, texts = read_annotations(paths["annotations"]), read_texts(paths["gene_text"])
    assert set(texts) == set(found.genes.tolist())
    of_first = found.terms[found.matrix[[0]].indices]
    assert texts[str(found.genes[0])] == f"A gene of {', '.join(sorted(of_first))}."


def test_a_complex_shares_its_terms(tmp_path):
    """Its name, and of regulators the process that they govern."""
    found = read_annotations(write_knowledge(SMALL, 0.0, tmp_path)["annotations"])
    assert found.genes.tolist() == [gene_name(g) for g in range(SMALL.n_genes)]
    matrix = found.matrix.astype(int)
    shared = (matrix @ matrix.T).toarray()
    same = truth().complexes[:, None] == truth().complexes
    assert (shared[same] >= 1).all()
    net = network(SMALL, None)
    together = net.complexes[:, None] == net.complexes
    assert (shared[np.ix_(net.regulators, net.regulators)][together] >= 2).all()
