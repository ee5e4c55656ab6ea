"""Settings are marked by what a pretrained method says of its training; variants of Tables 7 and 8
are told by their weights."""

from __future__ import annotations

import pytest

from cdnbench.reports import published
from cdnbench.reports.frame import read
from cdnbench.reports.tables import build
from cdnbench.reports.tables.distribution import settings

LAWS = {"mechanism": ["linear"], "n_nodes": {"from": 5, "to": 10}}
LINEAR = {
    "protocol": "dcdi",
    "n_nodes": 10,
    "n_edges": 10,
    "mechanism": "linear",
    "intervention": "hard-uniform",
}


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
    assert set(frame["label"]) == {"cdn"}, "only methods that were trained have a distribution"


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
    assert set(seven["label"]) == {"no_global"}


def test_table_8_is_corrected_as_table_11_whose_rows_it_shares():
    eight = published.table8().query("source == 'corrected' and method == 'axial'")
    eleven = published.table11().query("source == 'corrected' and method == 'cdn-axial'")
    keys = ["n_nodes", "n_edges", "mechanism", "intervention", "metric"]
    both = eight.merge(eleven, on=keys)
    assert len(both) == len(eleven)
    assert (both["mean_x"] - both["mean_y"]).abs().max() < 1e-9
