"""Agreement with Table 11 is Welch's interval around the printed value, setting by setting."""

from __future__ import annotations

import numpy as np
import pytest

from cdnbench.reports import published
from cdnbench.reports.frame import read
from cdnbench.reports.statistics import agreement_limit
from cdnbench.reports.tables.agreement import build, differences


def filled(make_store, protocol="dcdi", n_datasets=5):
    """UT-IGSP's sets on (10, 10, linear, hard): empty, so the AUC is .5 in every regime of every
    dataset."""
    store = make_store()
    targets = store.one_target_each(4, 10)
    setting = {
        "n_nodes": 10,
        "n_edges": 10,
        "mechanism": "linear",
        "intervention": "hard-uniform",
        "protocol": protocol,
    }
    for i in range(n_datasets):
        task = store.task(f"d{i}", targets, **setting)
        scores = {"soft": store.at_place(targets, 1), "set": np.zeros(targets.shape)}
        store.job("ut-igsp", task, scores, variants=("soft", "set"))
    return read([store.store])


def test_the_difference_and_its_limit(make_store):
    auc = differences(filled(make_store)).query("metric == 'auc'").iloc[0]
    assert (auc["label"], auc["published_method"]) == ("ut-igsp-set", "ut-igsp")
    assert auc["difference"] == pytest.approx(0.5 - 0.57)
    # ours has no spread, the printed one .03
    assert auc["limit"] == pytest.approx(agreement_limit(0, 0.03, 5, 5))
    assert not auc["agrees"]


def test_the_table_counts_who_agrees(make_store):
    (block,) = build(filled(make_store)).blocks
    assert "ut-igsp-set against the printed ut-igsp" in block.title
    assert block.notes == ("hard: 0 of 2 agree; mean signed difference -0.130.",)


def test_nothing_is_compared_under_another_law(make_store):
    table = build(filled(make_store, protocol="clean"))
    assert not table.blocks and "Nothing to compare" in table.notes[0]


def test_what_has_fewer_datasets_is_named_and_not_compared(make_store):
    table = build(filled(make_store, n_datasets=4))
    assert not table.blocks and table.frame["agrees"].isna().all()
    assert table.notes[0] == (
        "ut-igsp-set: not compared in 1 of 1 settings, which have 4 of 5 datasets."
    )


def run_as(make_store, *methods):
    """(method, scores or outputs, fields) on the five datasets of (10, 10, linear, hard)."""
    store = make_store()
    targets = store.one_target_each(30, 10)
    about = {"n_nodes": 10, "n_edges": 10, "mechanism": "linear", "intervention": "hard-uniform"}
    for i in range(5):
        task = store.task(f"d{i}", targets, protocol="dcdi", **about)
        for method, place, fields in methods:
            scores = store.at_place(targets, place)
            store.job(method, task, dict.fromkeys(fields.get("variants", [""]), scores), **fields)
    return read([store.store])


def test_cdn_is_compared_with_the_corrected_rows(make_store):
    """A label that names the design of the network does not hide it from the comparison."""
    laws = {"mechanism": ["linear"], "intervention": ["hard-uniform"], "noise": ["gaussian"]}
    network = ("cdn-mlp", 2, {"trained_on": laws, "design": "Wu et al. 2025"})
    results = run_as(make_store, network)
    found = differences(results).set_index("metric").loc["map"]
    fixed = published.table11().query(
        "method == 'cdn-mlp' and source == 'corrected' and metric == 'map' and n_nodes == 10 "
        "and n_edges == 10 and mechanism == 'linear' and intervention == 'hard'"
    )["mean"]
    assert (found["source"], found["printed"]) == ("corrected", 0.73)
    assert found["theirs"] == pytest.approx(fixed.item())
    assert found["difference"] == pytest.approx(0.5 - fixed.item())
    assert found["printed_difference"] == pytest.approx(0.5 - 0.73)
    (block,) = build(results).blocks
    assert "against the corrected cdn-mlp" in block.title
    assert "With the rows as printed" in block.notes[0]


def test_our_linear_bacadi_has_no_counterpart_and_the_connected_one_has(make_store):
    variants = ("soft", "e", "m")
    results = run_as(
        make_store,
        ("bacadi", 3, {"variants": variants}),
        ("bacadi", 2, {"variants": variants, "parameters": {"likelihood": "fc"}}),
        ("dcdi-g-tuned", 2, {}),
        ("cdn-mlp", 1, {"parameters": {"weights": "another.safetensors"}}),
    )
    found = differences(results)
    assert set(zip(found["label"], found["published_method"], strict=True)) == {
        ("bacadi-e[likelihood=fc]", "bacadi-e"),
        ("bacadi-m[likelihood=fc]", "bacadi-m"),
    }


def test_a_spread_that_is_lost_in_table_11_comes_from_table_8():
    lost = "mechanism == 'polynomial' and intervention == 'soft' and metric == 'auc'"
    rows = published.table11().query(f"{lost} and n_nodes == 10 and n_edges == 10")
    sd = rows.set_index(["method", "source"])["sd"]
    assert sd["cdn-mlp", "printed"] == 0.04 and sd["cdn-axial", "printed"] == 0.06
    assert sd["cdn-mlp", "corrected"] == pytest.approx(0.04 * 31 / 30)
    assert np.isnan(sd["ut-igsp", "printed"]), "which Table 8 does not have"
    others = published.table11().query(f"not ({lost})")
    assert others["sd"].notna().all()


def test_a_spread_that_is_not_printed_is_counted_in_a_note(make_store):
    store = make_store()
    targets = store.one_target_each(30, 10)
    about = {"n_nodes": 10, "n_edges": 10, "mechanism": "polynomial", "intervention": "soft-scale"}
    for i in range(5):
        task = store.task(f"d{i}", targets, protocol="dcdi", **about)
        for method, variant in (("ut-igsp", "set"), ("cdn-axial", "")):
            store.job(method, task, {variant: store.at_place(targets, 2 + i)}, variants=(variant,))
    axial, igsp = build(read([store.store])).blocks
    assert not any("No standard deviation" in note for note in axial.notes)
    assert igsp.notes[-1].startswith("No standard deviation is printed for 1 of the 2 pairs")
