"""PDGrapher as a method: genes that are missing, validation, what it learns and when it
declines."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from cdnbench import LabelledTask, Task, load_method
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.methods.clusters import held_out
from cdnbench.methods.pdgrapher.network import Discovery, Graph, Layers, NormLinear, Response, Table
from cdnbench.methods.pdgrapher.pdgrapher import Rows
from cdnbench.methods.pdgrapher.pseudobulks import Pseudobulks, Scaling, validation_groups
from cdnbench.methods.pdgrapher.training import best, cross_entropy, encode, squared_error

GENES = [f"G{i:02d}" for i in range(12)]
CHAIN = list(zip(GENES, GENES[1:], strict=False))


def labelled(target: int, seed: int, genes=GENES, line="a", n_regimes=1) -> LabelledTask:
    """A knock-down of a gene halves it, and lowers the next."""
    rng = np.random.default_rng([seed, target])
    level = np.linspace(2, 4, len(GENES))
    after = level.copy()
    after[target] -= 1.5
    after[(target + 1) % len(GENES)] -= 0.5
    at = [GENES.index(g) if g in GENES else 0 for g in genes]
    cells = [
        rng.normal(level[at], 0.3, (40, len(at))),
        *(rng.normal(after[at], 0.3, (30, len(at))) for _ in range(n_regimes)),
    ]
    task = Task(
        name=f"{line}/{target}/{seed}",
        variables=[f"v{i}" for i in range(len(genes))],
        symbols=genes,
        observational=cells[0],
        regimes=cells[1:],
        metadata={"cell_line": line},
    )
    targets = np.tile([g == GENES[target] for g in genes], (n_regimes, 1))
    return LabelledTask(task=task, targets=targets, facts={"cluster": target})


@pytest.fixture(scope="module")
def interactions(tmp_path_factory):
    """A function that writes a file of pairs."""
    folder = tmp_path_factory.mktemp("interactions")

    def write(pairs=CHAIN):
        path = folder / f"{abs(hash(tuple(pairs)))}.tsv"
        path.write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
        return {"interactions": path}

    return write


TRAINING = [labelled(t, s, line=line) for line in "ab" for t in range(8) for s in range(3)]
FAST = {"epochs": 3, "dim": 4, "bins": 20, "pseudobulks": 1}


@pytest.fixture(scope="module")
def fitted(interactions):
    method = load_method("pdgrapher", **FAST)
    return method.fitted(method.fit(TRAINING, resources=interactions()))


def test_learns_what_a_knock_down_looks_like(interactions):
    method = load_method("pdgrapher", pseudobulks=2, batch=16, bins=20, epochs=12, supervision=1.0)
    fitted = method.fitted(method.fit(TRAINING, resources=interactions()))
    scores = [fitted.predict_targets(labelled(t, 100, line="c").task)[0] for t in range(8)]
    ranks = [(s > s[t]).sum() for t, s in enumerate(scores)]
    assert np.mean(ranks) < 1, ranks  # 5.5 by chance


def test_relabelling_permutes_scores(fitted):
    task = labelled(2, 7, n_regimes=2).task
    scores = fitted.predict_targets(task)
    order = np.random.default_rng(0).permutation(len(GENES))
    np.testing.assert_array_equal(fitted.predict_targets(task.select(order)), scores[:, order])
    bare = Task(
        name="",
        variables=task.variables,
        symbols=task.symbols,
        observational=task.observational,
        regimes=task.regimes,
    )
    np.testing.assert_array_equal(fitted.predict_targets(bare), scores)
    for r in range(2):  # regimes do not see each other
        np.testing.assert_allclose(fitted.predict_targets(task.regime(r))[0], scores[r], atol=1e-5)


def test_what_is_no_node_scores_nan(interactions):
    method = load_method("pdgrapher", **FAST)
    fitted = method.fitted(
        method.fit(TRAINING, resources=interactions(CHAIN[:9]))
    )  # nothing about the last two
    genes = ["NEW", *GENES[3:]]
    scores = fitted.predict_targets(labelled(4, 9, genes=genes).task)[0]
    assert [g for g, s in zip(genes, scores, strict=True) if np.isnan(s)] == ["NEW", *GENES[10:]]
    with pytest.raises(CannotRun, match="none of the genes"):
        fitted.predict_targets(labelled(0, 9, genes=["NEW", "OTHER"]).task)


def test_a_gene_that_is_there_twice_counts_once(fitted):
    task = labelled(2, 7).task
    twice = Task(
        name="",
        variables=[*task.variables, "again"],
        symbols=[*GENES, GENES[5]],
        observational=task.observational[:, [*range(12), 5]],
        regimes=[task.regimes[0][:, [*range(12), 5]]],
    )
    scores, expected = fitted.predict_targets(twice)[0], fitted.predict_targets(task)[0]
    np.testing.assert_array_equal(scores, expected[[*range(12), 5]])


def test_a_lacking_gene_has_the_mean_of_the_controls_before_and_after():
    tasks = [labelled(0, 0), labelled(1, 1), labelled(2, 2, genes=GENES[:6])]
    bulks = Pseudobulks.of(tasks, 1, np.random.default_rng(0))
    np.testing.assert_array_equal(bulks.known.sum(axis=1), [12, 12, 6])
    scaling = Scaling.of(bulks)
    before, after = (scaling(x, bulks.known) for x in (bulks.before, bulks.after))
    np.testing.assert_array_equal(before[2, 6:], after[2, 6:])
    np.testing.assert_allclose(before[2, 6:], before[:2, 6:].mean(axis=0), rtol=1e-5)
    both = np.concatenate([before, after])
    np.testing.assert_allclose(
        [both.min(axis=0), both.max(axis=0)], [np.zeros(12), np.ones(12)], atol=1e-6
    )


def test_lacking_genes_count_in_no_loss():
    rng = np.random.default_rng(0)
    scores, after, predicted = (torch.from_numpy(rng.normal(size=(7, 5))) for _ in range(3))
    known = torch.from_numpy(rng.random((7, 5)) < 0.6)
    targets = (torch.from_numpy(rng.random((7, 5)) < 0.3) & known).double()
    some = known.double()
    torch.testing.assert_close(
        squared_error(predicted, after, some), mse_loss(predicted[known], after[known])
    )
    expected = binary_cross_entropy_with_logits(
        scores[known], targets[known], pos_weight=torch.tensor(9.0)
    )
    torch.testing.assert_close(cross_entropy(scores, targets, some, 9.0), expected)
    number = torch.tensor([1, 2, 1, 2, 1])
    chosen = best(scores, some, number)
    for b in range(5):
        ranked = [n for n in scores[:, b].argsort(descending=True).tolist() if known[n, b]]
        assert sorted(n // 5 for n in chosen.tolist() if n % 5 == b) == sorted(ranked[: number[b]])


def test_bins_with_ties():
    """The first of equal edges, found one by one."""
    edges = np.array([0.0, 0, 0, 0.2, 0.5, 0.5, 1.0])
    values = np.array([[-1.0, 0, 0.1, 0.2, 0.4999, 0.5, 0.9, 1.0, 3.0]]).T
    expected = []
    for v in values[:, 0]:
        below = [e for e in edges if e <= v]
        expected.append(min(edges.tolist().index(max(below)), 5) if below else 0)
    np.testing.assert_array_equal(encode(values, edges)[:, 0], expected)
    np.testing.assert_array_equal(encode(values.T, edges)[0] // 6, np.arange(9))


@pytest.mark.parametrize("loops", [True, False])
def test_graph_is_normalised_on_both_sides(loops):
    edges = np.array([[0, 1], [0, 2], [1, 2], [2, 3]])
    graph = Graph.of(5, edges, loops=loops)
    a = np.zeros((5, 5))
    a[tuple(edges.T)] = 1
    a += a.T + loops * np.eye(5)
    root = np.array([d**-0.5 if d else 0 for d in a.sum(1)])
    made = graph.between.to_dense().numpy() + np.diag(graph.own.numpy()[:, 0])
    np.testing.assert_allclose(made, root[:, None] * a * root, atol=1e-6)


def network(kind, n_rows=3):
    rng = np.random.default_rng(1)
    per_gene = [n_rows, 2] if kind is Response else [n_rows, n_rows]
    tables = [
        Table(
            torch.from_numpy(rng.normal(size=(n * 4, 6)).astype(np.float32)),
            torch.arange(4).repeat_interleave(n),
            4,
        )
        for n in per_gene
    ]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(*tables, Layers(6)).eval()


def test_edges_into_targets_are_cut():
    """0 - 1 - 2 - 3, one layer: what 1 hears of 0 and 2, unless it is a target; the others hear it
    still."""
    graph = Graph.of(4, np.array([[0, 1], [1, 2], [2, 3]]))
    response, discovery = network(Response), network(Discovery)
    rows = torch.tensor([[0], [3], [6], [9]])

    def outputs(run, changed: int) -> list[bool]:
        other = rows.clone()
        other[changed] += 1
        return (run(rows) != run(other))[:, 0].tolist()

    one, nothing = torch.tensor([1]), torch.tensor([], dtype=torch.long)
    assert outputs(lambda r: response(r, nothing, graph), 0) == [True, True, False, False]
    assert outputs(lambda r: response(r, one, graph), 0) == [True, False, False, False]
    assert outputs(lambda r: response(r, one, graph), 1) == [True, True, True, False]
    assert outputs(lambda r: response(r, nothing, graph, mutated=one), 0) == [
        True,
        False,
        False,
        False,
    ]
    assert outputs(lambda r: discovery(r, rows, graph), 2) == [False, True, True, True]
    assert outputs(lambda r: discovery(r, rows, graph, one), 2) == [False, False, True, True]


@pytest.mark.parametrize("training", [True, False])
def test_normalisation_and_linear_layer_in_one(training):
    """Values, gradients and running moments equal those of torch's two layers."""
    torch_rng = torch.Generator().manual_seed(0)
    layer = NormLinear(5, 3).double().train(training)
    for parameter in [*layer.parameters(), layer.norm.running_mean]:
        parameter.data.copy_(torch.randn(parameter.shape, generator=torch_rng))
    plain = (
        torch.nn.Sequential(torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 3)).double().train(training)
    )
    plain.load_state_dict(
        {k.replace("norm", "0").replace("linear", "1"): v for k, v in layer.state_dict().items()}
    )
    x = torch.randn(40, 5, generator=torch_rng, dtype=torch.float64)
    weights = torch.randn(40, 3, generator=torch_rng, dtype=torch.float64)
    parts, whole = (
        [x[:, :2].clone().requires_grad_(), x[:, 2:].clone().requires_grad_()],
        x.clone().requires_grad_(),
    )
    ours, theirs = layer(*parts), plain(whole)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.cat([part.grad for part in parts], 1), whole.grad)
    for mine, other in zip(layer.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)
    torch.testing.assert_close(layer.norm.running_var, plain[0].running_var)
    torch.testing.assert_close(layer.norm.running_mean, plain[0].running_mean)


def test_rows_before_training_do_not_depend_on_each_other():
    rows = Rows(np.array(GENES), 4, 3)
    some, more = np.array([5, 25, 26]), np.array([0, 5, 7, 25, 26, 239])
    np.testing.assert_array_equal(rows("after", some, 20), rows("after", more, 20)[[1, 3, 4]])
    every = rows("after", np.arange(240), 20)
    assert (
        every.std() == pytest.approx(2 / np.sqrt(12), rel=0.1)
        and len(np.unique(every)) == every.size
    )
    assert not np.any(every == rows("before", np.arange(240), 20))


def test_validation_holds_clusters_out():
    bulks = Pseudobulks.of(TRAINING, 3, np.random.default_rng(0))
    assert len(bulks.group) == 3 * len(TRAINING) and len(set(bulks.group)) == 16
    some = partial(validation_groups, 0.2)
    held = held_out(bulks.group, some, np.random.default_rng(0))
    assert len(set(bulks.group[held])) == 3 and not set(bulks.group[held]) & set(bulks.group[~held])
    assert not held_out(np.array(["a", "a"]), some, np.random.default_rng(0)).any()


def test_same_seed_same_fit_and_global_state_untouched(interactions):
    method = load_method("pdgrapher", **{**FAST, "pseudobulks": 2})
    state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (
        method.fit(TRAINING, seed=s, resources=interactions()) for s in (0, 0, 1)
    )
    assert torch.equal(state[0], torch.random.get_rng_state())
    assert (state[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert all(a.dtype != object for a in first.values())
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
    assert not np.array_equal(first["discovery.position"], other["discovery.position"])


@pytest.mark.parametrize(
    "layers", [{"n_layers_gnn": 2, "n_layers_nn": 2}, {"n_layers_gnn": 1, "validation": 0.0}]
)
@pytest.mark.parametrize(
    "tasks", [TRAINING[:1], [TRAINING[0], labelled(1, 1, genes=GENES[:7], n_regimes=2)]]
)
def test_few_perturbations_and_no_edges(interactions, tasks, layers):
    """One perturbation is its own validation; genes whose partners are elsewhere hear themselves
    only."""
    method = load_method("pdgrapher", **FAST, **layers)
    apart = [(gene, f"{gene}-partner") for gene in GENES]
    model = method.fit(tasks, resources=interactions(apart))
    assert model["edges"].shape == (0, 2) and np.isfinite(model["losses"]).all()
    assert np.isfinite(method.fitted(model).predict_targets(labelled(3, 3).task)).all()


def test_declines_with_the_cure(interactions, fitted):
    method = load_method("pdgrapher")
    with pytest.raises(CannotRun, match="fitted first"):
        method.predict_targets(TRAINING[0].task)
    with pytest.raises(CannotRun, match="--knowledge interactions=FILE"):
        method.fit(TRAINING)
    with pytest.raises(CannotRun, match="no target is among them.*gene symbols"):
        method.fit(TRAINING, resources=interactions([("ENSG1", "ENSG2")]))
    for wrong in (
        {"dim": 1},
        {"epochs": 0},
        {"validation": 1.0},
        {"supervision": -1.0},
        {"batch": 0},
    ):
        with pytest.raises(InvalidParameter):
            load_method("pdgrapher", **wrong)


def test_names_of_a_table_of_identifiers(interactions, tmp_path):
    table = tmp_path / "identifiers.tsv"
    table.write_text("symbol\tensembl\n" + "".join(f"{g}\tENSG{i}\n" for i, g in enumerate(GENES)))
    pairs = [(f"ENSG{i}", f"ENSG{i + 1}") for i in range(11)]
    method = load_method("pdgrapher", **FAST)
    model = method.fit(TRAINING, resources={**interactions(pairs), "identifiers": table})
    assert model["genes"].tolist() == GENES and len(model["edges"]) == 11
