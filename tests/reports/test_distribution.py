"""Settings are marked by what a pretrained method says of its training; variants of Tables 7 and 8
are told by their weights."""

from __future__ import annotations

import pytest

from cdnbench.design import FITTED_BEFORE
from cdnbench.registry import METHODS, entries, load_class
from cdnbench.reports import published
from cdnbench.reports.frame import read
from cdnbench.reports.tables import build
from cdnbench.reports.tables.distribution import settings

LAWS = {
    "mechanism": ["linear"],
    "intervention": ["hard-uniform"],
    "noise": ["gaussian"],
    "marginal": ["plain"],
    "graph": ["er"],
    "protocol": ["clean", "dcdi"],
    "n_nodes": {"from": 5, "to": 10},
    "rows": {"from": 100, "to": 1000},
    "n_hidden": {"from": 0, "to": 0},
}
LINEAR = {
    "protocol": "dcdi",
    "n_nodes": 10,
    "n_edges": 10,
    "mechanism": "linear",
    "intervention": "hard-uniform",
    "noise": "gaussian",
    "graph": "er",
    "rows": 300,
}
CDN = "cdn (this package; suites, hard only)"


@pytest.fixture
def store(make_store):
    """A pretrained method (first, then second place) and an untrained one on a linear, a polynomial
    and a larger setting."""
    fake = make_store()
    targets = fake.one_target_each(10, 10)
    for name, changes, place in (
        ("in", {}, 1),
        ("poly", {"mechanism": "polynomial"}, 2),
        ("both", {"n_nodes": 20, "mechanism": "polynomial"}, 2),
    ):
        task = fake.task(name, targets, ceiling=fake.at_place(targets, 1), **{**LINEAR, **changes})
        fake.job("cdn", task, fake.at_place(targets, place), trained_on=LAWS)
        fake.job("target-shift", task, fake.at_place(targets, 4))
    return fake.store


def test_each_setting_names_the_factors_that_training_lacked(store):
    frame = settings(read([store]))
    outside = dict(zip(frame["setting"], frame["outside"], strict=True))
    assert sorted(outside.values()) == ["", "mechanism", "mechanism, n_nodes"]
    assert set(frame["label"]) == {CDN}, "only methods that were trained have a distribution"


def told(fake, laws, **facts):
    """The row of a network with these laws on a setting with these facts, and its mark."""
    targets = fake.one_target_each(10, 10)
    fake.job("cdn", fake.task("t", targets, **facts), fake.at_place(targets, 1), trained_on=laws)
    results = read([fake.store])
    ((_, row),) = settings(results).iterrows()
    table = build(results, "distribution")
    return row, table.blocks[0].rows[0].cells[1].text


def test_a_setting_that_declares_no_law_is_not_in_distribution(make_store):
    row, mark = told(make_store(), LAWS, cell_line="K562")
    assert row["inside"] == row["outside"] == "" and mark == "undeclared"


def test_a_law_that_training_does_not_tell_is_undeclared(make_store):
    laws = {name: values for name, values in LAWS.items() if name != "noise"}
    row, mark = told(make_store(), laws, **LINEAR)
    assert row["undeclared"] == "noise"
    assert mark == "undeclared: noise; in: mechanism, intervention, marginal"


def test_each_law_has_a_mark_of_its_own(make_store):
    laws = {**LAWS, "noise": ["gaussian", "laplace"], "intervention": ["variance"]}
    other = {"mechanism": "fourier", "noise": "laplace", "intervention": "variance"}
    _, mark = told(make_store(), laws, **{**LINEAR, **other})
    assert mark == "out: mechanism; in: intervention, noise, marginal"


def test_a_marginal_that_the_suite_declares_is_compared(make_store):
    row, _ = told(make_store(), LAWS, **LINEAR, marginal="gap")
    assert row["outside"] == "marginal"


@pytest.mark.parametrize(
    "learnt",
    [
        {"method": "linear", "fit": "a-fit"},
        {"method": "cdn-cells"},  # of a version whose records do not name the fit
        {"method": "cdn-public", "parameters": {"weights": "authors.safetensors"}},
        {"method": "other", "design": "this package"},
        {"method": "fused", "parameters": {"members": ["effect-size", "cdn"]}},
    ],
)
def test_what_has_learnt_is_never_the_best_untrained(make_store, learnt):
    fake = make_store()
    targets = fake.one_target_each(10, 10)
    task = fake.task("in", targets, **LINEAR)
    fake.job("cdn", task, fake.at_place(targets, 1), trained_on=LAWS)
    fields = {name: value for name, value in learnt.items() if name != "method"}
    fake.job(learnt["method"], task, fake.at_place(targets, 1), **fields)
    fake.job("fused", task, fake.at_place(targets, 2), parameters={"members": ["baro"]})
    (best,) = settings(read([fake.store]))["best_method"]
    assert best == 'fused[members=["baro"]]'


def test_the_methods_that_had_to_be_trained_are_those_of_today():
    infos = {name: load_class(METHODS, name).info for name in entries(METHODS)}
    required = {name for name, info in infos.items() if info.supervised == "required"}
    newer = {"cdn-axial-cells", "cdn-mlp-cells"}  # their records name the fit: add new ones here
    assert required - newer == FITTED_BEFORE


def test_networks_tell_design_and_laws_in_labels_and_notes(make_store):
    fake = make_store()
    targets = fake.one_target_each(10, 10)
    task = fake.task("in", targets, **LINEAR)
    fake.job("cdn-axial", task, fake.at_place(targets, 1), trained_on=LAWS, design="Wu et al. 2025")
    worlds = {**LAWS, "noise": ["gaussian", "laplace"], "mechanism": ["linear", "nn"]}
    worlds["intervention"] = ["hard-uniform", "soft-scale"]
    fake.job("cdn", task, fake.at_place(targets, 1), trained_on=worlds, design="this package")
    fake.job("target-shift", task, fake.at_place(targets, 1))
    results = read([fake.store])
    assert set(results.readings["label"]) == {
        "cdn-axial (Wu et al. 2025; suites, hard only)",
        "cdn (this package; worlds + suites)",
        "target-shift",
    }
    assert any("whose design it is" in note for note in build(results, "leaderboard").notes)


def test_distance_to_the_ceiling_and_the_best_untrained(store):
    frame = settings(read([store]))
    rows = {row.outside: row for row in frame.itertuples()}
    assert rows[""].gap == pytest.approx(0)
    assert rows["mechanism"].value == pytest.approx(0.5) and rows["mechanism"].gap == pytest.approx(
        0.5
    )
    assert rows["mechanism"].best_method == "target-shift" and rows[
        "mechanism"
    ].best == pytest.approx(0.25)


def test_the_best_untrained_finished_every_dataset_of_the_setting(make_store):
    fake = make_store()
    targets = fake.one_target_each(10, 10)
    for i in range(3):
        task = fake.task(f"d{i}", targets, ceiling=fake.at_place(targets, 1), **LINEAR)
        fake.job("target-shift", task, fake.at_place(targets, 4))
        if i < 2:
            fake.job("cdn", task, fake.at_place(targets, 3), trained_on=LAWS)
        if i < 1:
            fake.job("traversal", task, fake.at_place(targets, 1))
    results = read([fake.store])
    (row,) = settings(results).itertuples()
    assert (row.best_method, row.best, row.covers) == ("target-shift", pytest.approx(0.25), False)
    (block,) = build(results, "distribution").blocks
    assert block.rows[0].cells[2].mark == "†" and "fewer datasets" in block.notes[0]


def test_results_of_untrained_methods_alone_say_so(make_store):
    fake = make_store()
    targets = fake.one_target_each(10, 10)
    fake.job("target-shift", fake.task("in", targets, **LINEAR), fake.at_place(targets, 1))
    assert "No result" in build(read([fake.store]), "distribution").notes[0]


def test_variants_are_told_by_the_names_of_their_weights(make_store):
    fake = make_store()
    targets = fake.one_target_each(10, 10)
    task = fake.task("in", targets, **LINEAR)
    for variant, place in (("corr", 1), ("corr+cov", 2)):
        weights = {"weights": f"/somewhere/table8/{variant}.safetensors"}
        fake.job("cdn-axial", task, fake.at_place(targets, place), parameters=weights)
    fake.job(
        "cdn-axial",
        task,
        fake.at_place(targets, 3),
        parameters={"weights": "table7/no_global.safetensors"},
    )
    fake.job("cdn-axial", task, fake.at_place(targets, 4))
    results = read([fake.store])
    eight, seven = (build(results, name).frame for name in ("table8", "table7"))
    ours = eight[(eight["source"] == "ours") & (eight["metric"] == "map")].set_index("label")[
        "mean"
    ]
    assert ours.to_dict() == {"corr": pytest.approx(1.0), "corr+cov": pytest.approx(0.5)}
    assert set(eight.loc[eight["source"] == "printed", "label"]) == {
        "mlp",
        "axial",
        "corr",
        "corr+cov",
    }
    assert set(seven.loc[seven["source"] == "ours", "label"]) == {"no_global"}


def test_table_8_is_corrected_as_table_11_whose_rows_it_shares():
    eight = published.table8().query("source == 'corrected' and method == 'axial'")
    eleven = published.table11().query("source == 'corrected' and method == 'cdn-axial'")
    keys = ["n_nodes", "n_edges", "mechanism", "intervention", "metric"]
    both = eight.merge(eleven, on=keys)
    assert len(both) == len(eleven)
    assert (both["mean_x"] - both["mean_y"]).abs().max() < 1e-9
