"""`bench compare`: two sides on the tasks that both finished."""

import dataclasses

import numpy as np
import pytest

from cdnbench import run
from cdnbench.errors import BenchError, InvalidParameter, UnknownName
from cdnbench.record import Status
from cdnbench.registry import load_method
from cdnbench.reports.versus import Side, versus
from cdnbench.store import Store

VERSION = load_method("target-shift").info.version


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of two methods, one of them with two settings."""
    out = tmp_path_factory.mktemp("results") / "mini"
    methods = "target-shift,ut-igsp,ut-igsp:alpha=0.2"
    run("synthetic-mini", methods, out=out, limit=4, jobs=2)
    return out


def changed(folder, into, change):
    """A copy of the store in which every record is changed."""
    store, made = Store(folder), Store(into).create()
    for record in store.jobs():
        new, scores = change(record, store.scores(record.key))
        made.write_task(store.task(record.task_hash))
        made.write_job(new, scores)
    made.close()
    return into


def test_two_methods(folder):
    table = versus(Side.of("target-shift", folder), Side.of("ut-igsp:alpha=0.2", folder))
    (row,) = table.frame.to_dict("records")
    assert row["n_datasets"] == 4 and row["difference"] == pytest.approx(row["a"] - row["b"])
    assert row["low"] <= row["difference"] <= row["high"]


def test_two_folders_are_compared_method_by_method(folder, tmp_path):
    worse = changed(
        folder,
        tmp_path / "worse",
        lambda record, scores: (
            dataclasses.replace(record, code="other", method_version="7"),
            {k: -v if record.method == "target-shift" else v for k, v in scores.items()},
        ),
    )
    table = versus(Side.of(str(folder), folder), Side.of(str(worse), folder))
    rows = table.frame.set_index("pair")
    assert rows.loc["target-shift", "difference"] > 0.2
    assert rows.loc["ut-igsp", "difference"] == 0
    assert any(f"target-shift: versions {VERSION} in A and 7 in B" in note for note in table.notes)


def test_two_versions_of_one_method_in_one_folder(folder, tmp_path):
    both = changed(folder, tmp_path / "both", lambda record, scores: (record, scores))
    store = Store(both)
    for record in list(store.jobs()):
        if record.method == "target-shift":
            new = dataclasses.replace(record, key=record.key[::-1], method_version="9")
            store.write_job(new, {k: -v for k, v in store.scores(record.key).items()})
    store.close()
    table = versus(Side.of(f"target-shift@{VERSION}", both), Side.of("target-shift@9", both))
    assert table.frame["difference"].item() > 0.2


def test_only_what_both_finished_counts(folder, tmp_path):
    fewer = Store(tmp_path / "fewer").create()
    store = Store(folder)
    for record in [r for r in store.jobs() if r.method == "target-shift"][:2]:
        fewer.write_task(store.task(record.task_hash))
        fewer.write_job(record, store.scores(record.key))
    fewer.close()
    table = versus(Side.of("ut-igsp:alpha=0.2", folder), Side.of(str(fewer.folder), folder))
    assert table.frame["n_datasets"].item() == 2
    assert np.isfinite(table.frame["difference"]).all()


@pytest.mark.parametrize(
    ("a", "error", "message"),
    [
        ("ut-igsp", BenchError, "more than one reading.*alpha=0.2"),
        ("rcd", BenchError, "no result of rcd.*target-shift@"),
        ("target-shift@8", BenchError, "no result of target-shift@8"),
        ("nothing", UnknownName, "no method named 'nothing'"),
        ("rcd,dci", BenchError, "not one method"),
    ],
)
def test_a_side_that_cannot_be(folder, a, error, message):
    with pytest.raises(error, match=message):
        versus(Side.of(a, folder), Side.of("target-shift", folder))


def test_a_metric_that_does_not_exist(folder):
    side = Side.of("target-shift", folder)
    with pytest.raises(UnknownName, match="average_precision"):
        versus(side, side, "average_precision_ti")


def test_a_parameter_may_be_given_its_default(folder):
    default = load_method("ut-igsp").method.alpha
    a, b = (Side.of(f"ut-igsp:alpha={value}", folder) for value in (default, 0.2))
    (row,) = versus(a, b).frame.to_dict("records")
    assert row["n_datasets"] == 4 and row["difference"] != 0


def only(folder, into, method, change=lambda record, scores: (record, scores)):
    """A copy of the store with the jobs of one method."""
    store, made = Store(folder), Store(into).create()
    for record in store.jobs():
        if record.method == method:
            new, scores = change(record, store.scores(record.key))
            made.write_task(store.task(record.task_hash))
            made.write_job(new, scores)
    made.close()
    return Side.of(str(into), into)


def test_why_there_is_nothing_to_compare(folder, tmp_path, recwarn):
    a = only(folder, tmp_path / "a", "target-shift")
    b = only(folder, tmp_path / "b", "ut-igsp")
    note = versus(a, b).notes[-1]
    assert "no method is on both sides. A has target-shift; B has ut-igsp, " in note
    failed = only(
        folder,
        tmp_path / "failed",
        "target-shift",
        lambda record, scores: (dataclasses.replace(record, status=Status.error), None),
    )
    assert versus(a, failed).notes[-1].endswith("no job of B was finished.")
    assert not [w for w in recwarn if issubclass(w.category, FutureWarning)]


def test_other_seeds_are_told(folder, tmp_path):
    other = only(
        folder,
        tmp_path / "other",
        "target-shift",
        lambda record, scores: (dataclasses.replace(record, seed=3), scores),
    )
    notes = versus(Side.of(str(folder), folder), other).notes
    assert "target-shift: seeds 0 in A and 3 in B." in notes


def test_a_folder_without_results(tmp_path):
    empty = Store(tmp_path / "empty").create().folder
    with pytest.raises(BenchError, match="empty holds no result"):
        Side.of(str(empty), empty).results()


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InvalidParameter, match="There is no folder results/befor, and no method"):
        Side.of("results/befor", tmp_path)


def test_a_parameter_that_the_method_lacks_is_told(tmp_path):
    with pytest.raises(UnknownName, match="no parameter of dci named 'max_setsize'. Did you mean"):
        Side.of("dci:max_setsize=1", tmp_path)
    assert Side.of("dci:max_set_size=1", tmp_path).parameters == {"max_set_size": 1}
