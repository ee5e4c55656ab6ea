"""The network that reads forms: equivariant, free of units, able to be silent, screened where
there are many variables."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from cdnbench.datasets.worlds import WIDE, Laws, batch
from cdnbench.digest import generator
from cdnbench.errors import CannotRun
from cdnbench.methods.cdn.evidence import N_EVIDENCE, OF_FORM, evidence
from cdnbench.methods.cdn.forms import forms
from cdnbench.methods.cdn.forms_network import (
    Beliefs,
    FormsNetwork,
    FormsShape,
    build,
    first_place,
    loss,
    read,
    stack,
)
from cdnbench.methods.cdn.network import Shape
from cdnbench.methods.cdn.screening import scores
from cdnbench.task import Task

SMALL = Shape(d=8, c=16, heads=2, paths=2, stages=(1, 1))


@pytest.fixture(scope="module")
def network() -> FormsNetwork:
    torch.manual_seed(0)
    made = FormsNetwork(SMALL)
    with torch.no_grad():  # weights that start at zero would hide what they multiply
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made.eval()


def task(step=0, laws=WIDE) -> Task:
    return batch(laws, 23, step, cells=1500)[0].task


def changed(task: Task, *, columns=None, regimes=None, factor=None) -> Task:
    columns = np.arange(task.n_variables) if columns is None else columns
    regimes = np.arange(task.n_regimes) if regimes is None else regimes
    factor = np.ones(task.n_variables) if factor is None else factor
    return Task(
        name="changed",
        variables=[task.variables[c] for c in columns],
        observational=(task.observational.astype(float) * factor)[:, columns],
        regimes=[(task.regimes[r].astype(float) * factor)[:, columns] for r in regimes],
    )


def test_permutations_of_variables_and_regimes_permute_the_scores(network):
    for step in range(3):
        given = task(step)
        columns = generator(1, step).permutation(given.n_variables)
        regimes = generator(2, step).permutation(given.n_regimes)
        expected = scores(network, given)[regimes][:, columns]
        found = scores(network, changed(given, columns=columns, regimes=regimes))
        assert np.allclose(found, expected, atol=2e-3)


def test_units_mean_nothing(network):
    for step in range(4):
        given = task(step)
        # Powers of two change no digit of a float32.
        factor = 2.0 ** generator(3, step).integers(-8, 9, given.n_variables)
        assert np.allclose(
            scores(network, changed(given, factor=factor)), scores(network, given), atol=1e-4
        )


def test_few_rows_many_variables_and_constant_columns_give_finite_scores(network):
    stream = generator("few")
    wide = Task(
        name="wide",
        variables=[f"g{i}" for i in range(5000)],
        observational=stream.normal(size=(4, 5000)),
        regimes=[stream.normal(size=(3, 5000))],
    )
    found = scores(network, wide, most=50)
    assert found.shape == (1, 5000) and np.isfinite(found).all()
    constant = changed(task(1), factor=None)
    still = Task(
        name="still",
        variables=constant.variables,
        observational=np.where(np.arange(constant.n_variables) < 2, 1.0, constant.observational),
        regimes=constant.regimes,
    )
    assert np.isfinite(scores(network, still)).all()


def test_screened_variables_stay_below_those_that_entered_the_grid(network):
    given = task(2, Laws(sizes=((40, 40),), regimes=(3, 3)))
    found = scores(network, given, most=10)
    whole = scores(network, given, most=40)
    assert found.shape == whole.shape
    for few, r in zip(found, range(given.n_regimes), strict=True):
        reading = read([given.observational, *given.regimes])
        with torch.inference_mode():
            _, first = network.screen(reading.evidence)
        entered = np.zeros(40, bool)
        entered[first.among[0, r].topk(10).indices.numpy()] = True
        assert few[~entered].max() <= few[entered].min() + 1e-6


def test_a_regime_alone_is_screened_as_it_is_read(network):
    """Where everything enters, screening of one regime gives what reading it gives."""
    given = task(4, Laws(sizes=((12, 12),), regimes=(1, 1)))
    from cdnbench.methods.cdn import screening
    from cdnbench.methods.cdn.evidence import evidence
    from cdnbench.methods.cdn.forms import forms

    made = forms([given.observational, *given.regimes])
    with torch.inference_mode():
        states, first = network.screen(torch.from_numpy(evidence(made))[None])
        by_screening = screening._screened(network, made, states, first, 12)
    assert np.allclose(by_screening.numpy(), scores(network, given), atol=1e-4)


def test_scores_are_the_logit_of_the_product_of_both_probabilities():
    moved, among = torch.tensor([[-3.0, 0.5]]), torch.randn(1, 2, 5)
    logits = Beliefs(moved, among, None).targets
    product = torch.sigmoid(moved)[..., None] * torch.sigmoid(among)
    assert torch.allclose(torch.sigmoid(logits), product, atol=1e-6)
    assert (logits.argsort(-1) == among.argsort(-1)).all()
    assert (logits[0, 0] < -2.9).all()  # silence silences everything


def test_first_place_is_a_softmax_against_everything_that_is_no_target():
    among = torch.tensor([[[1.0, 2.0, 0.0]]])
    targets = torch.tensor([[[True, True, False]]])
    expected = np.mean([np.log1p(np.exp(-1.0)), np.log1p(np.exp(-2.0))])
    assert float(first_place(among, targets)) == pytest.approx(expected, rel=1e-5)
    assert float(first_place(among, ~targets & targets)) == 0


def test_training_lowers_the_loss_and_reaches_every_parameter():
    torch.manual_seed(1)
    network = FormsNetwork(SMALL)
    examples = batch(
        Laws(sizes=((8, 8),), regimes=(4, 4), hidden=0.0, confounded=0.0), 5, 0, cells=1000
    )
    reading = stack([read([e.task.observational, *e.task.regimes]) for e in examples])
    targets = torch.from_numpy(np.stack([e.targets for e in examples]))
    adjacency = torch.from_numpy(np.stack([e.adjacency for e in examples]))
    known = torch.tensor([e.graph_known for e in examples])
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        value, parts = loss(network(reading), targets, adjacency, known)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        losses.append(float(value.detach()))
    assert losses[-1] < 0.9 * losses[0]
    assert set(parts) == {"edges", "targets", "moved", "place"}
    without = [name for name, p in network.named_parameters() if p.grad is None]
    assert not without


def test_a_network_is_built_from_its_card(network):
    config = {"d": 8, "c": 16, "heads": 2, "paths": 2, "stages": [1, 1]}
    build(config).load_state_dict(network.state_dict())


def test_cards_of_full_networks_say_what_they_always_said():
    assert FormsShape(**asdict(SMALL)).plain() == asdict(SMALL)
    assert build(asdict(SMALL)).shape == FormsShape(**asdict(SMALL))
    assert "seen" not in build(asdict(SMALL)).state_dict()
    less = FormsShape(**asdict(SMALL), forms=("score",), contexts=False)
    assert build({**less.plain(), "stages": [1, 1], "forms": ["score"]}).shape == less
    with pytest.raises(ValueError, match="at least one"):
        FormsShape(forms=())


@pytest.mark.parametrize("form", ["level", "score"])
def test_statistics_of_a_form_change_with_it_alone(form):
    given = task(2)
    made = forms([given.observational, *given.regimes])
    parts = ("level", "bent") if form == "level" else ("score",)
    doubled = replace(made, **{part: 2 * getattr(made, part) for part in parts})
    moved = np.abs(evidence(doubled) - evidence(made)).max((0, 1)) > 1e-4
    assert moved.any() and set(np.flatnonzero(moved)) <= set(OF_FORM[form])


@pytest.mark.parametrize(
    "change",
    [{"forms": ("level",)}, {"forms": ("score",)}, {"evidence": False}, {"contexts": False}],
)
def test_variants_score_every_variable_and_learn(change):
    torch.manual_seed(0)
    network = FormsNetwork(FormsShape(**asdict(SMALL), **change)).eval()
    given = task(1)
    assert np.isfinite(scores(network, given)).all()
    seen = network.shape.forms
    reading = read([given.observational, *given.regimes], seen=seen)
    assert len(reading.summaries) == len(seen)
    sum(belief.targets.sum() for belief in network(reading)).backward()
    gradient = network.evidence[0].weight.grad.abs().sum(0)
    hidden = {c for form in {"level", "score"} - set(seen) for c in OF_FORM[form]}
    hidden = set(range(N_EVIDENCE)) if not network.shape.evidence else hidden
    assert all((gradient[c] == 0) == (c in hidden) for c in hidden)


def test_without_evidence_nothing_is_screened():
    network = FormsNetwork(FormsShape(**asdict(SMALL), evidence=False)).eval()
    with pytest.raises(CannotRun, match="cannot screen"):
        scores(network, task(1), most=2)
