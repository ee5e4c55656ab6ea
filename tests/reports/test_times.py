"""Times that share a column are of one kind of machine and were taken in one way."""

from __future__ import annotations

import numpy as np
import pytest

from cdnbench.digest import digest
from cdnbench.record import Provenance
from cdnbench.reports import build as report
from cdnbench.reports import times
from cdnbench.reports.drawing.look import Look
from cdnbench.reports.figures import FIGURES, scaling
from cdnbench.reports.frame import read
from cdnbench.reports.standings import standings
from cdnbench.reports.table import seconds
from cdnbench.reports.tables import build

HERE, OTHER = Provenance(host="Linux, AMD"), Provenance(host="Linux, Xeon")


@pytest.fixture
def store(make_store):
    """Two sizes. `both` ran on either machine, `here` on the usual one, `there` on the other."""
    store = make_store()
    for n in (10, 20):
        targets = store.one_target_each(n, n)
        for i in range(3):
            task = store.task(f"{n}-{i}", targets, protocol="dcdi", n_nodes=n, cell_line="a")
            scores = store.at_place(targets, 1 + i)
            seldom = OTHER if i == 2 else HERE
            store.job("here", task, scores, wall_s=1.0, provenance=HERE)
            store.job("both", task, scores, wall_s=1.0 if i < 2 else 99.0, provenance=seldom)
            store.job("there", task, scores, wall_s=99.0, provenance=OTHER)
    return store


def said(figure) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def test_the_leaderboard_has_times_of_one_machine(store):
    results = read([store.store])
    seconds = standings(results).set_index("label")["seconds"]
    assert (seconds["here"], seconds["both"]) == (1.0, 1.0)
    assert np.isnan(seconds["there"])
    (note,) = [n for n in build(results, "leaderboard").blocks[0].notes if "s/task" in n]
    assert "on Linux, AMD, cpu, 1 thread" in note
    assert "of there (Linux, Xeon, cpu, 1 thread)" in note
    assert "table9" in note


def test_one_machine_needs_no_note(make_store):
    store = make_store()
    targets = store.one_target_each(4, 4)
    store.job("m", store.task("t", targets, protocol="dcdi"), store.at_place(targets, 1))
    (block,) = build(read([store.store]), "leaderboard").blocks
    assert not any("s/task" in note for note in block.notes)


def test_figures_of_times_have_one_machine(store):
    results = report(store.store).results
    rows, _ = scaling.recorded(results)
    assert set(rows["method"]) == {"here", "both"}
    assert set(rows["seconds"]) == {1.0}
    for name in ("scaling", "cost", "figure9"):
        drawn = list(FIGURES.load(name).draw(results, Look()))
        assert all("of there (Linux, Xeon, cpu, 1 thread)" in said(figure) for _, figure in drawn)


@pytest.mark.parametrize("left", ["", "b"])
def test_times_alone_count_where_every_method_has_some(make_store, left):
    store = make_store()
    targets = store.one_target_each(4, 4)
    task = store.task("t", targets, protocol="dcdi")
    for method in "ab":
        single = None if method == left else 2.0
        scores = store.at_place(targets, 1)
        store.job(method, task, scores, wall_s=9.0, wall_s_single=single, timing={})
    results = read([store.store])
    taken = times.comparable(results.jobs, results.readings)
    assert taken.timed == (times.BESIDE if left else times.ALONE)
    assert set(taken.seconds) == {9.0 if left else 2.0}
    assert taken.conditions == f"cpu, 1 thread, {taken.timed}"


@pytest.fixture
def timed(make_store):
    """`calm` and `hasty` were timed alone, `hasty` on a busy machine; `rest` never was."""
    store = make_store("perturbseq")
    targets = store.one_target_each(1, 10)
    loads = {"calm": 0.9, "hasty": 3.9}
    for i in range(3):
        task = store.task(f"t{i}", targets, cell_line="a", split="seen", simulated=True)
        for method in ("calm", "hasty", "rest"):
            alone = {"wall_s_single": 0.0003, "timing": {"load_average": loads.get(method)}}
            of = alone if method in loads and i else {}
            store.job(method, task, store.at_place(targets, 1), wall_s=8.0, **of)
    return store.store


def test_table9_says_which_times_are_of_a_busy_machine(timed):
    table = build(read([timed]), "table9")
    alone, beside = table.blocks
    shown = {row.cells[0].text: row.cells[1].shown for row in alone.rows}
    assert shown == {"calm": "0.0003", "hasty": "0.0003‡"}
    assert [row.cells[0].text for row in beside.rows] == ["rest"]
    (note,) = [note for note in table.notes if note.startswith("‡")]
    assert "load average up to 3.9" in note and note.endswith("alone: hasty.")


def test_table9_has_trainings_in_a_block_of_their_own(make_store):
    store = make_store("perturbseq")
    targets = store.one_target_each(1, 10)
    task = store.task("t", targets, cell_line="a", split="seen", simulated=True)
    large = store.task("l", targets, cell_line="b", split="seen", simulated=True, size="full")
    for method in ("mlp", "linear"):
        fit = digest(method, "fit")
        store.job(method, task, store.at_place(targets, 1), wall_s=1.0, fit=fit)
    store.job("other", large, store.at_place(targets, 1), wall_s=1.0, fit=digest("other", "fit"))
    store.fit("other", wall_s=9.0, provenance=Provenance(host="there"))
    store.fit("mlp", wall_s=90.0, provenance=Provenance(host="there"))
    store.fit("linear", wall_s=2.0, provenance=Provenance(host="there"))
    store.fit("gears", "timeout", provenance=Provenance(host="there"))
    results = read([store.store, store.store])  # as where a folder holds a store and its archive
    table = build(results, "table9")
    *_, block = table.blocks
    assert block.title == "there, one training"
    titles = [column.title for column in block.columns]
    assert titles == ["method", "perturbseq", "perturbseq, size full"]
    assert [[cell.text for cell in row.cells] for row in block.rows] == [
        ["linear", "2.0", ""],
        ["other", "", "9.0"],
        ["mlp", "90", ""],
    ]
    assert any(note.startswith("One training: the median") for note in table.notes)


def test_figure9_has_times_alone_where_there_are_some(timed):
    results = report(timed).results
    ((_, figure),) = FIGURES.load("figure9").draw(results, Look())
    (axes,) = figure.axes
    middles = {float(line.get_xdata()[0]) for line in axes.lines if len(line.get_xdata()) == 1}
    assert middles == {0.0003, 8.0}
    assert "some timed alone, some beside other jobs" in axes.get_xlabel()
    assert "First calls, timed beside other jobs: rest." in said(figure)
    assert "load average up to 3.9" in said(figure) and "alone: hasty." in said(figure)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "<0.00001"), (3e-5, "0.00003"), (4.2e-4, "0.0004"), (9.6e-4, "0.001"), (1.234, "1.2")],
)
def test_no_time_is_nothing(value, text):
    assert seconds(value) == text
