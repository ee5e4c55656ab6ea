"""`--methods` and `--columns`."""

from __future__ import annotations

import pytest

from cdnbench.commands.report import names_in
from cdnbench.errors import BenchError, UnknownName
from cdnbench.reports.frame import read
from cdnbench.reports.report import Report
from cdnbench.reports.select import of_columns, of_methods


@pytest.fixture
def results(make_store):
    store = make_store()
    targets = store.one_target_each(4, 6)
    for i in range(6):
        task = store.task(f"d{i}", targets, ceiling=targets * 1.0, protocol="clean")
        for place, method in enumerate(("first", "second", "third")):
            store.job(method, task, store.at_place(targets, place + 1))
        store.job("two", task, {"a": targets * 1.0, "b": targets * 0.0}, variants=("a", "b"))
    return read([store.store])


def test_methods_count_among_themselves(results):
    report = Report(of_methods(results, ["second", "third"]))
    board = report.table().frame.set_index("label")
    assert list(board.index) == ["ceiling", "second", "third"]
    assert board["average_rank"].tolist()[1:] == [1.0, 2.0]
    assert set(report.jobs["method"]) == {"second", "third"}
    assert "second" in report.to_html() and "first" not in str(report.table("jobs"))


def test_a_reading_can_be_named(results):
    assert set(of_methods(results, ["two-b"]).readings["label"]) == {"ceiling", "two-b"}
    assert set(of_methods(results, ["two"]).readings["label"]) == {"ceiling", "two", "two-b"}


def test_an_unknown_method_is_refused(results):
    with pytest.raises(UnknownName, match="Did you mean second") as raised:
        of_methods(results, ["secnd"])
    assert "Known: first, second, third, two, two-a, two-b." in str(raised.value)


def test_commas_in_brackets_belong_to_a_name():
    text = "a[x=1, y=[2, 3]], b (this package; worlds, suites),, c"
    assert names_in(text) == ["a[x=1, y=[2, 3]]", "b (this package; worlds, suites)", "c"]
    assert names_in(None) == names_in(",") == []


def test_columns_keep_their_order_and_what_a_row_is(results):
    table = of_columns(Report(results).table(), ["r@1", "mAP"])
    assert [column.title for column in table.blocks[0].columns] == ["method", "mAP", "R@1"]
    assert all(len(row.cells) == 3 for row in table.blocks[0].rows)


def test_groups_of_columns(results):
    whole = Report(results).table("table11")
    group = of_columns(whole, ["linear"]).blocks[0]
    assert {column.group for column in group.columns} == {"", "linear"}
    one = of_columns(whole, ["linear:AUC"]).blocks[0]
    assert [(c.group, c.title) for c in one.columns[2:]] == [("linear", "AUC")]


def test_an_unknown_column_is_refused(results):
    with pytest.raises(BenchError, match="no column R@2.*R@1"):
        of_columns(Report(results).table(), ["mAP", "R@2"])


def test_the_chosen_methods_have_their_own_best(results):
    block = Report(of_methods(results, ["second", "third"])).table().blocks[0]
    best = [row.cells[0].text for row in block.rows if row.cells[1].best]
    assert best == ["second"]
