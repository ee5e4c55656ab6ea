"""`cdn-axial-cells` and `cdn-mlp-cells`: fine-tuning of the paper's heads, on small networks and
few genes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cdnbench import LabelledTask, Task
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.methods.cdn.paper import fine_tuning as f
from cdnbench.methods.cdn.paper.aggregator import EncoderConfig
from cdnbench.methods.cdn.paper.cells import CDNAxialCells, CDNMLPCells
from cdnbench.methods.cdn.paper.differential import (
    DifferentialConfig,
    DifferentialNetwork,
    Encoded,
    target_loss,
)
from cdnbench.methods.cdn.paper.methods import CDNMLP, CDNAxial
from cdnbench.methods.cdn.weights import save_weights

N = 8
GENES = [f"G{i}" for i in range(N)]
ENCODER = EncoderConfig(width=16, n_heads=4, batch_heads=2, n_blocks=1, hidden=24, statistic="corr")
CONFIGS = {
    "axial": DifferentialConfig(encoder=ENCODER, hidden=32),
    "mlp": DifferentialConfig(encoder=ENCODER, head="mlp"),
    "precision": DifferentialConfig(encoder=replace(ENCODER, statistic="precision"), head="mlp"),
}
FAST = {"n_batches": 6, "learning_rate": 3e-3, "epochs": 12}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Paths of weights as they were drawn. Those of "blank" networks have a last layer of zeros:
    all their scores are equal. Those of "tuned" say that they were fine-tuned."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {name: DifferentialNetwork(config) for name, config in CONFIGS.items()}
    paths = {}
    for name, network in networks.items():
        paths[name] = str(folder / f"{name}.safetensors")
        card = {"model": f"cdn-{network.config.head}", "config": network.config.plain()}
        save_weights(folder / f"{name}.safetensors", network.state_dict(), card)
        paths[f"blank {name}"] = str(folder / f"blank {name}.safetensors")
        blank = network.state_dict() | {"out.weight": torch.zeros_like(network.out.weight)}
        save_weights(folder / f"blank {name}.safetensors", blank, card)
    tuned = {**card, "fine_tuned": {"origins": ["one", "two"], "cell_lines": ["a"]}}
    save_weights(folder / "tuned.safetensors", network.state_dict(), tuned)
    return {**paths, "tuned": str(folder / "tuned.safetensors")}


def labelled(seed: int, *, n: int = N, cluster: int | None = None, **parts) -> LabelledTask:
    """All genes follow one factor, which the target no longer does after the intervention."""
    rng = np.random.default_rng(seed)
    targets = np.arange(n) == rng.integers(n)
    sides = []
    for rows, cut in ((150, False), (80, True)):
        own, factor = rng.normal(size=(rows, n)), rng.normal(size=(rows, 1))
        sides.append(own + np.where(targets & cut, 0.0, 2.0) * factor)
    task = Task(
        name="t", variables=GENES[:n], symbols=GENES[:n], observational=sides[0],
        regimes=[sides[1]], **parts,
    )  # fmt: skip
    return LabelledTask(
        task=task, targets=targets[None], facts={"cluster": seed if cluster is None else cluster}
    )


def screen(n_tasks: int = 24) -> list[LabelledTask]:
    return [labelled(seed, n=N - seed % 2) for seed in range(n_tasks)]


METHODS = pytest.mark.parametrize(
    "cls, name", [(CDNAxialCells, "axial"), (CDNMLPCells, "mlp")], ids=["axial", "mlp"]
)


@pytest.fixture(scope="module")
def fits(saved):
    made = {}
    for cls, name in ((CDNAxialCells, "axial"), (CDNMLPCells, "mlp")):
        method = cls(weights=saved[f"blank {name}"], **FAST)
        made[name] = method, method.fit(screen(40))
    return made


@METHODS
def test_a_fit_improves_on_what_it_started_from(fits, saved, cls, name):
    method, model = fits[name]
    course = model["validation_auroc"]
    assert course[0] == 0.5 and course.max() > 0.8
    tests = [labelled(seed) for seed in range(100, 120)]
    untrained = {"axial": CDNAxial, "mlp": CDNMLP}[name](
        weights=saved[f"blank {name}"], n_batches=6
    )

    def hits(of) -> float:
        found = [of.predict_targets(t.task)[0].argmax() == t.targets[0].argmax() for t in tests]
        return float(np.mean(found))

    assert hits(untrained) < 0.4 < 0.7 < hits(method.fitted(model))


@METHODS
def test_the_encoder_stays_as_it_is(fits, cls, name):
    method, model = fits[name]
    before = method._network().state_dict()
    learnt = {n.removeprefix("head/") for n in model if n.startswith("head/")}
    frozen = {n for n in before if n.startswith(("encoder.", "graph_head."))}
    assert learnt == before.keys() - frozen and frozen
    assert all(np.any(model[f"head/{n}"] != before[n].numpy()) for n in learnt)


@METHODS
def test_a_fit_is_repeatable_and_depends_on_its_seed(saved, cls, name):
    method = cls(weights=saved[f"blank {name}"], **{**FAST, "epochs": 2})
    state = torch.get_rng_state()
    first, second, other = (method.fit(screen(8), seed=seed) for seed in (3, 3, 4))
    assert torch.equal(state, torch.get_rng_state())
    for part, array in first.items():
        np.testing.assert_array_equal(second[part], array)
    assert any(np.any(other[part] != array) for part, array in first.items())


def test_the_order_of_genes_changes_nothing(fits):
    method, model = fits["axial"]
    task, order = labelled(201).task, np.random.default_rng(0).permutation(N)
    moved = Task(
        name="t", variables=[f"x{i}" for i in range(N)], observational=task.observational[:, order],
        regimes=[task.regimes[0][:, order]],
    )  # fmt: skip
    fitted = method.fitted(model)
    np.testing.assert_allclose(
        fitted.predict_targets(moved), fitted.predict_targets(task)[:, order], atol=1e-5
    )


def scripted(monkeypatch, values: list[float]) -> list[dict[str, torch.Tensor]]:
    """Let validation find these values, and keep the heads that it saw."""
    heads, left = [], iter(values)

    def found(network, *rest) -> float:
        heads.append({n: p.detach().clone() for n, p in f.head_parameters(network).items()})
        return next(left)

    monkeypatch.setattr(f, "validation_auroc", found)
    return heads


def test_it_keeps_the_best_epoch_and_stops_by_patience(saved, monkeypatch):
    values = [0.5, 0.6, 0.55, 0.7, 0.7, 0.69, 0.71]
    heads = scripted(monkeypatch, values)
    model = CDNMLPCells(weights=saved["mlp"], n_batches=3, patience=2).fit(screen(6))
    np.testing.assert_array_equal(model["validation_auroc"], values[:6])  # as good is no better
    for name, tensor in heads[3].items():
        np.testing.assert_array_equal(model[f"head/{name}"], tensor.numpy())
    assert any(not torch.equal(heads[5][name], tensor) for name, tensor in heads[3].items())


def test_what_it_started_from_may_be_the_best(saved, monkeypatch):
    heads = scripted(monkeypatch, [0.9, 0.8, 0.8])
    model = CDNMLPCells(weights=saved["mlp"], n_batches=3, epochs=2).fit(screen(6))
    assert len(model["validation_auroc"]) == 3
    for name, tensor in heads[0].items():
        np.testing.assert_array_equal(model[f"head/{name}"], tensor.numpy())


def test_a_step_is_that_of_the_batch_as_a_whole(saved, monkeypatch):
    """Two perturbations of one size, one after the other, against both at once."""
    method = CDNMLPCells(weights=saved["mlp"], n_batches=4, epochs=1, learning_rate=1e-2)
    tasks = [labelled(0), labelled(1)]
    network, other = method._network(), method._network()
    kept, perturbations = f.encode_all(method, network, tasks, 0)
    scripted(monkeypatch, [0.1, 0.2])
    f.fine_tune(method, network, kept, perturbations, [], np.random.default_rng(0))
    sides = [
        [kept.get(getattr(p, side), "cpu") for p in perturbations] for side in ("before", "after")
    ]
    before, after = (
        Encoded(torch.cat([x.grid for x in s]), torch.cat([x.moments for x in s])) for s in sides
    )
    targets = torch.from_numpy(np.stack([p.targets for p in perturbations]))
    target_loss(other.train()(before, after), targets).backward()
    parameters = f.head_parameters(other)
    torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
    torch.optim.AdamW(parameters.values(), lr=1e-2, weight_decay=0.0).step()
    for name, p in f.head_parameters(network).items():
        torch.testing.assert_close(p, parameters[name], rtol=1e-3, atol=1e-5)


def test_only_candidates_count(saved):
    """What is no candidate changes neither the loss nor the AUROC."""
    method = CDNMLPCells(weights=saved["mlp"], n_batches=4)
    network = method._network()
    whole = labelled(0)
    some = np.ones((1, N), bool)
    some[0, np.flatnonzero(~whole.targets[0])[:3]] = False
    part = LabelledTask(
        task=replace(whole.task, candidates=some), targets=whole.targets, facts=whole.facts
    )
    kept, (p,) = f.encode_all(method, network, [part], 0)
    logits = network(kept.get(p.before, "cpu"), kept.get(p.after, "cpu"))[0].detach().numpy()
    chosen, won = logits[p.candidates], p.targets[p.candidates]
    signs = np.where(won, -1.0, 1.0)
    expected = np.logaddexp(0, signs * chosen).mean()
    assert f._loss(network, kept, p, "cpu").item() == pytest.approx(expected, rel=1e-5)
    above = (chosen[won] > chosen[~won]).mean()
    assert f.validation_auroc(network, kept, [p], "cpu") == pytest.approx(above)


def test_encodings_are_those_of_a_prediction(saved):
    """A head that was not trained scores as `cdn-mlp` does, whatever the order of the genes."""
    method = CDNMLPCells(weights=saved["mlp"], n_batches=4)
    network, task = method._network(), labelled(5).task
    kept, (p,) = f.encode_all(method, network, [labelled(5)], 0)
    logits = network(kept.get(p.before, "cpu"), kept.get(p.after, "cpu"))[0].detach().numpy()
    scores = CDNMLP(weights=saved["mlp"], n_batches=4).predict_targets(task)[0]
    np.testing.assert_allclose(np.sort(logits), np.sort(scores), rtol=1e-5)
    assert scores[labelled(5).targets[0]] == pytest.approx(logits[p.targets], rel=1e-5)


def test_encodings_beyond_the_memory_are_read_from_a_file():
    kept, draws = f.Encodings(limit=9 * 9 * 4 * 4), np.random.default_rng(0)
    grids = [
        torch.from_numpy(draws.normal(size=(1, n, n, 4)).astype(np.float32)) for n in (9, 5, 7)
    ]
    numbers = [kept.add(Encoded(grid, torch.full((1, 2), i))) for i, grid in enumerate(grids)]
    assert kept._used == 9 * 9 * 4 and kept._file is not None
    for i in (2, 0, 1, 2):
        found = kept.get(numbers[i], "cpu")
        assert torch.equal(found.grid, grids[i]) and found.moments[0, 0] == i


def test_no_cluster_is_on_both_sides(saved):
    perturbations = [f.Perturbation(i, i, None, None, f"a/{i % 7}") for i in range(50)]  # type: ignore[arg-type]
    training, validation = f.split_by_cluster(perturbations, "m", np.random.default_rng(0))
    assert not {p.cluster for p in training} & {p.cluster for p in validation}
    assert len(training) + len(validation) == 50
    one = [replace(p, cluster="a") for p in perturbations[:3]]
    assert all(f.split_by_cluster(one, "m", np.random.default_rng(0)))


def test_the_weights_and_their_statistic_are_chosen_by_name(saved):
    digests = [CDNMLPCells(weights=saved[name]).weights_digest() for name in ("mlp", "precision")]
    assert digests[0] != digests[1]
    for name, statistic in (("mlp", "corr"), ("precision", "precision")):
        network = CDNMLPCells(weights=saved[name])._network()
        assert network.config.encoder.statistic == statistic
    assert CDNMLPCells(weights=saved["tuned"]).trained_origins() == {"one", "two"}
    assert CDNMLPCells(weights=saved["mlp"]).trained_origins() == frozenset()
    with pytest.raises(InvalidParameter, match="holds cdn-axial"):
        CDNMLPCells(weights=saved["axial"]).fit(screen(3))


def test_what_cannot_be_trained_says_why(saved):
    method = CDNMLPCells(weights=saved["mlp"], n_batches=3)
    with pytest.raises(CannotRun, match="cdn-mlp-cells needs at least two training perturbations"):
        method.fit(screen(1))
    with pytest.raises(CannotRun, match="fitted first"):
        method.predict_targets(labelled(0).task)
    silent = replace(labelled(0), targets=np.zeros((1, N), bool))
    with pytest.raises(CannotRun, match="0 targets among 8 candidates"):
        method.fit([silent, labelled(1)])
    for wrong in ("n_batches", "epochs", "batch", "learning_rate", "patience"):
        with pytest.raises(InvalidParameter, match=f"cdn-axial-cells: {wrong} is positive"):
            CDNAxialCells(**{wrong: 0})
