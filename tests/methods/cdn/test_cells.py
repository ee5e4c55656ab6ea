"""Fine-tuning on labelled perturbations, and the stack."""

from __future__ import annotations

import numpy as np
import pytest

from cdnbench import LabelledTask, Task, load_method
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.methods.cdn import cells as c
from cdnbench.methods.cdn import conditional_logit as logit
from cdnbench.methods.cdn import fine_tuning as f

N = 12
GENES = [f"G{i:02d}" for i in range(N)]
SMALL = {"sampled": 6, "epochs": 2, "learning_rate": 5e-4}


def labelled(seed: int, *, cluster: int | None = None, n_targets: int = 1) -> LabelledTask:
    """The targets fall; other genes rise more than they fall, which only training can tell from an
    effect on a target."""
    rng = np.random.default_rng(seed)
    targets = np.isin(np.arange(N), rng.choice(N, n_targets, replace=False))
    others = rng.permutation(np.flatnonzero(~targets))[:4]
    controls, cells = rng.normal(size=(150, N)), rng.normal(size=(60, N))
    cells[:, targets] -= 1.0
    cells[:, others] += 1.5
    task = Task(name="t", variables=GENES, symbols=GENES, observational=controls, regimes=[cells])
    return LabelledTask(
        task=task, targets=targets[None], facts={"cluster": seed if cluster is None else cluster}
    )


@pytest.fixture(scope="module")
def fitted():
    method = load_method("cdn-cells", **SMALL)
    return method.fitted(method.fit([labelled(seed) for seed in range(24)]))


def test_it_learns_what_pretraining_could_not(fitted):
    """Before, genes that rose come first; afterwards the one that fell does."""
    tests = [labelled(seed) for seed in range(100, 110)]
    after = np.mean(
        [fitted.predict_targets(t.task)[0].argmax() == t.targets[0].argmax() for t in tests]
    )
    before = np.mean(
        [
            load_method("cdn").predict_targets(t.task)[0].argmax() == t.targets[0].argmax()
            for t in tests
        ]
    )
    assert before < 0.7 < 0.9 <= after


def test_the_stack_is_linear_in_its_parts(fitted):
    task = labelled(200).task
    outputs = fitted.predict_outputs(task)
    parts = np.concatenate(
        [outputs["network"][..., None], c.shift_scores(task.observational, task.regimes)], axis=-1
    )
    np.testing.assert_allclose(outputs["stack"], parts @ fitted.method.model["stack"])
    down, shift = (
        load_method(name).predict_targets(task) for name in ("target-shift-down", "target-shift")
    )
    np.testing.assert_allclose(
        c.shift_scores(task.observational, task.regimes),
        np.arcsinh(np.stack([down, shift], axis=-1)),
    )


def test_the_order_of_genes_changes_nothing(fitted):
    task = labelled(201).task
    order = np.random.default_rng(0).permutation(N)
    other = Task(
        name="t", variables=[f"x{i}" for i in range(N)], symbols=[GENES[i] for i in order],
        observational=task.observational[:, order], regimes=[task.regimes[0][:, order]],
    )  # fmt: skip
    for variant, scores in fitted.predict_outputs(task).items():
        np.testing.assert_allclose(
            fitted.predict_outputs(other)[variant], scores[:, order], atol=1e-5
        )


def test_a_fit_is_repeatable():
    method = load_method("cdn-cells", **{**SMALL, "epochs": 1})
    tasks = [labelled(seed, n_targets=1 + seed % 2) for seed in range(4)]
    first, second = (method.fit(tasks, seed=3) for _ in range(2))
    for name, array in first.items():
        np.testing.assert_allclose(second[name], array, rtol=1e-4, atol=1e-6)


def test_small_panels_give_all_they_have():
    whole = [labelled(seed) for seed in range(5)]
    part = [labelled(seed) for seed in range(5, 8)]
    for one in part:
        kept = np.sort(
            np.concatenate([np.flatnonzero(one.targets[0]), np.flatnonzero(~one.targets[0])[:8]])
        )
        task = Task(
            name="t", variables=[GENES[i] for i in kept], symbols=[GENES[i] for i in kept],
            observational=one.task.observational[:, kept], regimes=[one.task.regimes[0][:, kept]],
        )  # fmt: skip
        whole.append(LabelledTask(task=task, targets=one.targets[:, kept], facts=one.facts))
    method = load_method("cdn-cells", sampled=64, epochs=1)
    views, _ = method.method._views(whole, np.random.default_rng(0))
    assert [len(view.targets) for view in views] == [12] * 5 + [9] * 3
    assert list(f._batches(views, [7, 0, 1, 5, 2, 3, 6, 4], 2)) == [
        [0, 1],
        [7, 5],
        [2, 3],
        [6],
        [4],
    ]
    scores = method.fitted(method.fit(whole)).predict_targets(whole[-1].task)
    assert scores.shape == (1, 9) and np.isfinite(scores).all()


def test_conditional_logit_is_the_optimum():
    """Against a grid of the same penalised likelihood, in units of the features' spread."""
    rng = np.random.default_rng(0)
    features, targets = [], []
    for _ in range(200):
        f = rng.normal(size=(8, 1)) * 3
        p = np.exp(0.5 * f[:, 0])
        features.append(f)
        targets.append(np.arange(8) == rng.choice(8, p=p / p.sum()))
    found = logit.conditional_logit(features, targets)
    spread = np.std(np.concatenate([f - f.mean(axis=0) for f in features]))

    def penalised(b: float) -> float:
        logs = [
            f[t, 0][0] * b - np.log(np.exp(b * f[:, 0]).sum())
            for f, t in zip(features, targets, strict=True)
        ]
        return sum(logs) - 0.5 * logit.PENALTY * (b * spread) ** 2

    grid = np.linspace(0.3, 0.7, 401)
    assert found[0] == pytest.approx(grid[np.argmax([penalised(b) for b in grid])], abs=2e-3)


def test_no_cluster_is_on_both_sides():
    clusters = [f"a/{i % 7}" for i in range(50)]
    training, validation = f.split_by_cluster(
        list(zip(clusters, range(50), strict=True)), clusters, np.random.default_rng(0)
    )  # type: ignore[arg-type]
    assert (
        not {v[0] for v in training} & {v[0] for v in validation}
        and len(training) + len(validation) == 50
    )
    training, validation = f.split_by_cluster([1, 2, 3], ["a"] * 3, np.random.default_rng(0))  # type: ignore[list-item]
    assert training and validation


def test_what_cannot_be_trained_says_why():
    method = load_method("cdn-cells", **SMALL)
    with pytest.raises(CannotRun, match="two training perturbations"):
        method.fit([labelled(0)])
    with pytest.raises(CannotRun, match="sampled=2 leaves no other candidate"):
        load_method("cdn-cells", sampled=2).fit([labelled(0, n_targets=2), labelled(1)])
    with pytest.raises(CannotRun, match="fitted first"):
        method.predict_targets(labelled(0).task)
    for wrong in ({"epochs": 0}, {"sampled": 1}, {"learning_rate": 0}):
        with pytest.raises(InvalidParameter, match=next(iter(wrong))):
            load_method("cdn-cells", **wrong)
