"""Graphs, loss, gradients and training steps equal those of the reference (golden/make_gears.py
says how they were made)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from cdnbench.methods.gears import graphs, network, prediction, training

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "gears.npz"))
NEIGHBOURS, THRESHOLD = 3, 0.25
N_GENES, N_NODES = len(GOLDEN["start/gene_emb.weight"]), len(GOLDEN["terms"])

LINEAR = {"position": "layers_emb_pos.0.lin", "ontology": "sim_layers.0.lin"}
MLPS = {
    "base": "emb_trans_v2",
    "effect": "pert_fuse",
    "shared": "recovery_w",
    "cross": "cross_gene_state",
}
NORMS = {"gene": "bn_emb", "joint": "bn_pert_base"}
NAMES = {
    "gene.table": "gene_emb.weight", "position.table": "emb_pos.weight", "table": "pert_emb.weight",
    "own.w1": "indv_w1", "own.b1": "indv_b1", "own.w2": "indv_w2", "own.b2": "indv_b2",
}  # fmt: skip
for ours, theirs in LINEAR.items():
    NAMES |= {f"{ours}.w": f"{theirs}.weight", f"{ours}.b": f"{theirs}.bias"}
for ours, theirs in MLPS.items():
    for i, at in ((1, 0), (2, 3)):
        NAMES |= {
            f"{ours}.w{i}": f"{theirs}.network.{at}.weight",
            f"{ours}.b{i}": f"{theirs}.network.{at}.bias",
        }
        NORMS[f"{ours}.norm{i}"] = f"{theirs}.network.{at + 1}"
for ours, theirs in NORMS.items():
    NAMES |= {f"{ours}.scale": f"{theirs}.weight", f"{ours}.shift": f"{theirs}.bias"}
RUNNING = {f"{ours}.mean": f"{theirs}.running_mean" for ours, theirs in NORMS.items()}
RUNNING |= {f"{ours}.var": f"{theirs}.running_var" for ours, theirs in NORMS.items()}


def shaped(net: network.Network, prefix: str) -> dict[str, np.ndarray]:
    """Their arrays under our names and shapes."""
    return {
        name: GOLDEN[prefix + (NAMES | RUNNING)[name]].reshape(value.shape)
        for name, value in net.state().items()
        if prefix + (NAMES | RUNNING)[name] in GOLDEN
    }


def graph(name: str, size: int) -> sparse.csr_matrix:
    source, target = GOLDEN[f"{name}/edges"]
    return sparse.csr_matrix((GOLDEN[f"{name}/weights"], (target, source)), shape=(size, size))


@pytest.fixture(scope="module")
def ontology() -> sparse.csr_matrix:
    return graphs.normalised(graph("go", N_NODES))


@pytest.fixture
def net() -> network.Network:
    return build(graph("coexpression", N_GENES))


def build(coexpression: sparse.csr_matrix, stage: str = "start/") -> network.Network:
    made = network.Network(
        graphs.normalised(coexpression), N_NODES, 4, np.random.default_rng(0), torch.float64
    )
    made.restore(shaped(made, stage))
    return made


@pytest.fixture(scope="module")
def conditions() -> list[training.Condition]:
    """The perturbations, with what each cell differs from its control in the genes that count."""
    made = []
    for p, targets in enumerate(GOLDEN["targets"]):
        rows, genes = GOLDEN["cells/pert"] == p, np.flatnonzero(GOLDEN["non_zero"][p])
        wanted = (GOLDEN["cells/y"] - GOLDEN["cells/x"])[rows][:, genes]
        made.append(
            training.Condition(tuple(targets[targets >= 0].tolist()), genes, wanted, len(wanted))
        )
    return made


def split(cells: np.ndarray) -> dict[int, np.ndarray]:
    """The cells of a batch as condition -> numbers among its cells."""
    of = GOLDEN["cells/pert"]
    place = np.array([np.flatnonzero(of == of[c]).tolist().index(c) for c in cells])
    return {int(p): place[of[cells] == p] for p in np.unique(of[cells])}


def test_ontology_graph():
    found = graphs.ontology(sparse.csr_matrix(GOLDEN["terms"]), NEIGHBOURS, 0.1)
    expected = graph("go", N_NODES)
    assert found.nnz == expected.nnz > N_NODES
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-7)


def test_coexpression_graph():
    cells = GOLDEN["coexpression/cells"]
    found = graphs.coexpression(
        graphs.correlation([[(cells, np.arange(N_GENES))]], N_GENES), NEIGHBOURS, THRESHOLD
    )
    expected = graph("coexpression", N_GENES)
    assert found.nnz == expected.nnz > N_GENES
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-6)


def test_first_batch(net, ontology, conditions):
    cells = GOLDEN["batches"][0]
    step = training.Step.of(conditions, split(cells), ontology)
    deltas = net.deltas(step.batch)
    state = [step.state_of[p] for p in GOLDEN["cells/pert"][cells]]
    np.testing.assert_allclose(deltas.detach().numpy()[state], GOLDEN["deltas"], atol=1e-10)
    loss, gradient = step.autofocus(deltas.detach())
    deltas.backward(gradient)
    direction = 0.0
    control = GOLDEN["control"]
    for p, rows in split(cells).items():
        genes = conditions[p].genes
        x, y = (GOLDEN[f"cells/{z}"][GOLDEN["cells/pert"] == p][rows][:, genes] for z in "xy")
        found = x + deltas.detach().numpy()[step.state_of[p], genes]
        direction += (
            0.1 * np.square(np.sign(y - control[genes]) - np.sign(found - control[genes])).mean()
        )
    assert loss + direction / len(split(cells)) == pytest.approx(GOLDEN["losses"][0], rel=1e-10)
    expected = shaped(net, "gradient/")
    assert len(expected) == len(net.parameters)
    for name, value in expected.items():
        np.testing.assert_allclose(
            net.parameters[name].grad.numpy(), value, rtol=1e-8, atol=1e-9, err_msg=name
        )


def test_training(net, ontology, conditions):
    """Two steps an epoch; the third batch has a single perturbed cell, the fifth none."""
    optimiser = training.Optimiser(net, 1e-3, 5e-4)
    for i, cells in enumerate(GOLDEN["batches"]):
        optimiser.step(training.Step.of(conditions, split(cells), ontology))
        if i % 2:
            optimiser.halve()
    net.cut_tables()
    expected = shaped(net, "end/")
    assert len(expected) == len(net.state())
    for name, value in expected.items():
        np.testing.assert_allclose(net.state()[name], value, rtol=1e-7, atol=1e-9, err_msg=name)


def test_prediction(ontology):
    """Float32 arrays, as a fit keeps them."""
    net = build(graph("coexpression", N_GENES), "end/")
    predicted = prediction.decode(net.folded(), net.effects(ontology, np.ones(N_NODES)))
    np.testing.assert_allclose(predicted, GOLDEN["predicted"], atol=1e-5)


def test_the_package_gives_the_coexpression_graph_to_the_first_cell_of_a_batch_only(ontology):
    with_it, without = (
        prediction.decode(net.folded(), net.effects(ontology, np.ones(N_NODES)))
        for net in (
            build(graph("coexpression", N_GENES), "end/"),
            build(sparse.csr_matrix((N_GENES, N_GENES)), "end/"),
        )
    )
    np.testing.assert_allclose(GOLDEN["one_cell/predicted"][0], with_it[0], atol=2e-6)
    np.testing.assert_allclose(GOLDEN["one_cell/predicted"][1:], without[1:], atol=2e-6)
    assert np.abs(with_it - without)[[0, 1]].max(axis=1).min() > 2e-5
