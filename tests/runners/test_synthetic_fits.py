"""Methods with `fit` on the synthetic suites: one fit for all tasks, once, whatever is split or
resumed; what is not for these suites is skipped without one."""

import numpy as np
import pytest
from outcomes import same

from cdnbench.merging import merge
from cdnbench.record import FitRecord
from cdnbench.registry import METHODS, entries, load_class
from cdnbench.reports.frame import read
from cdnbench.reports.tables.distribution import settings
from cdnbench.runners.plan import Limits, make_plan
from cdnbench.runners.run import Run
from cdnbench.runners.shards import Shard
from cdnbench.store import Store

FEW = {"training_datasets": 3, "training_variables": "10"}
TRAINED = [
    name for name in entries(METHODS) if load_class(METHODS, name).info.supervised == "required"
]


def plan_of(methods, suite="synthetic-mini", limit=None, **options):
    options = {**FEW, **options}
    return make_plan(suite, options, methods, limit=limit, limits=Limits(timeout_s=60))


def sweep(folder, methods, suite="synthetic-mini", shard="1/1", limit=None, **options):
    run = Run(
        plan_of(methods, suite, limit, **options), Store(folder), jobs=2, shard=Shard.parse(shard)
    )
    run.execute()
    return run.store


def fits_in(store):
    return [record for record in store.records() if isinstance(record, FitRecord)]


def test_one_fit_serves_all_tasks_and_a_second_run_learns_nothing(faulty, tmp_path):
    trace = tmp_path / "trace"
    store = sweep(tmp_path / "out", f"learner:trace={trace}", limit=3)
    assert trace.read_text().split() == ["3"] and len(list(store.jobs())) == 3
    store = sweep(tmp_path / "out", f"learner:trace={trace}")
    assert trace.read_text().split() == ["3"] and len(list(store.jobs())) == 8
    (fit,) = fits_in(store)
    assert (fit.status, fit.n_tasks, fit.options) == ("ok", 3, FEW)
    assert {record.fit for record in store.jobs()} == {fit.key}


def test_suites_in_one_folder_share_the_fit(faulty, tmp_path):
    trace = tmp_path / "trace"
    for suite in ("synthetic-mini", "synthetic-demo"):
        store = sweep(tmp_path / "out", f"learner:trace={trace}", suite, limit=2)
    assert trace.read_text().split() == ["3"] and len(fits_in(store)) == 1


def test_another_training_set_is_another_fit_and_another_reading(faulty, tmp_path):
    for n in (3, 4):
        store = sweep(tmp_path / "out", "learner,good", limit=2, training_datasets=n)
    results = read([store])
    labels = set(results.readings["label"]) - {"ceiling"}
    assert labels == {
        "good",
        "learner [3 training datasets of 10 variables]",
        "learner [4 training datasets of 10 variables]",
    }
    assert len(list(store.jobs())) == 6, "methods without a fit have nothing to repeat"


def test_shards_merge_to_what_one_run_gives(faulty, tmp_path):
    whole = sweep(tmp_path / "whole", "learner,good")
    parts = [tmp_path / f"part-{i}" for i in (1, 2, 3)]
    for i, part in enumerate(parts, 1):
        sweep(part, "learner,good", shard=f"{i}/3")
    merged = Store(tmp_path / "merged").create()
    merge([Store(part) for part in parts], merged)
    assert same(merged) == same(whole)
    assert {fit.key for fit in fits_in(merged)} == {fit.key for fit in fits_in(whole)}


def test_the_shard_of_fits_trains_once_for_those_that_follow(faulty, tmp_path):
    trace, out = tmp_path / "trace", tmp_path / "out"
    for shard in ("fits", "1/2", "2/2"):
        store = sweep(out, f"learner:trace={trace}", shard=shard)
    assert trace.read_text().split() == ["3"]
    assert {record.status for record in store.jobs()} == {"ok"} and len(list(store.jobs())) == 8


def test_keys_without_a_fit_know_nothing_of_training(faulty):
    usual = {"training_variables": "all", "training_datasets": 240}
    few, many = plan_of("good,learner"), plan_of("good,learner", **usual)
    for one, other in zip(few.jobs, many.jobs, strict=True):
        assert (one.key == other.key) == (one.method.info.name == "good")


def test_records_tell_the_laws_and_reports_mark_each_setting(faulty, tmp_path):
    store = sweep(tmp_path / "out", "learner,good", training_datasets=30)
    laws = {record.method: record.trained_on for record in store.jobs()}
    assert laws["good"] == {}
    assert laws["learner"]["mechanism"] == ["linear", "nn", "nn_add"]
    assert laws["learner"]["rows"] == {"from": 50, "to": 1000}
    frame = settings(read([store]))
    outside = {
        next(m for m in ("linear", "polynomial") if m in row.setting): row.outside
        for row in frame.itertuples()
    }
    assert outside == {"linear": "", "polynomial": "mechanism"} and len(frame) == 4
    assert set(frame["undeclared"]) == {""}
    assert set(frame["best_method"]) == {"good"}, "what was fitted is not untrained"


def test_a_method_is_trained_on_what_is_within_its_limits(faulty):
    every = {"training_variables": "all", "training_datasets": 30}
    plan = plan_of("narrow-learner,learner", **every)
    fits = {job.method.info.name: job.fit for job in plan.jobs}
    assert {spec.n_variables for spec in fits["narrow-learner"].specs} == {10}
    assert 5 < len(fits["narrow-learner"].specs) < len(fits["learner"].specs) == 30
    assert fits["narrow-learner"].laws["n_nodes"] == {"from": 10, "to": 10}


def test_where_no_training_task_is_within_the_limits_none_is_trained(faulty, tmp_path):
    plan = plan_of("large-learner")
    assert {job.fit for job in plan.jobs} == {None}
    # Its tests are as small, which is told first.
    assert all("at least 1001" in job.skip for job in plan.jobs)
    store = sweep(tmp_path / "out", "large-learner,good", limit=2)
    assert not fits_in(store)


@pytest.mark.parametrize("name", TRAINED)
def test_methods_for_genes_are_skipped_and_not_trained(name):
    """The methods of this package that have to be trained are for genes."""
    plan = make_plan("synthetic", {}, name, limit=3)
    assert all(job.skip == f"{name} needs genes: tasks with gene symbols" for job in plan.jobs)
    assert {job.fit for job in plan.jobs} == {None}


def test_to_be_skipped_is_no_failure(tmp_path):
    store = Store(tmp_path)
    run = Run(make_plan("synthetic-mini", FEW, "mlp,linear", limit=1), store)
    assert run.fits == []
    run.execute()
    found = {(record.status, record.fit, record.failed) for record in store.jobs()}
    assert found == {("skipped", "", False)} and not fits_in(store)


def test_none_of_them_is_chosen_by_default():
    plan = make_plan("synthetic-mini", {}, None, limit=1)
    assert not {method.info.name for method in plan.methods} & set(TRAINED)
    reasons = {name: plan.left_out[name] for name in TRAINED}
    assert all("needs genes" in why or "not a default" in why for why in reasons.values()), reasons


def test_scores_are_those_of_what_was_learnt(faulty, tmp_path):
    store = sweep(tmp_path / "out", "learner", limit=1)
    (record,) = store.jobs()
    suite = plan_of("learner").suite
    tasks = [suite.load(spec) for spec in suite.training(suite.specs()[0])]
    mean = np.mean([each.targets[0] for each in tasks], axis=0)
    np.testing.assert_allclose(store.scores(record.key)[""], np.tile(mean, (6, 1)))
