"""Sheets grow by their texts; choices and names of who is drawn."""

from __future__ import annotations

import pytest
from matplotlib.lines import Line2D

from cdnbench.errors import InvalidParameter, UnknownName
from cdnbench.reports import build
from cdnbench.reports.drawing.axes import duration, plain_number
from cdnbench.reports.drawing.cast import Cast, blocks
from cdnbench.reports.drawing.look import Look, styled
from cdnbench.reports.figures import write


def test_a_sheet_keeps_its_width_and_grows_by_its_texts():
    with styled():
        look = Look("one")
        figure = look.figure(2.0)
        assert figure.get_figwidth() == 3.5 and figure.get_figheight() == 2.0
        figure.title("a title")
        with_title = figure.get_figheight()
        figure.legend_above([Line2D([], [], label=f"method {i}") for i in range(9)])
        with_legend = figure.get_figheight()
        figure.note("Words. " * 40)
        assert 2.0 < with_title < with_legend < figure.get_figheight()
        axes = figure.add_subplot()
        figure.draw_without_rendering()
        panel = axes.get_position()
        for text in figure.texts:
            box = text.get_window_extent().transformed(figure.transFigure.inverted())
            assert box.y0 >= panel.y1 - 1e-6 or box.y1 <= panel.y0 + 1e-6
            assert box.x0 >= 0 and box.x1 <= 1


def test_other_widths_are_refused():
    with pytest.raises(InvalidParameter, match="one or two columns"):
        Look("three")


def some(make_store):
    store = make_store()
    targets = store.one_target_each(4, 6)
    for i in range(2):
        task = store.task(f"d{i}", targets, ceiling=targets * 1.0)
        for place, method in enumerate(("a", "b", "c", "target-shift", "random"), 1):
            store.job(method, task, store.at_place(targets, place))
        store.job(
            "dci",
            task,
            {"stability": store.at_place(targets, 2), "graph": targets * 0.0},
            variants=("stability", "graph"),
        )
    return build(store.store).results


def test_trivial_baselines_and_the_highlighted_method_are_always_drawn(make_store):
    results = some(make_store)
    (block,) = blocks(results)
    names = [a.name for a in Cast(results, Look()).chosen(block.rows, 3)]
    assert names == ["a", "target-shift", "random"]
    cast = Cast(results, Look(highlight="c"))
    assert [a.name for a in cast.chosen(block.rows, 3)] == ["c", "target-shift", "random"]
    assert cast["c"].stands_out and not cast["a"].stands_out
    assert cast["c"].mark == Cast(results, Look())["c"].mark
    assert cast["a"].mark.colour != Cast(results, Look())["a"].mark.colour  # paler
    assert cast["ceiling"].mark == Cast(results, Look())["ceiling"].mark


def test_one_reading_of_each_method_the_best(make_store):
    results = some(make_store)
    (block,) = blocks(results)
    names = [a.name for a in Cast(results, Look()).chosen(block.rows, 9)]
    assert "dci" in names and "dci-graph" not in names
    graph = Cast(results, Look(highlight="dci-graph"))
    assert "dci-graph" in [a.name for a in graph.chosen(block.rows, 9)]
    assert graph["dci-graph"].stands_out and not graph["dci"].stands_out
    assert graph["dci-graph"].mark.is_open


def test_dollars_in_a_name_are_no_formula(make_store, tmp_path):
    store = make_store()
    targets = store.one_target_each(4, 6)
    for i in range(2):
        task = store.task(f"d{i}", targets)
        store.job("dci", task, targets * 1.0, parameters={"file": r"$\no{such}$"})
    results = build(store.store).results
    for width in ("one", "two"):
        (path,) = write(results, "dots", tmp_path, Look(width), ("svg",))
        text = path.read_text(encoding="utf-8")
        assert r"dci[file=$\no{such}$]" in text


def test_what_is_not_there_cannot_stand_out(make_store):
    with pytest.raises(UnknownName, match="no method named 'dcj'. Did you mean dci"):
        Cast(some(make_store), Look(highlight="dcj"))


def test_texts_of_numbers():
    assert [plain_number(v) for v in (0.01, 1, 1000)] == ["0.01", "1", "1,000"]
    assert [duration(v) for v in (1e-4, 1e-3, 0.1, 100)] == ["100 µs", "1 ms", "0.1 s", "100 s"]
