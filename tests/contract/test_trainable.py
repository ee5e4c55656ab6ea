"""What every method that has to be trained must do, beside what `test_methods.py` asks of all."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from contract_tasks import (
    N_GENES,
    N_TARGETED,
    Trials,
    assert_equal,
    names,
    outputs_or_reason,
    perturbation,
    screen,
)

from cdnbench.errors import CannotRun
from cdnbench.truth import LabelledTask


def relabelled(labelled: LabelledTask, order: np.ndarray) -> LabelledTask:
    """The same data with its genes in another order and under other variable names."""
    task = labelled.task.select(order)
    task = dataclasses.replace(task, name="", variables=[f"x{i}" for i in range(len(order))])
    return dataclasses.replace(labelled, task=task, targets=labelled.targets[:, order])


def test_untrained_it_declines(trainable, trials: Trials):
    with pytest.raises(CannotRun, match="fitted"):
        trials.load(trainable).predict_targets(perturbation(0).task)


def test_nothing_to_learn_from_is_a_reason(trainable, trials: Trials):
    with pytest.raises(CannotRun, match="no training task"):
        trials.fit(trials.load(trainable), [])


def test_missing_knowledge_is_a_reason(trainable, trials: Trials):
    method = trials.load(trainable)
    if method.info.needs:
        with pytest.raises(CannotRun, match=method.info.needs[0]):
            method.fit(screen(), resources={})


def test_same_tasks_and_seed_same_model(trainable, trials: Trials, models, trained):
    again = trials.fit(trials.load(trainable), screen())
    assert list(again) == list(models[trainable])
    for name, array in again.items():
        np.testing.assert_array_equal(array, models[trainable][name], err_msg=name)


class Ended(Exception):
    pass


class Ending:
    """A checkpoint that ends the fit once something has been saved `after` times."""

    def __init__(self, after: int) -> None:
        self.left, self.file = after, b""

    def load(self) -> dict[str, np.ndarray]:
        if not self.file:
            return {}
        with np.load(io.BytesIO(self.file)) as arrays:
            return dict(arrays)

    def save(self, arrays) -> None:
        np.savez(file := io.BytesIO(), **arrays)
        self.file, self.left = file.getvalue(), self.left - 1
        if self.left == 0:
            raise Ended


@pytest.mark.parametrize("after", [1, 2])
def test_a_fit_that_was_ended_becomes_the_fit_that_was_not(resumable, trials: Trials, after):
    """Ended after each of the first epochs, bit for bit."""
    method = trials.load(resumable, epochs=3)
    whole = trials.fit(method, screen())
    checkpoint = Ending(after)
    with pytest.raises(Ended):
        trials.fit(method, screen(), checkpoint=checkpoint)
    went_on = trials.fit(method, screen(), checkpoint=checkpoint)
    assert checkpoint.left == after - 3 and list(went_on) == list(whole)
    for name, array in went_on.items():
        np.testing.assert_array_equal(array, whole[name], err_msg=name)


def test_a_model_survives_a_file_without_pickle(trainable, trained, trials: Trials, models):
    file = io.BytesIO()
    np.savez(file, **models[trainable])
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        loaded = trials.load(trainable).fitted(dict(stored))
    task = perturbation(3, seed=5).task
    assert_equal(loaded.predict_outputs(task), trained.predict_outputs(task))


def test_training_does_not_depend_on_the_order_of_genes(trainable, trials: Trials, trained):
    """Up to rounding, unless the method draws what it trains on."""
    if trained.info.stochastic:
        pytest.skip("draws by position")
    rng = np.random.default_rng(0)
    shuffled = [relabelled(labelled, rng.permutation(N_GENES)) for labelled in screen()]
    other = trials.load(trainable).fitted(trials.fit(trials.load(trainable), shuffled))
    task = perturbation(3, seed=5).task
    assert_equal(trained.predict_outputs(task), other.predict_outputs(task), rtol=1e-5)


def test_relabelling_permutes_the_scores(trained):
    labelled = perturbation(3, seed=5)
    order = np.random.default_rng(1).permutation(N_GENES)
    moved = relabelled(labelled, order)
    moved = dataclasses.replace(moved, task=dataclasses.replace(moved.task, metadata={}))
    scores, permuted = trained.predict_outputs(labelled.task), trained.predict_outputs(moved.task)
    assert_equal({v: s[:, order] for v, s in scores.items()}, permuted, rtol=1e-5)


def test_genes_that_training_never_had(trained):
    """Some new genes: a score or NaN for each, and numbers for some of those that are known."""
    labels = names(N_GENES)
    labels[-3:] = ["new1", "new2", "new3"]
    outputs = outputs_or_reason(trained, perturbation(3, seed=5, genes=labels).task)
    assert outputs is not None
    for variant, scores in outputs.items():
        assert np.isfinite(scores[0, :N_TARGETED]).any(), variant


def test_only_genes_that_training_never_had(trained):
    """A reason, or scores that the data of the task alone give; never one that the names give."""
    one, other = (
        outputs_or_reason(trained, perturbation(3, seed=5, genes=labels).task)
        for labels in ([f"p{i}" for i in range(N_GENES)], [f"q{i}" for i in range(N_GENES)])
    )
    assert_equal(one, other, rtol=1e-5)


def test_one_training_perturbation(trainable, trials: Trials):
    """It is enough, or there is a reason why it is not."""
    method = trials.load(trainable)
    try:
        model = trials.fit(method, screen()[:1])
    except CannotRun as reason:
        assert len(str(reason)) > 10
        return
    outputs_or_reason(method.fitted(model), perturbation(0, seed=5).task)


def test_one_cluster_of_training_perturbations(trainable, trials: Trials):
    """Two perturbations of the same cluster leave nothing whole to hold out."""
    method = trials.load(trainable)
    model = trials.fit(method, screen()[:2])
    assert outputs_or_reason(method.fitted(model), perturbation(0, seed=5).task) is not None


def test_tasks_with_and_without_a_gene(trainable, trials: Trials):
    """Cell lines that measured different genes are trained on together."""
    method = trials.load(trainable)

    def without(labelled: LabelledTask, gene: int) -> LabelledTask:
        kept = [i for i in range(N_GENES) if i != gene]
        task = labelled.task
        smaller = dataclasses.replace(
            task,
            variables=[task.variables[i] for i in kept],
            symbols=[task.variables[i] for i in kept],
            observational=task.observational[:, kept],
            regimes=[x[:, kept] for x in task.regimes],
            candidates=None,
        )
        targets = labelled.targets[:, kept]
        return LabelledTask(task=smaller, targets=targets, facts=labelled.facts)

    tasks = [
        without(labelled, N_GENES - 1) if labelled.task.metadata["cell_line"] == "B" else labelled
        for labelled in screen()
    ]
    fitted = method.fitted(trials.fit(method, tasks))
    assert outputs_or_reason(fitted, perturbation(3, seed=5).task) is not None


def test_fit_leaves_its_tasks_alone(trainable, trials: Trials):
    tasks = screen()[:4]
    before = [labelled.task.content_hash for labelled in tasks]
    trials.fit(trials.load(trainable), tasks)
    assert [labelled.task.content_hash for labelled in tasks] == before


def test_fit_leaves_global_state_alone(trainable, trials: Trials, trained, global_state):
    before = global_state()
    trials.fit(trials.load(trainable), screen()[:6])
    assert global_state() == before


def test_it_finds_a_knock_down_again(trained):
    """New cells of perturbations that it was trained on: the target comes before most genes."""
    if not trained.info.trial.finds_target:
        pytest.skip("declares that its trial is too short")
    for variant in trained.info.variants or ("",):
        ranks = []
        for gene in range(0, N_TARGETED, 2):
            scores = trained.predict_outputs(perturbation(gene, "B", seed=5).task)[variant][0]
            ranks.append(np.sum(scores[:N_TARGETED] > scores[gene]) / (N_TARGETED - 1))
        assert np.mean(ranks) < 0.25, f"{variant}: {ranks}"
