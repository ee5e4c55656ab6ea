"""The printed values, their correction, and ours beside them."""

from __future__ import annotations

import numpy as np
import pytest

from cdnbench.reports import published
from cdnbench.reports.frame import read
from cdnbench.reports.paper import beside_table4 as table4
from cdnbench.reports.paper import beside_table11 as table11
from cdnbench.reports.paper import ours
from cdnbench.reports.select import of_methods


def cell(frame, **where):
    for column, value in where.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


@pytest.mark.parametrize("name", sorted(path.stem for path in published.FOLDER.glob("*.csv")))
def test_the_files_are_packaged(name):
    assert len(published.load(name)) > 5


def test_printed_values_appear():
    where = {
        "n_nodes": 10,
        "n_edges": 10,
        "mechanism": "linear",
        "intervention": "hard",
        "metric": "map",
    }
    row = cell(published.table11(), method="cdn-mlp", source="printed", **where)
    assert (row["mean"], row["sd"]) == (0.73, 0.04)
    row = cell(published.table4(), method="cdn-mlp", n_targets=1, **where)
    assert (row["mean"], row["sd"]) == (0.72, 0.06)


def test_the_correction_takes_the_observational_regime_out():
    where = {
        "n_nodes": 10,
        "n_edges": 10,
        "mechanism": "linear",
        "intervention": "hard",
        "method": "cdn-mlp",
    }
    fixed = cell(published.table11(), source="corrected", metric="map", **where)
    assert fixed["mean"] == pytest.approx((31 * 0.73 + 1) / 30)
    assert (30 * fixed["mean"] - 1) / 31 == pytest.approx(0.73)  # one regime of -1 among 31
    assert fixed["sd"] == pytest.approx(0.04 * 31 / 30)
    assert cell(published.table11(), source="corrected", metric="auc", **where)[
        "mean"
    ] == pytest.approx(0.86 * 31 / 30)


def test_only_the_cdn_rows_of_table_11_are_corrected():
    table = published.table11()
    assert set(table.loc[table["source"] == "corrected", "method"]) == {"cdn-mlp", "cdn-axial"}
    assert set(published.table4()["source"]) == {"printed"}


@pytest.mark.parametrize("metric", ["map", "auc"])
def test_the_correction_brings_table_11_nearer_to_table_4(metric):
    """Table 11 averages over 1, 2 and 3 targets, so at N = 10, E = 10 it should lie near Table 4's
    mean of 1 and 3."""
    four = (
        published.table4()
        .query("metric == @metric")
        .groupby(["method", "mechanism", "intervention"])["mean"]
        .mean()
    )
    eleven = published.table11().query("metric == @metric and n_nodes == 10 and n_edges == 10")
    distance = {}
    for source, rows in eleven.groupby("source"):
        cdn = rows[rows["method"].isin(published.CORRECTED_METHODS)].set_index(
            list(four.index.names)
        )["mean"]
        distance[source] = (cdn - four).dropna().abs().mean()
    assert distance["corrected"] < 0.6 * distance["printed"]


@pytest.fixture
def results(make_store):
    """Five datasets of one setting under both protocols: the target first (clean) or second (dcdi)
    of ten variables."""
    store = make_store()
    targets = store.one_target_each(4, 10)
    targets[3, 5:7] = True  # three targets in one regime
    variants = ("soft", "set")
    for i in range(5):
        for protocol, place in (("clean", 1), ("dcdi", 2)):
            for intervention in ("hard-uniform", "hard-normal"):
                task = store.task(
                    f"d{i}-{protocol}-{intervention}",
                    targets,
                    ceiling=targets * 1.0,
                    protocol=protocol,
                    n_nodes=10,
                    n_edges=10,
                    mechanism="linear",
                    intervention=intervention,
                )
                scores = store.at_place(store.one_target_each(4, 10), place)
                store.job(
                    "ut-igsp",
                    task,
                    {"soft": scores, "set": np.zeros(targets.shape)},
                    variants=variants,
                )
                if i:
                    store.job("random", task, scores)
    return read([store.store])


def test_ours_stands_beside_the_printed_value_by_protocol(results):
    table = table11(results)
    where = {
        "n_nodes": 10,
        "n_edges": 10,
        "mechanism": "linear",
        "intervention": "hard",
        "label": "ut-igsp-set",
    }
    for protocol in ("clean", "dcdi"):
        mine = cell(table.frame, protocol=protocol, source="ours", metric="auc", **where)
        assert (mine["mean"], mine["sd"], mine["n"], mine["partial"]) == (0.5, 0, 5, False)
        printed = cell(table.frame, protocol=protocol, source="printed", metric="auc", **where)
        assert printed["mean"] == 0.57 and printed["published_method"] == "ut-igsp"
    assert not (table.frame["intervention"] == "hard-normal").any()


def test_the_paper_groups_ties(results):
    """All-equal scores of 3 targets in 4 regimes of 10: grouped average precision is the share of
    targets."""
    mine = table11(results).frame.query(
        "label == 'ut-igsp-set' and source == 'ours' and protocol == 'clean'"
    )
    assert cell(mine, metric="map")["mean"] == pytest.approx((0.1 * 3 + 0.3) / 4)


def test_the_ceilings_ties_count_in_expectation(make_store):
    """Nothing can be told apart, so the ceiling is what guessing gets: (1 + 1/2 + 1/3 + 1/4) / 4
    for one target of 4."""
    store = make_store()
    targets = store.one_target_each(4, 4)
    setting = {
        "n_nodes": 4,
        "n_edges": 10,
        "mechanism": "linear",
        "intervention": "hard-uniform",
        "protocol": "dcdi",
    }
    task = store.task("d", targets, ceiling=np.zeros(targets.shape), **setting)
    store.job("random", task, np.zeros(targets.shape))
    mine = ours(read([store.store]), by_targets=False)
    assert cell(mine, label="ceiling", metric="map")["mean"] == pytest.approx(25 / 48)
    assert cell(mine, label="random", metric="map")["mean"] == pytest.approx(1 / 4)


def test_blocks_order_and_notes(results):
    table = table11(results)
    clean = next(
        b
        for b in table.blocks
        if b.title == "synthetic, protocol clean: N = 10, E = 10, hard interventions"
    )
    names = [(row.cells[0].text, row.cells[1].text) for row in clean.rows]
    assert names[:4] == [
        ("ceiling", "ours"),
        ("ut-igsp-set", "ours"),
        ("ut-igsp-set", "printed"),
        ("ut-igsp", "ours"),
    ]
    assert ("cdn-axial", "corrected") in names and names[-1] == ("random", "ours")
    assert any("Not the paper's law" in note for note in clean.notes)
    dcdi = next(b for b in table.blocks if "protocol dcdi: N = 10, E = 10, hard" in b.title)
    assert any("reconstruction" in note for note in dcdi.notes)
    random = next(row for row in clean.rows if row.cells[0].text == "random")
    assert random.cells[2].mark == "†"  # four datasets of five


def test_table_4_splits_by_targets(results):
    table = table4(results)
    mine = table.frame.query(
        "label == 'ut-igsp' and source == 'ours' and protocol == 'dcdi' and metric == 'map'"
    )
    assert mine.set_index("n_targets")["mean"][1] == pytest.approx(0.5)
    assert set(mine["n_targets"]) == {1, 3}
    block = next(b for b in table.blocks if "dcdi" in b.title and "hard" in b.title)
    assert [g for g, *_ in block.groups][1:3] == ["linear, 1 target", "linear, 3 targets"]


def test_without_our_results_the_printed_values_stand_alone(make_store):
    store = make_store("sachs")
    targets = store.one_target_each(2, 4)
    store.job("m", store.task("t", targets, subset="primary"), store.at_place(targets, 1))
    for table in (table4(read([store.store])), table11(read([store.store]))):
        assert all(block.title.startswith("printed values only") for block in table.blocks)
        assert set(table.frame["source"]) <= {"printed", "corrected"}


def test_suites_of_other_laws_do_not_stand_beside_the_paper(make_store):
    store = make_store("synthetic-hard")
    targets = store.one_target_each(2, 10)
    about = {
        "n_nodes": 10,
        "n_edges": 10,
        "mechanism": "linear",
        "intervention": "hard-uniform",
        "protocol": "dcdi",
    }
    store.job("m", store.task("t", targets, **about), store.at_place(targets, 1))
    assert "ours" not in set(table11(read([store.store])).frame["source"])


def test_bacadi_in_table_11_is_the_fully_connected_one_of_table_4():
    """Table 4 says that its BaCaDI is fully connected. At N = 10, E = 10 the mean of its rows for 1
    and 3 targets is Table 11's row, so that ours beside both has to be fully connected too."""
    keys = ["method", "mechanism", "intervention", "metric"]
    names = ["bacadi-e", "bacadi-m"]
    four = published.table4().query("method in @names").groupby(keys)["mean"].mean()
    eleven = published.table11().query("n_nodes == 10 and n_edges == 10 and method in @names")
    both = eleven.set_index(keys)["mean"]
    assert len(both) == len(four) == 16
    assert (both - four).abs().max() <= 0.015 + 1e-9
    for name in names:
        assert published.READINGS[name] == f"{name}[likelihood=fc]"


def test_bacadi_stands_beside_its_own_kind(make_store):
    store = make_store()
    targets = store.one_target_each(4, 10)
    about = {"n_nodes": 10, "n_edges": 10, "mechanism": "linear", "intervention": "hard-uniform"}
    task = store.task("d", targets, protocol="dcdi", **about)
    outputs = dict.fromkeys(("soft", "e", "m"), store.at_place(targets, 2))
    for parameters in ({}, {"likelihood": "fc"}):
        store.job("bacadi", task, outputs, variants=tuple(outputs), parameters=parameters)
    block = table11(read([store.store])).blocks[0]
    names = [(row.cells[0].text, row.cells[1].text) for row in block.rows]
    connected = names.index(("bacadi-e[likelihood=fc]", "printed"))
    assert names[connected - 1] == ("bacadi-e[likelihood=fc]", "ours")
    assert ("bacadi-e", "ours") in names and ("bacadi-e", "printed") not in names
    assert any("without a likelihood in brackets is the linear one" in n for n in block.notes)


def test_each_counterpart_is_a_published_method():
    assert set(published._COUNTERPARTS.values()) <= set(published.table11()["method"])


def test_printed_rows_of_methods_that_were_not_chosen_are_left_out(results):
    method = next(m for m in results.readings["method"].astype(str) if m == "ut-igsp")
    frame = table11(of_methods(results, [method])).frame
    assert set(frame["published_method"].dropna()) == {"ut-igsp"}
    assert len(set(table11(results).frame["published_method"].dropna())) > 1
