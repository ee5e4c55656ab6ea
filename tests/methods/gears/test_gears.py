"""The method: training tasks to scores."""

import numpy as np
import pytest

from cdnbench import LabelledTask, Task, load_method
from cdnbench.errors import CannotRun, InvalidParameter

GENES = [f"G{i:02d}" for i in range(24)]
MODULES = 3  # genes g, g + 3, g + 6, ... have the same terms and the same effect when knocked down
QUICK = {"epochs": 4, "hidden": 16, "group": 2, "learning_rate": 5e-3}


def shifted(target: int, rng: np.random.Generator) -> np.ndarray:
    """After a knock-down, the genes of one module rise, those of another fall."""
    effect = np.zeros(len(GENES))
    effect[np.arange(len(GENES)) % MODULES == target % MODULES] = 1.5
    effect[np.arange(len(GENES)) % MODULES == (target + 1) % MODULES] = -1.5
    return effect


def labelled(target: int, *, line="a", genes=range(len(GENES)), seed=0, n_cells=40) -> LabelledTask:
    genes, rng = list(genes), np.random.default_rng([target, seed])
    of_line = np.random.default_rng([ord(line)])  # the same control cells in all tasks of a line
    before = (3 + 2 * (line == "b") + of_line.normal(0, 0.5, (80, len(GENES))))[:, genes]
    after = (
        3 + 2 * (line == "b") + shifted(target, rng) + rng.normal(0, 0.5, (n_cells, len(GENES)))
    )[:, genes]
    names = [GENES[g] for g in genes]
    task = Task(
        name="t",
        variables=names,
        symbols=names,
        observational=before,
        regimes=[after],
        metadata={"cell_line": line},
    )
    return LabelledTask(
        task=task, targets=np.array([[g == target for g in genes]]), facts={"cluster": target}
    )


@pytest.fixture(scope="module")
def resources(tmp_path_factory):
    """Genes 21 to 23 are not annotated."""
    path = tmp_path_factory.mktemp("knowledge") / "annotations.tsv"
    lines = [f"{GENES[g]}\tmodule:{g % MODULES}.{i}\n" for g in range(21) for i in range(4)]
    path.write_text("gene\tterm\n" + "".join(lines))
    return {"annotations": path}


@pytest.fixture(scope="module")
def training():
    return [labelled(g, line=line, seed=1) for line in "ab" for g in range(9)]


@pytest.fixture(scope="module")
def model(training, resources):
    return load_method("gears", **QUICK).fit(training, resources=resources)


def scores(model, task: Task) -> np.ndarray:
    return load_method("gears", **QUICK).fitted(model).predict_targets(task)


@pytest.mark.parametrize("target", range(12, 18))
def test_a_gene_never_perturbed_is_told_by_its_annotations(model, target):
    found = scores(model, labelled(target, seed=2).task)[0]
    alike = np.arange(21) % MODULES == target % MODULES
    assert found[:21][alike].min() > found[:21][~alike].max() + 0.3
    assert found[target] > 0.8


def test_genes_without_annotation_have_no_score(model):
    found = scores(model, labelled(3, seed=2).task)[0]
    assert np.isnan(found[21:]).all() and np.isfinite(found[:21]).all()


def test_relabelling_permutes_scores(model):
    task, order = labelled(3, seed=2).task, np.random.default_rng(0).permutation(len(GENES))
    np.testing.assert_allclose(
        scores(model, task.select(order)), scores(model, task)[:, order], rtol=0, atol=1e-6
    )


def test_a_task_may_have_genes_that_training_lacks_and_the_other_way_round(resources):
    some = [labelled(g, line=line, genes=range(18), seed=1) for line in "ab" for g in range(9)]
    found = scores(
        load_method("gears", **QUICK).fit(some, resources=resources),
        labelled(4, genes=range(3, 24), seed=2).task,
    )[0]
    assert np.isfinite(found[:18]).all() and np.isnan(found[18:]).all()
    alike = np.arange(3, 21) % MODULES == 4 % MODULES
    assert found[:18][alike].min() > found[:18][~alike].max()


def test_genes_of_a_line_are_those_of_all_its_tasks(training, resources):
    """Tasks of different genes: the controls of a line are put together from them."""
    some = [labelled(g, genes=[g, *range(9, 18), *(18, 19)[: 1 + g % 2]], seed=1) for g in range(9)]
    model = load_method("gears", **QUICK).fit(some, resources=resources)
    assert model["genes"].tolist() == GENES[:20]
    assert np.isfinite(scores(model, labelled(4, seed=2).task)[0, :21]).all()


def test_the_seed_decides(training, resources, model):
    again, other = (
        load_method("gears", **{**QUICK, "epochs": 1}).fit(
            training[:4], seed=seed, resources=resources
        )
        for seed in (0, 1)
    )
    same = load_method("gears", **{**QUICK, "epochs": 1}).fit(
        training[:4], seed=0, resources=resources
    )
    np.testing.assert_array_equal(again["effects"], same["effects"])
    assert not np.array_equal(again["effects"], other["effects"])


def test_one_perturbation_and_a_graph_without_edges(tmp_path):
    path = tmp_path / "annotations.tsv"
    path.write_text("".join(f"{gene}\tterm:{gene}\n" for gene in GENES[:4]))
    gears = load_method("gears", **QUICK, batch=8)
    model = gears.fit([labelled(2, seed=1, n_cells=400)], resources={"annotations": path})
    found = scores(model, labelled(2, seed=2).task)[0]
    # How well is left open: normalising a single effect leaves rounding, which processors do not
    # share.
    assert np.isfinite(found[:4]).all() and np.isnan(found[4:]).all()
    np.testing.assert_allclose(
        found[[1, 3]], found[0], atol=1e-6
    )  # nothing tells genes apart that share no term with it


def test_what_cannot_be_trained_says_why(resources, tmp_path):
    path = tmp_path / "annotations.tsv"
    path.write_text("OTHER\tterm:1\n")
    gears = load_method("gears", **QUICK)
    with pytest.raises(CannotRun, match="give annotations under the same gene symbols"):
        gears.fit([labelled(2)], resources={"annotations": path})
    with pytest.raises(CannotRun, match="parameter batch"):
        load_method("gears", batch=1000).fit([labelled(2)], resources=resources)
    with pytest.raises(CannotRun, match="fitted first"):
        gears.predict_targets(labelled(2).task)


def test_cells_that_are_held_out_fill_no_batch(resources):
    """A tenth of 20 clusters is two perturbations of 20 cells; without steps the network would be
    stored as it was drawn."""
    tasks = [labelled(g, seed=1, n_cells=20) for g in range(20)]  # and 80 control cells
    with pytest.raises(CannotRun, match="440 training cells do not fill a batch of 441 .40 more"):
        load_method("gears", **QUICK, batch=441).fit(tasks, resources=resources)
    filled = load_method("gears", **QUICK, batch=440).fit(tasks, resources=resources)
    assert np.isfinite(filled["history"]).all()


def test_a_task_of_other_genes_cannot_be_scored(model):
    task = labelled(2).task
    names = [f"X{i}" for i in range(len(GENES))]
    other = Task(
        name="t",
        variables=names,
        symbols=names,
        observational=task.observational,
        regimes=task.regimes,
    )
    with pytest.raises(CannotRun, match="annotated"):
        scores(model, other)


@pytest.mark.parametrize(
    "wrong", [{"batch": 1}, {"group": 0}, {"learning_rate": 0}, {"epochs": 0}, {"hidden": 0}]
)
def test_parameters(wrong):
    with pytest.raises(InvalidParameter, match=next(iter(wrong))):
        load_method("gears", **wrong)
