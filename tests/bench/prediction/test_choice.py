"""The choice follows the figures, names methods that can run, and says what it rests on."""

import json

import numpy as np
import pytest

from cdnbench.errors import CannotRun
from cdnbench.prediction import choice as module
from cdnbench.prediction.choice import NEEDS_ROWS, choose, evidence
from cdnbench.registry import load_method
from cdnbench.task import Task


def without(module_name):
    return False


SIZES = [
    (3, 3, 5000, "log", True),
    (3, 3, 40, "scaled", False),
    (2, 1, 40, "log", False),
    (500, 5, 30, "scaled", False),
    (500, 5, 3000, "log", True),
    (24, 24, 10, "scaled", False),
    (15, 15, 2000, "log", True),
    (300, 100, 1000, "counts", True),
    (300, 100, 12, "scaled", False),
    (60, 60, 400, "scaled", False),
    (60, 60, 1, "scaled", False),
]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("lowered", [False, True])
def test_what_is_chosen_runs_on_such_samples(sizes, lowered):
    n_control, n_perturbed, n_variables, kind, genes = sizes
    chosen = choose(*sizes, lowered=lowered, is_installed=without)
    assert 1 <= len(chosen.methods) <= 2 and len(set(chosen.methods)) == len(chosen.methods)
    assert "\n" not in chosen.why and len(chosen.why) > 20
    rng = np.random.default_rng(0)
    n_variables = min(n_variables, 60 if max(n_control, n_perturbed) < 60 else n_variables)
    names = [f"v{i}" for i in range(n_variables)]
    task = Task(
        name="t",
        variables=names,
        symbols=names if genes else None,
        observational=rng.gamma(5, size=(n_control, n_variables)),
        regimes=[rng.gamma(5, size=(n_perturbed, n_variables))],
    )
    for name in chosen.methods:
        if name != "cdn":  # takes longer; its limits are in `why_skip`
            assert np.isfinite(load_method(name).predict_targets(task)).any()


def test_three_against_three_is_for_moderated_t():
    for genes in (True, False):
        assert choose(3, 3, 2000, "log", genes, is_installed=without).methods == ("moderated-t",)


def test_a_known_fall_is_looked_for_in_expression_alone():
    assert "lfc-rank-down" in choose(2, 2, 3000, "log", True, lowered=True).methods
    assert "lfc-rank-down" not in choose(2, 2, 3000, "scaled", True, lowered=True).methods
    assert "lfc-rank-down" not in choose(2, 2, 3000, "log", True).methods


def test_counts_of_bulk_replicates():
    with_it = choose(4, 3, 9000, "counts", True, is_installed=lambda name: name == "pydeseq2")
    assert with_it.methods == ("deseq2", "moderated-t") and with_it.log_counts == ("moderated-t",)
    without_it = choose(4, 3, 9000, "counts", True, is_installed=without)
    assert without_it.methods == without_it.log_counts == ("moderated-t",)
    assert "pip install 'cdnbench[deseq2]'" in without_it.why
    cells = choose(400, 300, 900, "counts", True, is_installed=lambda name: True)
    assert "deseq2" not in cells.methods and cells.log_counts == cells.methods
    assert choose(4, 3, 9, "counts", False, is_installed=lambda name: True).log_counts == ()


def test_two_rows_have_no_variance():
    with pytest.raises(CannotRun, match="1 control and 1 perturbed rows"):
        choose(1, 1, 10, "log", False)


def test_what_the_figures_do_not_cover_is_said():
    wide = choose(100, 100, 5000, "scaled", False)
    assert any("at most" in note for note in wide.notes)
    assert any("time series" in n for n in choose(99, 99, 9, "log", False, dependent=True).notes)
    assert any("not been measured on genes" in n for n in choose(99, 4, 9, "log", True).notes)


def test_methods_said_to_need_rows_refuse_without_them():
    """Eight rows of six variables are N + 2; nine are enough."""
    rng = np.random.default_rng(1)
    for name in NEEDS_ROWS:
        for rows, able in ((8, False), (9, True)):
            x, y = rng.normal(size=(2, rows, 6))
            task = Task(name="t", variables="abcdef", observational=x, regimes=[y])
            if able:
                assert np.isfinite(load_method(name).predict_targets(task)).any()
            else:
                with pytest.raises(CannotRun):
                    load_method(name).predict_targets(task)


def figures(**behind):
    """Evidence in which a method is best and others are behind by these intervals."""
    rows = [{"name": "target-shift", "mean": 0.5, "behind": {}}]
    rows += [
        {"name": name.replace("_", "-"), "mean": 0.4, "behind": {"target-shift": list(interval)}}
        for name, interval in behind.items()
    ]
    source = {"name": "s", "units": 9, "what": "x", "variables": [5, 50], "decides": True}
    return {
        "measure": "m",
        "situations": {
            key: {"sources": [source], "methods": rows} for key in ("few-after", "some", "general")
        },
    }


def test_a_second_method_is_named_unless_it_is_clearly_behind(monkeypatch):
    found = figures(ks_shift=(-0.1, 0.2), effect_size=(-0.2, 0.1))
    monkeypatch.setattr(module, "evidence", lambda: found)
    chosen = choose(100, 100, 10, "scaled", False)
    assert chosen.methods == ("target-shift", "ks-shift") and "no clear difference" in chosen.why
    found = figures(ks_shift=(0.01, 0.2), effect_size=(-0.2, 0.1))
    monkeypatch.setattr(module, "evidence", lambda: found)
    assert choose(100, 100, 10, "scaled", False).methods == ("target-shift", "effect-size")
    found = figures(ks_shift=(0.01, 0.2))
    monkeypatch.setattr(module, "evidence", lambda: found)
    chosen = choose(100, 100, 10, "scaled", False)
    assert chosen.methods == ("target-shift",) and "the next, ks-shift, 0.40" in chosen.why


def test_the_figures_are_complete_and_in_order():
    found = evidence()
    assert set(found["situations"]) == set(module._STARTS)
    for part in found["situations"].values():
        assert any(source["decides"] for source in part["sources"])
        means = [row["mean"] for row in part["methods"]]
        assert means == sorted(means, reverse=True) and len(means) >= 3
        for place, row in enumerate(part["methods"]):
            load_method(row["name"])
            assert set(row["behind"]) == {other["name"] for other in part["methods"][:place]}
            assert all(low <= high for low, high in row["behind"].values())
            assert set(row["found_first"]) == {source["name"] for source in part["sources"]}
    assert json.dumps(found).isascii()
