"""The baselines that read expression of genes."""

import numpy as np
import pytest

from cdnbench import LabelledTask, Task, load_method
from cdnbench.errors import CannotRun, InvalidParameter


def task(**changes) -> Task:
    """Three genes: the first falls to a quarter, the second doubles, the third is not expressed."""
    rng = np.random.default_rng(0)

    def cells(means):
        return np.log1p(rng.poisson(np.broadcast_to(means, (4000, 3)))).astype(np.float32)

    fields = {
        "name": "cells", "variables": ["A", "B", "C"], "symbols": ["A", "B", "C"],
        "observational": cells([8.0, 4.0, 0.0]), "regimes": [cells([2.0, 8.0, 0.0])],
    }  # fmt: skip
    return Task(**{**fields, **changes})


def test_lfc_rank():
    t = task()
    outputs = load_method("lfc-rank", pseudo=1e-9).predict_outputs(t)
    mean = [np.expm1(x.mean(0, dtype=float)) for x in (t.observational, t.regimes[0])]
    np.testing.assert_allclose(
        outputs["down"][0, :2], np.log2(mean[0][:2] / mean[1][:2]), rtol=1e-6
    )
    np.testing.assert_array_equal(outputs["size"], np.abs(outputs["down"]))
    assert (
        outputs["size"][0, 2] == 0
        and load_method("lfc-rank-down").predict_targets(t)[0].argmax() == 0
    )


def test_target_shift_down_is_the_signed_shift():
    scores = load_method("target-shift-down").predict_targets(task())[0]
    assert scores[0] > 10 and scores[1] < -10 and scores[2] == 0


def test_control_mean_does_not_look_at_the_perturbed_cells():
    t = task()
    other = task(observational=t.observational, regimes=[t.regimes[0] + 1])
    first, second = (load_method("control-mean").predict_targets(x) for x in (t, other))
    np.testing.assert_array_equal(first, second)
    assert first[0].argmax() == 0


@pytest.mark.parametrize("name", ["lfc-rank", "target-shift-down", "control-mean"])
def test_they_decline_what_are_no_genes(name):
    with pytest.raises(CannotRun, match="needs genes"):
        load_method(name).predict_targets(task(symbols=None))


def labelled(target: int, seed: int, genes="ABCDEFGH") -> LabelledTask:
    """Knocking gene t down lowers it and the next two; gene H always rises."""
    rng = np.random.default_rng(seed)
    mean = np.full(len(genes), 5.0)
    before = rng.normal(mean, 1, (300, len(genes)))
    mean[-1] += 3
    mean[[target, target + 1, target + 2]] -= (1.0, 1.5, 2.0)
    task = Task(
        name="t", variables=list(genes), symbols=list(genes), observational=before,
        regimes=[rng.normal(mean, 1, (200, len(genes)))],
    )  # fmt: skip
    return LabelledTask(task=task, targets=[np.arange(len(genes)) == target])


TRAINING = [labelled(t, t) for t in (0, 1, 2, 3)]


@pytest.mark.parametrize("name", ["nearest-profile", "linear", "centred-shift"])
def test_what_is_learnt_helps(name):
    method = load_method(name)
    model = method.fit(TRAINING)
    assert all(isinstance(a, np.ndarray) and a.dtype != object for a in model.values())
    fitted = method.fitted(model)
    for target in (0, 1, 2, 3):
        test = labelled(target, 100 + target).task
        scores = fitted.predict_targets(test)[0]
        if name == "centred-shift":
            plain = load_method("target-shift").predict_targets(test)[0]
            assert scores[-1] < 5 < plain[-1]  # what moves in all of them no longer counts
        else:
            assert np.nanargmax(scores) == target
        reordered = test.select(np.arange(8)[::-1])
        np.testing.assert_allclose(fitted.predict_targets(reordered)[0][::-1], scores, rtol=1e-9)


def test_nearest_profile_has_no_score_for_what_was_never_targeted():
    method = load_method("nearest-profile")
    scores = method.fitted(method.fit(TRAINING)).predict_targets(labelled(0, 9).task)[0]
    assert np.isnan(scores).tolist() == [False] * 4 + [True] * 4


def test_linear_is_ridge_regression():
    from sklearn.linear_model import Ridge

    method = load_method("linear", penalty=0.3)
    scores = method.fitted(method.fit(TRAINING)).predict_targets(labelled(1, 7).task)[0]

    def unit(task):
        d = task.regimes[0].mean(0, dtype=float) - task.observational.mean(0, dtype=float)
        return d / np.linalg.norm(d)

    ridge = Ridge(alpha=0.3, fit_intercept=False)
    ridge.fit([unit(t.task) for t in TRAINING], [t.targets[0].astype(float) for t in TRAINING])
    expected = ridge.predict([unit(labelled(1, 7).task)])[0]
    np.testing.assert_allclose(scores[:4], expected[:4], atol=1e-6)
    assert np.isnan(scores[4:]).all()  # never targeted


def test_mlp_learns_which_gene_was_the_target():
    training = [labelled(t, 10 * k + t) for k in range(12) for t in range(4)]
    method = load_method("mlp", hidden=32, epochs=200)
    model = method.fit(training, seed=0)
    same = method.fit(training, seed=0)
    assert all(np.array_equal(model[name], same[name]) for name in model)
    fitted = method.fitted(model)
    for target in range(4):
        scores = fitted.predict_targets(labelled(target, 500 + target).task)[0]
        assert (
            scores[:4].argmax() == target
            and scores[:4].sum() == pytest.approx(1)
            and np.isnan(scores[4:]).all()
        )
    with pytest.raises(CannotRun, match="at least two"):
        method.fit(training[:1])


@pytest.mark.parametrize("name", ["nearest-profile", "linear", "mlp", "centred-shift"])
def test_genes_that_training_lacks_do_no_harm(name):
    method = load_method(name)
    fitted = method.fitted(method.fit(TRAINING))
    scores = fitted.predict_targets(labelled(0, 5, genes="ABCDXYZW").task)[0]
    assert np.isfinite(scores[:4]).all() and (np.isnan(scores[4:]).all() or name == "centred-shift")
    if name != "centred-shift":
        with pytest.raises(CannotRun, match="was a target in training"):
            fitted.predict_targets(labelled(0, 5, genes="STUVWXYZ").task)
    with pytest.raises(CannotRun, match="has to be fitted"):
        method.predict_targets(labelled(0, 5).task)


def test_a_pseudo_count_of_zero_is_refused():
    with pytest.raises(InvalidParameter, match="pseudo is positive"):
        load_method("lfc-rank", pseudo=0.0)


def test_a_gene_that_never_varies_says_nothing_to_centred_shift():
    """It moved in training, so that it deviates from what is usual, with no error to measure that
    by."""
    method = load_method("centred-shift")
    model = method.fit(TRAINING)
    t = labelled(2, 50).task
    observational, regime = np.array(t.observational), np.array(t.regimes[0])
    observational[:, -1] = regime[:, -1] = 5.0
    still = Task(
        name="t",
        variables=t.variables,
        symbols=t.symbols,
        observational=observational,
        regimes=[regime],
    )
    scores = method.fitted(model).predict_targets(still)[0]
    assert scores[-1] == 0 and scores.max() < 100
