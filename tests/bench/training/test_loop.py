"""The training loop on a toy: it learns, stops and goes on as if nothing had happened, and refuses
what is not its own."""

import json
import os
from itertools import count
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from torch import nn

from cdnbench.digest import generator
from cdnbench.errors import InvalidParameter
from cdnbench.training import loop
from cdnbench.training.loop import Plan, check_folder, describe, fit

QUIET = {"say": lambda line: None}


def toy(seed=0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 1))


def batch(step):
    x = torch.from_numpy(generator("toy", step).normal(size=(32, 3))).float()
    return x, x[:, :1] - 2 * x[:, 1:2]


class Batches:
    """Batches from a step on, and which were asked for. until: the step at which the run is
    interrupted."""

    def __init__(self, until=None):
        self.asked, self.until = [], until

    def __call__(self, start):
        for step in count(start):
            if step == self.until:
                raise KeyboardInterrupt
            self.asked.append(step)
            yield batch(step)


def trained(
    folder,
    model=None,
    *,
    batches=None,
    plan=None,
    spoil=(),
    validate=None,
    say=lambda line: None,
    **identity,
):
    """Train the toy. spoil: steps at which the gradient is not finite."""
    model = toy() if model is None else model

    def step_loss(step, made):
        x, y = made
        loss = (model(x) - y).square().mean()
        if step in spoil:
            loss = loss * float("inf")
        return loss, {"error": float(loss.detach())}

    plan = plan or Plan(steps=20, warmup=3, lr=0.05, checkpoint_every_s=0)
    identity = {"plan": describe(plan), "seed": 0, **identity}
    batches = batches or Batches()
    return model, fit(
        model,
        step_loss,
        batches,
        folder=folder,
        plan=plan,
        identity=identity,
        validate=validate,
        say=say,
    )


def same(a: nn.Module, b: nn.Module, tolerance=0.0) -> None:
    for name, value in a.state_dict().items():
        torch.testing.assert_close(b.state_dict()[name], value, rtol=0, atol=tolerance)


# --- learning


def test_the_loss_falls(tmp_path):
    plan = Plan(steps=300, warmup=10, lr=0.03, report_every_s=0)
    model, made = trained(tmp_path, plan=plan)
    errors = [row["error"] for row in made.curve]
    assert len(errors) == 300 and errors[-1] < 0.05 * errors[0]
    assert made.steps == 300 and not model.training


def test_the_first_step_is_adams(tmp_path):
    """With one step of warm-up, weights move by the learning rate against the sign of the
    gradient."""
    before = toy()
    plan = Plan(steps=1, warmup=1, lr=1e-2, weight_decay=0.0, clip=1e9)
    after, _ = trained(tmp_path, plan=plan)
    x, y = batch(0)
    (before(x) - y).square().mean().backward()
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(
            new.detach(), old.detach() - 1e-2 * old.grad.sign(), rtol=0, atol=1e-5
        )


def test_matrices_decay_and_frozen_parameters_stay(tmp_path):
    model = toy()
    model[0].requires_grad_(False)
    frozen, bias = model[0].weight.clone(), model[2].bias.clone()
    weight = model[2].weight.detach().clone()
    fit(
        model,
        lambda step, made: (0 * model(made[0]).sum(), {}),  # no gradient: what moves is decay
        Batches(),
        folder=tmp_path,
        plan=Plan(steps=1, warmup=1, lr=0.1, weight_decay=0.5),
        identity={},
        **QUIET,
    )
    torch.testing.assert_close(model[2].weight.detach(), weight * (1 - 0.1 * 0.5))
    assert torch.equal(model[2].bias, bias) and torch.equal(model[0].weight, frozen)


def test_the_schedule_warms_up_and_reaches_zero():
    plan = Plan(steps=1000, warmup=10, lr=0.5)
    assert [plan.rate(0, step) for step in (0, 4, 9)] == pytest.approx([0.05, 0.25, 0.5])
    assert plan.rate(0.5, 500) == pytest.approx(0.25)
    assert plan.rate(1, 1000) == pytest.approx(0, abs=1e-12) and plan.rate(1.2, 1000) == plan.rate(
        1, 1000
    )
    rates = [plan.rate(step / 1000, step) for step in range(10, 1001)]
    assert rates == sorted(rates, reverse=True)


def test_a_plan_on_a_card_says_nothing_of_the_terminal():
    assert set(describe(Plan(steps=3))) == {
        "steps",
        "minutes",
        "lr",
        "weight_decay",
        "warmup",
        "clip",
    }


# --- stopping and going on


@pytest.mark.parametrize("stop", [1, 7, 19])
def test_an_interrupted_run_becomes_the_run_that_was_not(tmp_path, stop):
    whole, expected = trained(tmp_path / "whole")
    first, second = Batches(until=stop), Batches()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", batches=first)
    said = []
    parts, found = trained(tmp_path / "parts", toy(seed=5), batches=second, say=said.append)
    assert first.asked + second.asked == list(range(20))
    same(whole, parts, 1e-6)
    assert found.steps == expected.steps == 20
    assert f"Going on at step {stop}" in said[0]


def test_a_finished_run_does_no_more_steps(tmp_path):
    model, made = trained(tmp_path)
    batches = Batches()
    again, found = trained(tmp_path, toy(seed=5), batches=batches)
    assert batches.asked == [] and found.curve == made.curve and found.steps == 20
    same(model, again)
    assert not again.training


def test_what_was_logged_after_the_checkpoint_is_dropped(tmp_path):
    """A run that died between checkpoints logs those steps again."""
    plan = Plan(steps=20, warmup=3, lr=0.05, report_every_s=0, checkpoint_every_s=0)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, plan=plan, batches=Batches(until=6))
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 7, "minutes": 0.0, "error": 9.0}\n{"step": 8, "min')
    _, made = trained(tmp_path, plan=plan)
    assert [row["step"] for row in made.curve] == list(range(1, 21))
    assert [json.loads(line) for line in log.read_text().splitlines()] == made.curve


def test_a_run_that_is_killed_while_it_drops_reports_keeps_its_curve(tmp_path, monkeypatch):
    trained(tmp_path)
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 21, "minutes": 0.0, "error": 9.0}\n')
    before = log.read_text()

    def killed(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path)
    assert log.read_text() == before


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"plan": Plan(steps=30)}, {"laws": {"sizes": [[5, 30]]}}]
)
def test_a_folder_of_another_run_is_refused(tmp_path, changes):
    trained(tmp_path)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    batches = Batches()
    with pytest.raises(
        InvalidParameter, match="checkpoint of another training run. Give another --run"
    ):
        trained(tmp_path, batches=batches, **changes)
    assert batches.asked == [] and (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_folder_can_be_checked_beforehand(tmp_path):
    check_folder(tmp_path / "not yet there", {"seed": 0})
    identity = {"sizes": ((1, 2), (3, 4))}  # tuples come back as lists
    fit(
        toy(),
        lambda s, made: (toy()(made[0]).sum(), {}),
        Batches(),
        folder=tmp_path,
        plan=Plan(steps=1),
        identity=identity,
        **QUIET,
    )
    check_folder(tmp_path, identity)
    with pytest.raises(InvalidParameter, match="another training run"):
        check_folder(tmp_path, {"sizes": ((1, 2), (3, 5))})


def test_a_checkpoint_holds_no_pickle(tmp_path):
    model, _ = trained(tmp_path)
    with safe_open(tmp_path / "checkpoint.safetensors", framework="pt") as file:
        names, state = set(file.keys()), json.loads(file.metadata()["state"])
    assert names == {
        f"{kind}/{name}" for kind in ("model", "first", "second") for name in model.state_dict()
    }
    assert state["step"] == 20 and state["identity"]["seed"] == 0
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoint.safetensors", "log.jsonl"}


# --- batches that overflow


def test_a_batch_without_a_finite_gradient_is_left_out_and_counted(tmp_path):
    plan = Plan(steps=6, warmup=1, lr=0.05, report_every_s=1e9)
    spoilt, made = trained(tmp_path / "a", plan=plan, spoil={1, 4})
    assert made.steps == 6 and made.curve[-1]["left_out"] == 2
    assert made.curve[-1]["error"] < 100  # the mean of those that count
    assert all(torch.isfinite(p).all() for p in spoilt.parameters())
    clean, made = trained(tmp_path / "b", plan=plan)
    assert "left_out" not in made.curve[-1]
    assert any(
        not torch.equal(a, b) for a, b in zip(clean.parameters(), spoilt.parameters(), strict=True)
    )


def test_nothing_but_batches_that_overflow_changes_nothing(tmp_path):
    model, made = trained(tmp_path, plan=Plan(steps=3, report_every_s=0), spoil={0, 1, 2})
    same(toy(), model)
    assert [row["left_out"] for row in made.curve] == [1, 1, 1] and "error" not in made.curve[0]


# --- reports by the clock


class Clock:
    """A minute passes with every step."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=found.monotonic))
    return found


def by_the_clock(folder, clock, plan, validate=None, until=None):
    model, asked = toy(), []

    def step_loss(step, made):
        asked.append(step)
        clock.now += 60
        if step == until:
            raise KeyboardInterrupt
        return (model(made[0]) - made[1]).square().mean(), {"error": 1.0}

    made = fit(
        model,
        step_loss,
        Batches(),
        folder=folder,
        plan=plan,
        identity={},
        validate=validate,
        **QUIET,
    )
    return made, asked


def test_minutes_end_a_run_with_a_report_and_a_checkpoint(tmp_path, clock):
    plan = Plan(steps=1000, minutes=10, report_every_s=150, checkpoint_every_s=1e9)
    made, asked = by_the_clock(tmp_path, clock, plan)
    assert made.steps == len(asked) == 10 and made.minutes == 10
    assert [row["step"] for row in made.curve] == [3, 6, 9, 10]
    again, asked = by_the_clock(tmp_path, clock, plan)
    assert again.steps == 10 and asked == []


def test_time_that_runs_out_during_validation_still_ends_with_a_report_and_a_checkpoint(
    tmp_path, clock
):
    def validate():
        clock.now += 180
        return {"score": 1.0}

    plan = Plan(
        steps=1000, minutes=10, report_every_s=60, validate_every_s=480, checkpoint_every_s=1e9
    )
    made, _ = by_the_clock(tmp_path, clock, plan, validate)
    assert made.minutes > 10 and made.curve[-1]["score"] == 1.0
    with safe_open(tmp_path / "checkpoint.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["state"])["step"] == made.steps == made.curve[-1]["step"]


def test_minutes_count_over_interruptions(tmp_path, clock):
    plan = Plan(steps=1000, minutes=10, report_every_s=0, checkpoint_every_s=0)
    with pytest.raises(KeyboardInterrupt):
        by_the_clock(tmp_path, clock, plan, until=6)
    clock.now += 1e6  # the night in between does not count
    made, asked = by_the_clock(tmp_path, clock, plan)
    assert asked == [6, 7, 8, 9] and made.minutes == 10
    assert [row["minutes"] for row in made.curve] == list(range(1, 11))


def test_validation_is_part_of_the_report(tmp_path, clock):
    modes = []
    model = toy()

    def validate():
        model.eval()
        modes.append(model.training)
        return {"score": 0.5}

    def step_loss(step, made):
        clock.now += 60
        assert model.training
        return model(made[0]).square().mean(), {"error": 1.0}

    plan = Plan(steps=5, report_every_s=60, validate_every_s=120)
    made = fit(
        model,
        step_loss,
        Batches(),
        folder=tmp_path,
        plan=plan,
        identity={},
        validate=validate,
        **QUIET,
    )
    assert ["score" in row for row in made.curve] == [False, True, False, True, True] and modes == [
        False
    ] * 3


def test_a_line_draws_the_curve_of_the_loss(tmp_path):
    said = []
    trained(tmp_path, plan=Plan(steps=4, report_every_s=0), say=said.append)
    assert len(said) == 4 and "step 1  error" in said[0]
    assert said[-1].split()[-1].strip("▁▂▃▄▅▆▇█") == ""


def test_a_folder_that_cannot_be_one_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for wrong in ("file", "file/run", "link"):
        with pytest.raises(InvalidParameter, match=f"{wrong} cannot hold a training run"):
            check_folder(tmp_path / wrong, {"model": "toy"})
    check_folder(tmp_path / "new/run", {"model": "toy"})
    assert not list((tmp_path / "new/run").iterdir())
