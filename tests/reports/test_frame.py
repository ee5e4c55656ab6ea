"""Stores become frames: nothing imputed, nothing dropped in silence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cdnbench import reports
from cdnbench.errors import BenchError
from cdnbench.metrics import METRICS, evaluate
from cdnbench.reports.frame import ReportWarning, jobs, read, tidy
from cdnbench.reports.read import load, replaced
from cdnbench.segments import ARRAYS
from cdnbench.store import Store


@pytest.fixture
def filled(make_store):
    """One task of 3 regimes and 4 variables; `good` finishes, `pair` has two readings, `slow` times
    out."""
    store = make_store()
    targets = store.one_target_each(3, 4)
    task = store.task(
        "t0",
        targets,
        ceiling=targets.astype(float),
        protocol="clean",
        mechanism="linear",
        n_edges=4,
    )
    store.job("good", task, store.at_place(targets, 1))
    store.job(
        "pair",
        task,
        {"a": store.at_place(targets, 2), "b": np.zeros(targets.shape)},
        variants=("a", "b"),
    )
    store.job("slow", task, status="timeout")
    return store


def test_one_row_per_reading_regime_and_metric(filled):
    frame = tidy([filled.store])
    done = frame[frame["status"] == "ok"]
    existing = [
        name
        for name in METRICS
        if name not in ("recall_at_5", "recall_at_20", "recall_at_20_covered")
    ]  # k >= 4 candidates: no row
    assert set(done["metric"]) == set(existing)
    assert len(done) == 4 * 3 * len(existing)  # good, pair's two readings and the ceiling
    assert set(done["label"]) == {"good", "pair", "pair-b", "ceiling"}
    assert not done.duplicated(["label", "task", "regime", "metric"]).any()


def test_values_are_those_of_the_metrics(filled):
    frame = tidy([filled.store])
    targets = filled.one_target_each(3, 4)
    expected = evaluate(filled.at_place(targets, 2), targets)
    for name in ("average_precision", "rank", "recall_at_1", "coverage"):
        own = frame[(frame["label"] == "pair") & (frame["metric"] == name)].sort_values("regime")
        np.testing.assert_array_equal(own["value"], expected[name])


def test_columns_that_scripts_may_rely_on(filled):
    frame = tidy([filled.store])
    promised = [
        "suite",
        "split",
        "protocol",
        "subset",
        "masking",
        "task",
        "regime",
        "n_targets",
        "method",
        "variant",
        "seed",
        "status",
        "metric",
        "value",
    ]
    assert [c for c in promised if c not in frame.columns] == []
    row = frame.iloc[0]
    assert (row["suite"], row["protocol"], row["split"], row["masking"]) == (
        "synthetic",
        "clean",
        "",
        "",
    )
    assert (row["mechanism"], row["n_edges"], row["dataset"], row["varsortability"]) == (
        "linear",
        4,
        "t0",
        0.5,
    )
    assert pd.api.types.is_integer_dtype(frame["regime"]) and pd.api.types.is_integer_dtype(
        frame["n_targets"]
    )


def test_what_failed_has_one_row_without_a_value(filled):
    frame = tidy([filled.store])
    failed = frame[frame["method"] == "slow"]
    assert failed["status"].tolist() == ["timeout"]
    assert failed["metric"].tolist() == [""]
    assert failed["value"].isna().all() and failed["regime"].isna().all()


def test_jobs_have_the_promised_columns(filled):
    frame = jobs([filled.store])
    promised = [
        "key",
        "method",
        "method_version",
        "task",
        "seed",
        "status",
        "reason",
        "note",
        "batch_size",
        "wall_s",
        "wall_s_single",
        "cpu_s",
        "peak_rss_mb",
        "peak_gpu_mb",
        "device",
        "threads",
        "versions",
        "git_sha",
        "dirty",
        "host",
        "started_at",
    ]
    assert [c for c in promised if c not in frame.columns] == []
    assert sorted(frame["status"]) == ["ok", "ok", "timeout"]
    assert frame.set_index("method").loc["slow", "reason"] == "because timeout"


def test_fits_are_among_the_jobs(filled):
    filled.fit("mlp", "timeout", log="models/abc/fit.log")
    frame = jobs([filled.store])
    fit = frame[frame["kind"] == "fit"].iloc[0]
    assert (fit["method"], fit["status"], fit["log"]) == ("mlp", "timeout", "models/abc/fit.log")
    assert "mlp" not in set(read([filled.store]).readings["method"])


def test_what_tells_readings_apart_has_columns_of_its_own(make_store):
    store = make_store()
    targets = store.one_target_each(2, 4)
    task = store.task("t0", targets)
    store.job(
        "m",
        task,
        {"x": targets * 1.0, "y": targets * 1.0},
        variants=("x", "y"),
        parameters={"device": "cpu", "depth": 2},
        knowledge={"name": "", "annotations": "abc"},
    )
    frame = tidy([store.store]).drop_duplicates("label").set_index("label")
    row = frame.loc["m-y[depth=2]"]
    assert (row["method"], row["variant"]) == ("m", "y")
    assert row["parameters"] == '{"depth": 2}'
    assert row["knowledge"] == '{"annotations": "abc", "name": ""}'


def test_parameters_are_part_of_the_label(make_store):
    store = make_store()
    targets = store.one_target_each(2, 4)
    task = store.task("t0", targets)
    store.job(
        "dci",
        task,
        {"x": targets * 1.0, "y": targets * 1.0},
        variants=("x", "y"),
        parameters={"max_set_size": 2},
    )
    assert set(tidy([store.store])["label"]) == {"dci[max_set_size=2]", "dci-y[max_set_size=2]"}


def test_labels_stay_on_one_line_and_long_ones_apart(make_store):
    store = make_store()
    targets = store.one_target_each(2, 4)
    task = store.task("t0", targets)
    for ending in ("a.csv", "b.csv", "\x1b[2J\n"):
        store.job("dci", task, targets * 1.0, parameters={"file": "folder/" * 50 + ending})
    store.job("dci", task, targets * 1.0, parameters={"file": "a\x1b[2J\nb"})
    labels = set(tidy([store.store])["label"])
    assert len(labels) == 4 and "dci[file=a\\x1b[2J\\nb]" in labels
    assert all(label.isprintable() and len(label) < 120 for label in labels)


def test_only_the_newest_record_of_a_job_counts(make_store):
    store = make_store()
    targets = store.one_target_each(2, 4)
    task = store.task("t0", targets)
    store.job(
        "m", task, store.at_place(targets, 1), method_version="1", started_at="2026-01-01T00:00:00"
    )
    store.job(
        "m", task, store.at_place(targets, 4), method_version="2", started_at="2026-02-01T00:00:00"
    )
    results = read([store.store])
    assert results.notes == (
        "1 older records are superseded by newer ones (see `superseded` in the jobs table)",
    )
    assert (results.regimes["rank"] == 0).all() and len(results.regimes) == 2
    assert results.jobs.set_index("method_version")["superseded"].to_dict() == {
        "1": True,
        "2": False,
    }


def test_a_failure_of_the_machine_supersedes_no_result(make_store):
    stores = [make_store(folder=name) for name in ("done", "killed")]
    for store in stores:
        targets = store.one_target_each(2, 4)
        task = store.task("t", targets)
        if store is stores[0]:
            store.job("m", task, store.at_place(targets, 1), started_at="2026-01-01")
        else:
            store.job("m", task, status="error", outside=True, started_at="2026-02-01")
    results = read([store.store for store in stores])
    assert (results.regimes["rank"] == 1).all() and len(results.regimes) == 2


def test_nothing_is_dropped_for_a_failure_of_the_machine(make_store):
    """It ran on newer data, and there is still no result on them."""
    store = make_store()
    targets = store.one_target_each(2, 4)
    old, new = (store.task("t", targets, hash=name) for name in ("old", "new"))
    store.job("m", old, store.at_place(targets, 1), started_at="2026-01-01")
    store.job("m", new, status="error", outside=True, started_at="2026-02-01")
    assert replaced(load([store.store])) == (set(), 1)


def test_suites_of_different_sizes_stand_in_one_frame(make_store):
    small, large = make_store("a"), make_store("b")
    for store, n in ((small, 3), (large, 30)):
        targets = store.one_target_each(2, n)
        store.job("m", store.task("t", targets), store.at_place(targets, 1))
    frame = tidy([small.store, large.store])
    counts = frame[frame["metric"] == "recall_at_20"].groupby("suite", observed=True).size()
    assert counts.to_dict() == {"b": 2}


def test_regimes_without_targets_stay_undefined(make_store):
    store = make_store()
    targets = store.one_target_each(2, 4)
    scores = store.at_place(targets, 1)
    targets[0] = False
    store.job("m", store.task("t", targets), scores)
    ranks = tidy([store.store]).query("metric == 'rank'").set_index("regime")["value"]
    assert np.isnan(ranks[0]) and ranks[1] == 1


def test_a_lost_task_is_named(filled):
    other = filled.task("t1", filled.one_target_each(1, 4), written=False)
    filled.job("good", other, filled.at_place(filled.one_target_each(1, 4), 1))
    with pytest.warns(ReportWarning, match=f"'t1'.*{other}.*left out"):
        assert set(tidy([filled.store])["task"]) == {"t0"}


def test_a_skipped_job_whose_task_was_never_made_counts(filled):
    other = filled.task("t1", filled.one_target_each(1, 4), written=False, protocol="clean")
    filled.job("good", other, status="skipped")
    row = tidy([filled.store]).query("task == 't1'").iloc[0]
    assert (row["status"], row["protocol"]) == ("skipped", "clean")


@pytest.mark.parametrize("damage", ["missing", "cut", "another shape"])
def test_scores_that_cannot_be_used_are_an_error_of_that_job(filled, make_store, damage):
    targets = filled.one_target_each(3, 4)
    later = make_store()  # another run into the same folder, which writes a file of its own
    later.tasks = filled.tasks
    before = set((filled.store.folder / "records").iterdir())
    scores = np.zeros((9, 9)) if damage == "another shape" else targets * 1.0
    key = later.job("late", next(iter(filled.tasks)), scores)
    later.store.close()
    (arrays,) = [
        path
        for path in set((filled.store.folder / "records").iterdir()) - before
        if path.suffix == ARRAYS
    ]
    if damage == "missing":
        arrays.unlink()
    elif damage == "cut":
        arrays.write_bytes(arrays.read_bytes()[:10])
    results = read([Store(filled.store.folder)])
    assert key in results.notes[0]
    assert results.jobs.set_index("method").loc["late", "status"] == "error"
    assert "late" not in set(results.regimes["label"])
    assert "good" in set(results.regimes["label"])


def test_a_broken_record_is_left_out_and_named(filled):
    (filled.store.folder / "jobs").mkdir()
    (filled.store.folder / "jobs" / "bad.json").write_text('{"key": "bad"}')
    results = read([Store(filled.store.folder)])
    assert "bad.json" in results.notes[0] and "lacks method, status" in results.notes[0]
    assert len(results.jobs) == 3


def test_nothing_to_report_is_an_error(tmp_path, make_store):
    with pytest.raises(BenchError, match="No results"):
        reports.build(tmp_path / "nowhere")
    make_store()
    with pytest.raises(BenchError, match="No finished job"):
        reports.build(tmp_path)


def test_results_on_data_that_were_made_anew_stand_alone(make_store):
    """The older task of the same name, which another method was run on, is left out."""
    fake = make_store()
    targets = np.eye(1, 4, dtype=bool)
    old, new = (fake.task("d0", targets, protocol="clean", seed=seed) for seed in (1, 2))
    fake.job("target-shift", old, targets * 1.0, started_at="2026-01-01T00:00:00+00:00")
    fake.job("random", old, targets * 1.0, started_at="2026-01-01T00:00:00+00:00")
    fake.job("random", new, 1.0 - targets, started_at="2026-02-01T00:00:00+00:00")
    readings = read([fake.store]).readings
    assert readings["method"].astype(str).tolist() == ["random"]
