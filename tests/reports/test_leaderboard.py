"""The leaderboard by hand-made numbers."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import cdnbench.reports.standings
import cdnbench.reports.tables.leaderboard
from cdnbench.metrics import METRICS
from cdnbench.reports.frame import read
from cdnbench.reports.show.terminal import plain, show
from cdnbench.reports.standings import RANKING, interval, standings
from cdnbench.reports.tables import build


@pytest.fixture
def store(make_store):
    """Four datasets in two settings. `fine` is always second, `best` first but times out on two,
    `random` last."""
    store = make_store()
    targets = store.one_target_each(4, 4)
    for i in range(4):
        task = store.task(
            f"d{i}",
            targets,
            ceiling=targets * 1.0,
            protocol="clean",
            mechanism="ab"[i % 2],
            n_edges=4,
        )
        store.job("fine", task, store.at_place(targets, 2), wall_s=float(i))
        store.job("random", task, store.at_place(targets, 4))
        if i < 2:
            store.job("best", task, store.at_place(targets, 1))
        else:
            store.job("best", task, status="timeout")
    return store


def by_label(results):
    return standings(results).set_index("label")


def test_golden_numbers(store):
    table = by_label(read([store.store]))
    assert table.index.tolist() == ["ceiling", "fine", "random", "best"]
    assert table["average_precision_tie"].tolist() == [1, 0.5, 0.25, 1]
    assert table["auroc"].round(6).tolist() == [1, round(2 / 3, 6), 0, 1]
    assert table["recall_at_1"].tolist() == [1, 0, 0, 1]
    assert table["recall_at_3"].tolist() == [1, 1, 0, 1]
    assert table["finished"].tolist() == [4, 4, 4, 2] and set(table["total"]) == {4}
    assert table.loc["best", "failures"] == "2 timeout"
    assert table.loc["fine", "seconds"] == 1.5
    assert table["kind"].tolist() == ["reference", "method", "trivial", "method"]


def test_a_metric_where_lower_is_better_turns_the_order(store, monkeypatch):
    lower = dataclasses.replace(METRICS[RANKING], higher_is_better=False)
    for module in (cdnbench.reports.standings, cdnbench.reports.tables.leaderboard):
        monkeypatch.setattr(module, "METRICS", {**METRICS, RANKING: lower})
    table = build(read([store.store]), "leaderboard")
    assert table.frame["label"].tolist() == ["ceiling", "random", "fine", "best"]
    ranks = table.frame.set_index("label")["average_rank"]
    assert (ranks["random"], ranks["fine"], ranks["best"]) == (1, 2, 3)
    assert [row.cells[0].text for row in table.blocks[0].rows if row.cells[1].best] == ["random"]


def test_methods_that_did_not_converge_are_counted(store):
    task = next(iter(store.tasks))
    scores = store.at_place(store.one_target_each(4, 4), 2)
    store.job("iterative", task, {"x": scores, "y": scores}, variants=("x", "y"), converged=False)
    store.job("calm", task, scores, converged=True, note="not converged is only a word here")
    notes = build(read([store.store]), "leaderboard").blocks[0].notes
    (said,) = [note for note in notes if "did not converge" in note]
    assert said.startswith("iterative: 1 of 1 jobs")


def test_average_rank_puts_failures_last_and_ignores_the_ceiling(store):
    ranks = by_label(read([store.store]))["average_rank"]
    assert ranks["best"] == (1 + 1 + 3 + 3) / 4
    assert ranks["fine"] == (2 + 2 + 1 + 1) / 4
    assert ranks["random"] == (3 + 3 + 2 + 2) / 4
    assert np.isnan(ranks["ceiling"])


def test_a_method_that_never_finished_is_listed_last(store):
    for hash in store.tasks:
        store.job("never", hash, status="skipped", variants=("x", "y"))
    table = by_label(read([store.store]))
    assert table.index.tolist()[-2:] == ["never", "never-y"]
    assert table.loc["never", "failures"] == "4 skipped" and table.loc["never", "finished"] == 0
    assert np.isnan(table.loc["never", "average_precision_tie"])
    assert (
        table.loc["never", "average_rank"] == 4.25
    )  # tied last: with never-y, and with best where that failed


def test_a_method_run_on_fewer_tasks_stands_last_without_a_rank(store):
    before = by_label(read([store.store]))["average_rank"]
    store.job("some", next(iter(store.tasks)), store.at_place(store.one_target_each(4, 4), 1))
    results = read([store.store])
    table = by_label(results)
    assert table.index[-1] == "some" and np.isnan(table.loc["some", "average_rank"])
    assert (table.loc["some", "finished"], table.loc["some", "total"]) == (1, 4)
    # nor does it push the others down on the one task that it was run on
    np.testing.assert_array_equal(table["average_rank"].drop("some"), before)
    (block,) = build(results, "leaderboard").blocks
    best = {row.cells[0].text for row in block.rows if any(cell.best for cell in row.cells)}
    assert "fine" in best and not best & {"some", "best"}


@pytest.mark.parametrize(
    "factor", ["protocol", "split", "subset", "masking", "track", "standardise"]
)
def test_a_block_for_each_factor(make_store, factor):
    store = make_store()
    targets = store.one_target_each(2, 4)
    for value, place in (("one", 1), ("two", 4)):
        task = store.task(f"t-{value}", targets, **{factor: value})
        store.job("m", task, store.at_place(targets, place))
    table = build(read([store.store]), "leaderboard")
    assert [block.title for block in table.blocks] == [
        f"synthetic, {factor} one",
        f"synthetic, {factor} two",
    ]
    assert table.frame["average_precision_tie"].tolist() == [1, 0.25]


def test_seeds_are_averaged_within_datasets(make_store):
    store = make_store()
    targets = store.one_target_each(2, 4)
    task = store.task("t", targets)
    for seed, place in ((0, 1), (1, 2)):
        store.job("m", task, store.at_place(targets, place), seed=seed)
    row = by_label(read([store.store])).loc["m"]
    assert row["average_precision_tie"] == 0.75 and (row["finished"], row["total"]) == (1, 1)
    assert np.isnan(row["average_precision_tie_sd"])


def test_shown_in_a_log(store):
    out = io.StringIO()
    show(build(read([store.store]), "leaderboard"), Console(file=out, width=40))
    lines = out.getvalue().splitlines()
    assert lines[0] == "synthetic, protocol clean"
    assert lines[1].split()[:2] == ["method", "mAP"]
    assert lines[3].startswith("ceiling") and lines[6].startswith("best")
    assert "1.000†" in lines[6] and "2/4" in lines[6] and "2 timeout" in lines[6]
    assert any("† did not finish every dataset" in line for line in lines)
    assert any("Not run: target-shift" in line for line in lines)


def test_shown_on_a_narrow_terminal(store):
    out = io.StringIO()
    show(
        build(read([store.store]), "leaderboard"),
        Console(file=out, width=60, force_terminal=True, color_system=None),
    )
    assert max(len(line) for line in out.getvalue().splitlines()) <= 60
    assert "Too narrow for" in out.getvalue() and "mAP" in out.getvalue()


def test_headings_over_groups_line_up(store):
    text = plain(build(read([store.store]), "leaderboard").blocks[0]).splitlines()
    assert len({len(line) for line in (text[1], text[2])}) == 1


def test_simulated_data_say_so(make_store):
    store = make_store("perturbseq")
    targets = store.one_target_each(1, 4)
    store.job("m", store.task("t", targets, simulated=True), store.at_place(targets, 1))
    assert "SIMULATED" in build(read([store.store]), "leaderboard").blocks[0].title


def test_no_interval_from_a_handful_of_datasets_of_several_settings():
    found = pd.DataFrame({"average_precision_tie": [0.1, 0.9], "setting": ["a", "b"]})
    assert np.isnan(interval(found)).all()
    enough = pd.DataFrame(
        {"average_precision_tie": [0.1, 0.3, 0.2, 0.9, 0.8, 0.7], "setting": list("aaabbb")}
    )
    low, high = interval(enough)
    assert 0.1 < low < high < 0.9


def hits_and_misses(make_store, n):
    """n datasets of one regime each: `sure` is always right, `torn` right on every other one."""
    store = make_store()
    targets = store.one_target_each(1, 4)
    for i in range(n):
        task = store.task(f"d{i:02}", targets, mechanism="ab"[i % 4 // 2])
        store.job("sure", task, store.at_place(targets, 1))
        store.job("torn", task, store.at_place(targets, 1 + i % 2 * 3))
        store.job("random", task, store.at_place(targets, 3))
    return build(read([store.store]), "leaderboard").blocks[0]


def test_intervals_stand_in_place_of_standard_deviations(make_store):
    block = hits_and_misses(make_store, 20)
    assert [c.title for c in block.columns][:3] == ["method", "mAP", "95 %"]
    shown = {row.cells[0].text: [cell.text for cell in row.cells[1:3]] for row in block.rows}
    assert shown["sure"] == ["1.000", "–"]
    mean, interval_ = shown["torn"]
    low, high = map(float, interval_.split(" to "))
    assert mean == "0.625" and 0.4 < low < 0.5 and 0.75 < high < 0.85
    assert not any("±" in cell.text for row in block.rows for cell in row.cells)
    assert any("bootstrap over whole datasets, setting by setting" in note for note in block.notes)
    assert any(note.startswith("No interval") for note in block.notes)


def test_a_note_says_which_differences_so_many_datasets_can_show(make_store):
    (many,) = [n for n in hits_and_misses(make_store, 20).notes if n.startswith("Power")]
    assert many.startswith("Power: 20 datasets cannot show a difference below 0.")


def test_too_few_datasets_say_that_they_can_show_nothing(make_store):
    (few,) = [n for n in hits_and_misses(make_store, 5).notes if n.startswith("Power")]
    assert "5 datasets cannot show any difference" in few


def test_methods_that_share_no_dataset_have_no_ranks(make_store):
    store = make_store()
    targets = store.one_target_each(4, 4)
    for method in ("here", "there"):
        store.job(method, store.task(f"of-{method}", targets), store.at_place(targets, 1))
    table = by_label(read([store.store]))
    assert table["average_rank"].isna().all() and (table[RANKING] == 1).all()


def test_a_method_that_failed_everywhere_has_no_rank_where_it_stands_alone(make_store):
    store = make_store()
    for i in range(3):
        store.job("alone", store.task(f"d{i}", store.one_target_each(2, 4)), status="error")
    results = read([store.store])
    assert np.isnan(by_label(results).loc["alone", "average_rank"])
    (row,) = build(results, "leaderboard").blocks[0].rows
    texts = [cell.text for cell in row.cells]
    assert "1.00" not in texts and "3 error" in texts


def test_the_datasets_behind_a_recall_are_told_where_they_are_fewer(make_store):
    """A regime of k candidates has no R@k."""
    store = make_store()
    for i, n in enumerate((4, 6, 6)):
        targets = store.one_target_each(2, n)
        task = store.task(f"d{i}", targets, protocol="clean", mechanism="ab"[i % 2])
        store.job("fine", task, store.at_place(targets, 1))
    (block,) = build(read([store.store]), "leaderboard").blocks
    assert any(note.endswith("have no R@k: R@5 on 2 datasets.") for note in block.notes)
    assert by_label(read([store.store])).loc["fine", "recall_at_5_n"] == 2
