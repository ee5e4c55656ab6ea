"""What the variants of Tables 7 and 8 start from. Nothing is trained here."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cdnbench.commands.ablations import _of_paper
from cdnbench.errors import BenchError, InvalidParameter
from cdnbench.methods.cdn.weights import FORMAT
from cdnbench.training import ablations
from cdnbench.training.ablations import Budget, check_budget, methods_on_cells, train_variants
from cdnbench.training.card import Origin

BUDGET = Budget(encoder_minutes=1, head_minutes=1, datasets=1, seed=0, device="cpu", workers=0)


def starts(table: str, folder: Path, monkeypatch, budget: Budget = BUDGET) -> dict[str, str]:
    """The folder of each encoder that is trained -> what it starts from."""
    found: dict[str, str] = {}

    def train_sea(run, plan, config, *, start, **others) -> None:
        found[run.name] = start

    def save(path: Path, *rest) -> None:
        weights_with_a_card(path, "", 1)

    monkeypatch.setattr(ablations, "train_sea", train_sea)
    monkeypatch.setattr(ablations, "train_differential", lambda *a, **k: None)
    monkeypatch.setattr(ablations, "_save", save)
    train_variants(table, folder, budget, Origin(command="", provenance={}))
    return found


def test_encoders_of_other_statistics_start_from_the_inverse_covariance(tmp_path, monkeypatch):
    first = str(tmp_path / "encoders" / "precision.safetensors")
    found = starts("table8", tmp_path, monkeypatch)
    assert found == {"precision": "", "corr": first, "corr+cov": first}


def test_encoders_that_lack_an_input_start_from_nothing(tmp_path, monkeypatch):
    found = starts("table7", tmp_path, monkeypatch)
    assert found == {"precision": "", "precision-no-marginals": "", "precision-no-global": ""}


def test_an_encoder_that_is_there_is_not_trained_again(tmp_path, monkeypatch):
    budget = replace(BUDGET, encoder="sea")
    found = starts("table8", tmp_path, monkeypatch, budget)
    assert found == {"corr": "sea", "corr+cov": "sea"}


def weights_with_a_card(path: Path, model: str, minutes: float, **fields) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    card = {"format": FORMAT, "model": model, "plan": {"minutes": minutes}, "seed": 0, "digest": ""}
    card |= fields
    path.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")


def test_weights_of_another_budget_are_refused_before_training(tmp_path):
    path = tmp_path / "table8" / "mlp.safetensors"
    weights_with_a_card(path, "cdn-mlp", 1, n_datasets=1)
    check_budget("table8", tmp_path, BUDGET)
    for other in ({"head_minutes": 2}, {"datasets": 2}, {"seed": 1}):
        with pytest.raises(InvalidParameter, match=r"mlp.safetensors \(.*\). Name another folder"):
            check_budget("table8", tmp_path, replace(BUDGET, **other))
    path.unlink()
    weights_with_a_card(tmp_path / "encoders" / "corr.safetensors", "sea", 1)
    check_budget("table8", tmp_path, BUDGET)
    with pytest.raises(InvalidParameter, match=r"corr.safetensors \(minutes 1, not 2\)"):
        check_budget("table8", tmp_path, replace(BUDGET, encoder_minutes=2))


def test_weights_without_a_whole_card_are_made_again(tmp_path, monkeypatch):
    starts("table8", tmp_path, monkeypatch)
    cards = sorted(tmp_path.rglob("*.json"))
    for card in cards[::2]:
        card.unlink()
    for card in cards[1::2]:
        card.write_text('{"format": 1')
    assert starts("table8", tmp_path, monkeypatch).keys() == {"precision", "corr", "corr+cov"}
    assert cards == sorted(tmp_path.rglob("*.json"))


def test_weights_of_a_joint_training_have_both_budgets(tmp_path):
    path = tmp_path / "table7" / "no_pretrain.safetensors"
    weights_with_a_card(path, "cdn-axial", 2, n_datasets=1)
    check_budget("table7", tmp_path, BUDGET)


def test_variants_on_cells_are_fine_tuned_by_the_method_of_their_head():
    weights = {"cdn": Path("w/table7/cdn.safetensors")}
    names = methods_on_cells(weights, "table7", None)
    assert names == "cdn-axial-cells:weights=w/table7/cdn.safetensors"
    assert methods_on_cells(weights, "table7", 3) == f"{names},epochs=3"


def test_an_encoder_that_does_not_exist_is_refused_before_training(tmp_path, monkeypatch):
    with pytest.raises(BenchError, match="nonsense"):
        starts("table8", tmp_path, monkeypatch, replace(BUDGET, encoder="nonsense.safetensors"))
    assert not list(tmp_path.iterdir())


def test_an_encoder_of_another_statistic_is_refused(tmp_path, monkeypatch):
    card = {"config": {**asdict(ablations.FULL), "statistic": "corr"}}
    monkeypatch.setattr(ablations, "read_card", lambda *_: card)
    with pytest.raises(InvalidParameter, match="reads the inverse covariance"):
        starts("table8", tmp_path, monkeypatch, replace(BUDGET, encoder="other"))


@pytest.mark.parametrize(
    ("epochs", "suites"), [(0, ["synthetic"]), (2, ["synthetic", "perturbseq"])]
)
def test_variants_run_on_synthetic_data_and_fine_tuned_on_cells(
    tmp_path, monkeypatch, epochs, suites
):
    planned = {}

    def prepared(plan, out, jobs):
        planned[out.name] = plan
        return SimpleNamespace(execute=lambda: None, store=None)

    weights = {"cdn": Path("w/table7/cdn.safetensors")}
    monkeypatch.setattr(ablations, "train_variants", lambda *_: weights)
    monkeypatch.setattr(
        "cdnbench.runners.plan.make_plan", lambda suite, options, names, limit: names
    )
    monkeypatch.setattr("cdnbench.runners.api.prepared", prepared)
    monkeypatch.setattr("cdnbench.reports.build", lambda _: SimpleNamespace(show=lambda *_: None))
    _of_paper("table7", BUDGET, tmp_path, tmp_path, "dcdi", None, epochs)
    assert list(planned) == suites
    assert planned["synthetic"] == "cdn-axial:weights=w/table7/cdn.safetensors"
    if epochs:
        assert (
            planned["perturbseq"].startswith("cdn-axial-cells:")
            and "epochs=2" in planned["perturbseq"]
        )
