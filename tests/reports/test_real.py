"""The table of real data."""

from __future__ import annotations

import numpy as np
import pytest

from cdnbench.reports.frame import read
from cdnbench.reports.standings import standings
from cdnbench.reports.tables import build as leaderboard
from cdnbench.reports.tables.real import build, by_source, exceeds


@pytest.fixture
def results(make_store):
    """Two data sets of 4 and 2 perturbed tasks over 5 variables, and 3 control tasks each.

    `good` puts the target first, with a top score above that of every control task; `half` does on
    every other task, and says the same of controls; `few` fails on the second data set.
    """
    store = make_store("real")
    rng = np.random.default_rng(0)
    for source, n in (("cells", 4), ("array", 2)):
        about = {"dataset": source, "source": source, "setting": ()}
        for i in range(n):
            targets = store.one_target_each(1, 5)
            moved = np.full((1, 5), i % 2 == 0)
            name = f"{source}/{i}"
            task = store.task(name, targets, detectable=moved, kind="perturbed", **about)
            store.job("good", task, store.at_place(targets, 1) + 10)
            store.job("half", task, store.at_place(targets, 1 + i % 2))
            if source == "cells":
                store.job("few", task, store.at_place(targets, 1))
            else:
                store.job("few", task, status="skipped")
        for i in range(3):
            nothing = np.zeros((1, 5), bool)
            task = store.task(f"{source}/control{i}", nothing, kind="control", **about)
            store.job("good", task, rng.permutation(5)[None] + 0.0)
            store.job("half", task, rng.permutation(5)[None] + 1.0)
            store.job("few", task, rng.permutation(5)[None] + 0.0)
    other = make_store("synthetic")
    task = other.task("d", other.one_target_each(2, 5))
    other.job("good", task, np.zeros((2, 5)))
    return read([store.store, other.store])


def rows(table, title):
    (block,) = [b for b in table.blocks if title in b.title]
    return {row.cells[0].text: [c.shown for c in row.cells[1:]] for row in block.rows}, block


def test_a_column_per_data_set_and_the_mean_over_them(results):
    table = build(results)
    found, block = rows(table, "found first")
    assert [c.title for c in block.columns][1:3] == ["array", "cells"]
    assert found["good"][:2] == ["1.000", "1.000"] and found["good"][2].startswith("1.000 ± 0.000")
    assert found["half"] == ["0.500", "0.500", "0.500 ± 0.000", "2/2"]
    assert found["few"] == ["–", "1.000", "1.000†", "1/2"]
    assert list(found) == ["good", "half", "few"]  # a mean over one data set is no second place
    assert all(b.title.startswith("real: ") for b in table.blocks)


def test_false_alarms(results):
    table = build(results)
    moves, block = rows(table, "own values move")
    assert moves["good"][:2] == ["1.000", "1.000"]
    assert moves["half"][:2] == ["0.500", "0.500"]  # its top score is 5 everywhere
    assert "array 1 against 3, cells 2 against 3" in block.notes[1]
    still, _ = rows(table, "own values do not move")
    assert still["good"][:2] == ["1.000", "1.000"]


def test_the_share_of_targets_that_left_a_trace(make_store):
    store = make_store()
    targets = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
    traces = np.array([[1, 0, 1], [1, 0, 1], [1, 1, 1]], bool)
    for name, detectable in (("told", traces), ("untold", None)):
        task = store.task(name, targets, detectable=detectable)
        store.job("good", task, np.zeros((3, 3)))
    regimes = read([store.store]).regimes
    told = regimes.loc[regimes["task"] == "told", "detectable"]
    np.testing.assert_array_equal(told, [0.5, 0.0, np.nan])
    assert regimes.loc[regimes["task"] == "untold", "detectable"].isna().all()
    assert regimes["top_score"].eq(0).all()


def test_controls_disturb_no_metric(results):
    frame = by_source(results).set_index(["label", "source"])
    assert set(frame["suite"]) == {"real"}
    cells = frame.loc[("half", "cells")]
    assert (cells["total"], cells["n_control"], cells["n_moves"]) == (4, 3, 2)
    assert cells["recall_at_1"] == 0.5 and cells["rank"] == pytest.approx(1 - 0.5 / 4)


def test_without_real_data(make_store):
    store = make_store("synthetic")
    store.job("good", store.task("d", store.one_target_each(2, 5)), np.zeros((2, 5)))
    table = build(read([store.store]))
    assert not table.blocks and "bench run --suite real" in table.notes[0]


def test_exceeds_counts_pairs():
    rng = np.random.default_rng(0)
    high, low = rng.integers(0, 6, 30) * 1.0, rng.integers(0, 6, 20) * 1.0
    pairs = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    assert exceeds(high, low) == pytest.approx(pairs.mean())
    assert np.isnan(exceeds(high, low[:0])) and np.isnan(exceeds(high[:0], low))


def test_controls_are_neither_finished_nor_failed_on_the_leaderboard(make_store):
    """A method that cannot be run on controls has finished the data set, and is ranked on it."""
    store = make_store("real")
    about = {"dataset": "cells", "source": "cells", "setting": ()}
    targets = store.one_target_each(1, 5)
    for i in range(3):
        task = store.task(f"cells/{i}", targets, kind="perturbed", **about)
        store.job("first", task, store.at_place(targets, 1))
        store.job("second", task, store.at_place(targets, 2))
    control = store.task("cells/control", np.zeros((1, 5), bool), kind="control", **about)
    store.job("first", control, status="skipped")
    store.job("second", control, np.arange(5.0)[None])
    table = standings(read([store.store])).set_index("label")
    assert table["finished"].to_dict() == table["total"].to_dict() == {"first": 1, "second": 1}
    assert table["average_rank"].to_dict() == {"first": 1.0, "second": 2.0}
    assert table.loc["first", "failures"] == "" and table["covers"].all()


def test_controls_alone_make_an_empty_leaderboard(make_store):
    store = make_store("real")
    nothing = np.zeros((1, 5), bool)
    task = store.task("cells/control", nothing, kind="control", source="cells", setting=())
    store.job("m", task, np.arange(5.0)[None])
    assert not leaderboard(read([store.store]), "leaderboard").blocks
