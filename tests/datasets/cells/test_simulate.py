"""The simulated screens have the laws that they declare."""

from dataclasses import replace

import numpy as np
import pytest

from cdnbench.datasets.cells.screens.raw import open_raw
from cdnbench.datasets.cells.simulated.simulate import (
    CONTROL,
    DRUGS,
    Simulation,
    gene_name,
    network,
    simulate_line,
    steady_state,
    targets_of,
    write_raw,
)  # fmt: skip

SMALL = Simulation(
    lines=("one", "two"),
    n_genes=200,
    n_regulators=40,
    n_perturbed=8,
    n_controls=400,
    cells=(200.0, 0.1),
    mean_degree=10.0,
)


@pytest.fixture(scope="module")
def one():
    return simulate_line(SMALL, "one")


def test_the_same_simulation_is_the_same(one):
    counts, obs = simulate_line(SMALL, "one")
    assert (counts != one[0]).nnz == 0 and obs.equals(one[1])
    assert SMALL.hash != replace(SMALL, seed=1).hash


def test_values_are_counts_of_about_the_declared_library(one):
    counts, _ = one
    assert (counts.data == np.floor(counts.data)).all() and counts.data.min() > 0
    assert 0.7 * 850 < np.median(counts.toarray().sum(1)) < 1.4 * 850


def test_a_knock_down_leaves_what_it_declares(one):
    """With 10 % failed guides, a target keeps between .05 and .4, plus .1 of what it had; the
    network may feed back on it."""
    counts, obs = one
    share = counts.multiply(1 / counts.sum(1)).tocsr()
    mean = {
        name: np.asarray(share[(obs["perturbation"] == name).to_numpy()].mean(0)).ravel()
        for name in set(obs["perturbation"])
    }
    left = [
        mean[name][genes[0]] / mean[CONTROL][genes[0]] for name, genes in targets_of(SMALL).items()
    ]
    assert 0.1 < np.median(left) < 0.6 and max(left) < 0.9


def test_lines_share_most_edges_and_not_all():
    a, b = (network(SMALL, line).weights for line in SMALL.lines)
    same = (a != 0) & (a == b)
    assert 0.5 < same.sum() / (a != 0).sum() < 0.9
    np.testing.assert_array_equal(
        network(SMALL, "one").regulators, network(SMALL, "two").regulators
    )


def test_the_steady_state_solves_its_equation():
    net = network(replace(SMALL, weight=0.5), "one")
    offset = (0.2 * np.random.default_rng(0).normal(size=(5, 200))).astype(np.float32)
    u = steady_state(net, offset)
    hill = u[:, net.regulators] ** 2 / (1 + u[:, net.regulators] ** 2)
    np.testing.assert_allclose(np.log(u), offset + (hill - 0.5) @ net.weights.T, atol=2e-2)


def test_drugs_have_one_to_three_targets():
    targets = targets_of(replace(DRUGS, n_genes=200, n_regulators=40))
    assert {len(t) for t in targets.values()} == {1, 2, 3} and set(targets) == {
        f"drug-{i + 1}" for i in range(40)
    }


def test_cells_stand_in_no_telling_order(one):
    """Neither the place nor the name of a cell says what was done to it."""
    place = np.arange(len(one[1]))
    control = (one[1]["perturbation"] == CONTROL).to_numpy()
    assert abs(place[control].mean() / place.mean() - 1) < 0.1


def test_a_raw_file_can_be_opened(one, tmp_path):
    write_raw(SMALL, "one", tmp_path / "one.h5ad")
    raw = open_raw(tmp_path / "one.h5ad")
    assert raw.genes[3] == gene_name(3) == "SIM0004" and raw.n_cells == len(one[1])
    assert (raw.read(0, raw.n_cells) != one[0]).nnz == 0
