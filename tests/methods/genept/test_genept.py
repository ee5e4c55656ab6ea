"""GenePT: predictors against their definitions, and recovery where embeddings tell what a gene
does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cdnbench import LabelledTask, Task, load_method
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.knowledge import read_texts
from cdnbench.methods.genept.genept import text_embeddings
from cdnbench.methods.genept.predictors import (
    HIDDEN,
    MOST_EPOCHS,
    choose,
    neighbours,
    network,
    predict,
    ridge,
)

RNG = np.random.default_rng(0)
N_GENES, N_DIMENSIONS = 40, 6
GENES = [f"G{i:02d}" for i in range(N_GENES)]
VECTORS = RNG.normal(size=(N_GENES, N_DIMENSIONS))
EFFECTS = VECTORS @ RNG.normal(size=(N_DIMENSIONS, N_GENES))


def labelled(
    gene: int, *, symbols: Sequence[str] = GENES, n: int = 60, cluster: int = 0
) -> LabelledTask:
    rng = np.random.default_rng(gene)
    columns = [GENES.index(s) if s in GENES else 0 for s in symbols]
    controls = rng.normal(size=(300, len(symbols)))
    cells = rng.normal(size=(n, len(symbols))) + EFFECTS[gene][columns]
    task = Task(
        name="t", variables=symbols, symbols=symbols, observational=controls, regimes=[cells]
    )
    return LabelledTask(
        task=task, targets=[[s == GENES[gene] for s in symbols]], facts={"cluster": cluster}
    )


TRAINING = [labelled(gene, cluster=gene) for gene in range(25)]


@pytest.fixture
def embeddings(tmp_path):
    np.savez(tmp_path / "e.npz", genes=np.array(GENES[:-1]), vectors=VECTORS[:-1])
    return {"embeddings": tmp_path / "e.npz"}


def test_ridge_is_scikit_learns():
    from sklearn.linear_model import Ridge

    x, y = RNG.normal(size=(30, 8)), RNG.normal(size=(30, 5))
    expected = Ridge(alpha=0.5 * 8, fit_intercept=False).fit(x, y).predict(x[:4])
    np.testing.assert_allclose(predict(ridge(x, y, 0.5), x[:4]), expected, rtol=1e-8)


def test_neighbours_are_averaged():
    x, y = np.array([[1.0, 0], [2, 0.1], [0, 1]]), np.array([[1.0], [3], [10]])
    np.testing.assert_allclose(predict(neighbours(x, y, 2), np.array([[5.0, 0.0]])), [[2.0]])


def test_the_network_is_scikit_learns():
    from sklearn.neural_network import MLPRegressor

    x, y = RNG.normal(size=(60, 8)), 7 * RNG.normal(size=(60, 5))
    net = MLPRegressor(
        hidden_layer_sizes=(HIDDEN,), early_stopping=True, max_iter=MOST_EPOCHS, random_state=3
    )
    expected = net.fit(x, y / y.std()).predict(x[:4]) * y.std()
    np.testing.assert_allclose(predict(network(x, y, 3), x[:4]), expected, rtol=1e-6)


def test_the_choice_is_what_predicts_held_out_groups():
    """A linear law: ridge with a small penalty, not neighbours."""
    x = RNG.normal(size=(80, 6))
    name, _, found = choose(
        x, x @ RNG.normal(size=(6, 30)), [str(i) for i in range(80)], np.random.default_rng(0)
    )
    assert name.startswith("ridge") and found[name] > 0.95 > found["neighbours 20"]


def test_targets_that_training_has_not_seen_are_found(embeddings):
    method = load_method("genept")
    fitted = method.fitted(method.fit(TRAINING, resources=embeddings))
    first = [fitted.predict_targets(labelled(gene).task)[0] for gene in range(25, 39)]
    ranks = [
        np.nansum(scores > scores[gene]) for gene, scores in zip(range(25, 39), first, strict=True)
    ]
    assert np.mean(np.array(ranks) == 0) > 0.8
    assert all(np.isfinite(scores[39]) for scores in first)


def test_a_gene_without_embedding_has_the_mean_one(embeddings, tmp_path):
    """In training and as a candidate, or neither."""
    training = [*TRAINING, labelled(39, cluster=39)]
    method = load_method("genept")
    model = method.fit(training, resources=embeddings)
    filled = np.vstack([VECTORS[:-1], VECTORS[:-1].mean(axis=0)]).astype(np.float32)
    np.savez(tmp_path / "filled.npz", genes=np.array(GENES), vectors=filled)
    expected = method.fit(training, resources={"embeddings": tmp_path / "filled.npz"})
    for name, array in expected.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(model[name], array, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(model[name], array)
    without = load_method("genept", missing="none")
    left_out = without.fit(training, resources=embeddings)
    assert "G39" in model["embedded"] and "G39" not in left_out["embedded"]
    assert np.isnan(without.fitted(left_out).predict_targets(labelled(39).task)[0, 39])
    same = without.fit(TRAINING, resources=embeddings)
    np.testing.assert_array_equal(left_out["vectors"], same["vectors"])


def test_the_order_of_genes_changes_nothing(embeddings):
    method = load_method("genept")
    fitted = method.fitted(method.fit(TRAINING, resources=embeddings))
    task = labelled(30).task
    order = np.random.default_rng(1).permutation(N_GENES)
    symbols = [GENES[i] for i in order]
    other = Task(
        name="t", variables=symbols, symbols=symbols,
        observational=task.observational[:, order], regimes=[task.regimes[0][:, order]],
    )  # fmt: skip
    np.testing.assert_allclose(
        fitted.predict_targets(other), fitted.predict_targets(task)[:, order], rtol=1e-5, atol=1e-6
    )


def test_other_names_are_translated(tmp_path):
    np.savez(
        tmp_path / "e.npz", genes=np.array([f"ID{i:02d}" for i in range(N_GENES)]), vectors=VECTORS
    )
    method = load_method("genept")
    with pytest.raises(CannotRun, match="0 of 25 have"):
        method.fit(TRAINING, resources={"embeddings": tmp_path / "e.npz"})
    (tmp_path / "names.tsv").write_text("".join(f"{g}\tID{i:02d}\n" for i, g in enumerate(GENES)))
    resources = {"embeddings": tmp_path / "e.npz", "identifiers": tmp_path / "names.tsv"}
    assert len(method.fit(TRAINING, resources=resources)["embedded"]) == N_GENES


def test_genes_that_training_has_not_measured(embeddings):
    """They have no score, and count in no correlation."""
    method = load_method("genept")
    without = [labelled(g, symbols=[s for s in GENES if s != "G30"], cluster=g) for g in range(25)]
    fitted = method.fitted(method.fit(without, resources=embeddings))
    scores = fitted.predict_targets(labelled(28).task)[0]
    assert np.nanargmax(scores) == 28 and np.isnan(scores[30])
    strangers = Task(
        name="t",
        variables=["X", "Y"],
        symbols=["X", "Y"],
        observational=np.zeros((5, 2)),
        regimes=[np.ones((5, 2))],
    )
    with pytest.raises(CannotRun, match="no gene of the task was in training"):
        fitted.predict_targets(strangers)


def test_a_single_training_perturbation_is_too_few(embeddings):
    with pytest.raises(CannotRun, match="two training perturbations"):
        load_method("genept").fit(TRAINING[:1], resources=embeddings)


def test_texts_tell_genes_apart(tmp_path):
    """Genes of a kind share words; a gene's own name in its text says nothing."""
    kinds = ["kinase signalling membrane", "ribosome translation cytosol"]
    rows = [f"{g}\t{g} is a {kinds[i % 2]} gene of family {i % 2}.\n" for i, g in enumerate(GENES)]
    (tmp_path / "text.tsv").write_text("gene\ttext\n" + "".join(rows))
    texts = read_texts(tmp_path / "text.tsv")
    made = text_embeddings(texts, 256)
    unit = made.vectors / np.linalg.norm(made.vectors, axis=1, keepdims=True)
    similar = unit @ unit.T
    same = np.arange(N_GENES)[:, None] % 2 == np.arange(N_GENES) % 2
    assert similar[same].min() > 0.99 > 0.5 > similar[~same].max()


def test_parameters():
    with pytest.raises(InvalidParameter, match="missing is mean or none"):
        load_method("genept", missing="zero")
    with pytest.raises(InvalidParameter, match="dimensions"):
        load_method("genept-style", dimensions=0)
