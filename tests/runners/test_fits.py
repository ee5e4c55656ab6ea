"""Methods that have to be trained: each fit once, for all who need it, and what follows if it
fails."""

import numpy as np
import pytest

from cdnbench import load_method
from cdnbench.errors import CannotRun
from cdnbench.record import FitRecord
from cdnbench.runners.plan import Limits, make_plan
from cdnbench.runners.run import Mode, Run
from cdnbench.runners.shards import Shard
from cdnbench.store import Store


def sweep(tmp_path, methods, *, timeout_s=60.0, jobs=1, on_record=lambda record: None, **mode):
    limits = Limits(timeout_s=timeout_s)
    plan = make_plan("tiny", {"n": 5}, methods, limits=limits)
    store = Store(tmp_path / "results")
    Run(plan, store, Mode(**mode), jobs, on_record).execute()
    return {record.task: record for record in store.jobs()}, store


def test_each_training_set_is_learnt_once(faulty, tmp_path):
    trace = tmp_path / "trace"
    records, store = sweep(tmp_path, f"learner:trace={trace}", jobs=3)
    assert sorted(trace.read_text().split()) == ["1", "2"]
    assert {r.status for r in records.values()} == {"ok"} and len(records) == 5
    np.testing.assert_array_equal(store.scores(records["tiny/0"].key)[""], [[1.0, 0.0, 0.0]])
    fits = [r for r in store.records() if isinstance(r, FitRecord)]
    assert {f.n_tasks for f in fits} == {1, 2}
    assert all(
        f.status == "ok"
        and f.wall_s >= 0
        and f.peak_rss_mb >= 0
        and f.provenance.git_sha is not None
        for f in fits
    )


def test_a_second_run_learns_nothing_again(faulty, tmp_path):
    trace = tmp_path / "trace"
    sweep(tmp_path, f"learner:trace={trace}")
    records, _ = sweep(tmp_path, f"good,learner:trace={trace}", fresh=False)
    assert len(records) == 5 and len(trace.read_text().split()) == 2
    (more,) = make_plan("tiny", {"n": 6}, f"learner:trace={trace}").jobs[5:]
    store = Store(tmp_path / "results")
    Run(make_plan("tiny", {"n": 6}, f"learner:trace={trace}"), store).execute()
    assert store.job(more.key).status == "ok" and len(trace.read_text().split()) == 2


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raises", "fit failed: error: RuntimeError: it diverged"),
        ("dies", "fit failed: error: the process exited with code 3"),
        ("loops", "fit failed: timeout: no result within 1 s"),
    ],
)
def test_if_a_fit_fails_its_predictions_are_skipped(faulty, tmp_path, how, reason):
    records, _ = sweep(
        tmp_path, f"learner:how={how},good", timeout_s=1.0 if how == "loops" else 60.0
    )
    by_method = {}
    for record in Store(tmp_path / "results").jobs():
        by_method.setdefault(record.method, []).append(record)
    assert {r.status for r in by_method["good"]} == {"ok"}
    assert {r.status for r in by_method["learner"]} == {"skipped"}
    assert all(r.reason.startswith(reason) and r.failed for r in by_method["learner"])
    logs = {r.log for r in by_method["learner"]}
    assert how != "raises" or all((tmp_path / "results" / log).is_file() for log in logs)


def test_retry_learns_again(faulty, tmp_path):
    trace = tmp_path / "trace"
    for retry in (False, False, True):
        sweep(tmp_path, f"learner:how=raises,trace={trace}", retry=retry)
    assert len(trace.read_text().split()) == 4  # two training sets, tried at first and again


def test_a_fresh_run_learns_again_what_runs_before_it_learnt(faulty, tmp_path):
    trace = tmp_path / "trace"
    for fresh in (False, True):
        sweep(tmp_path, f"learner:trace={trace}", jobs=2, fresh=fresh)
    assert len(trace.read_text().split()) == 4  # two training sets, each learnt once by each run


def test_a_fresh_run_takes_what_another_one_learns_meanwhile(faulty, tmp_path):
    trace = tmp_path / "trace"
    sweep(tmp_path, f"learner:trace={trace}")
    plan = make_plan("tiny", {"n": 5}, f"learner:trace={trace}", limits=Limits(timeout_s=60.0))
    keys = {job.fit.key for job in plan.jobs}

    def run_other(record):
        if record.key in keys:  # the first fit: another run learns the other one, whole
            rest = Shard(keys=frozenset(keys - {record.key}))
            keys.clear()
            Run(plan, Store(tmp_path / "results"), Mode(fresh=True), shard=rest).execute()

    Run(plan, Store(tmp_path / "results"), Mode(fresh=True), 1, run_other).execute()
    assert len(trace.read_text().split()) == 4  # two by the first run, one by each of these


def test_keys_depend_on_the_training_set(faulty):
    jobs = make_plan("tiny", {"n": 4}, "learner").jobs
    assert [job.fit.key == jobs[0].fit.key for job in jobs] == [True, False, True, False]
    assert len({job.key for job in jobs}) == 4


def test_a_suite_without_training_tasks_leaves_them_out(faulty):
    plan = make_plan("sachs", {}, None)
    assert plan.left_out["learner"] == "the suite has no training tasks"
    plan = make_plan("sachs", {}, "learner")
    assert all("has to be trained" in job.skip for job in plan.jobs)


def test_nothing_to_learn_from():
    with pytest.raises(CannotRun, match="no training task"):
        load_method("linear").fit([])


def test_what_is_known_reaches_the_fit_and_its_key(faulty, tmp_path):
    known, keys = tmp_path / "known", set()
    for number in (3, 4):
        known.write_text(str(number))
        plan = make_plan("tiny", {"n": 1, "known": str(known)}, "reader")
        store = Store(tmp_path / "results")
        Run(plan, store).execute()
        np.testing.assert_array_equal(store.scores(plan.jobs[0].key)[""], [[number] * 3])
        keys.add(plan.jobs[0].key)
    assert len(keys) == 2


def test_without_what_it_needs_a_method_is_skipped_and_says_what(faulty, tmp_path):
    records, _ = sweep(tmp_path, "reader")
    assert {r.status for r in records.values()} == {"skipped"}
    assert all(
        r.reason.startswith("reader needs interactions: --knowledge") for r in records.values()
    )
    assert "reader needs interactions" in make_plan("tiny", {"n": 5}, None).left_out["reader"]


def test_all_is_trained_before_the_first_prediction(faulty, tmp_path):
    trace, trained = tmp_path / "trace", []
    sweep(
        tmp_path,
        f"good,learner:trace={trace}",
        jobs=2,
        on_record=lambda record: trained.append((record.kind, len(trace.read_text().split()))),
    )
    assert sorted(kind for kind, _ in trained) == ["fit"] * 2 + ["predict"] * 10
    assert {n for kind, n in trained if kind == "predict"} == {2}


@pytest.mark.parametrize("name", ["w.safetensors", "graph.tsv"])
def test_files_are_named_from_where_the_run_was_started(faulty, tmp_path, monkeypatch, name):
    """Fits and predictions work in folders of their own; a relative path still means what it meant
    to the user."""
    weights = tmp_path / name
    weights.write_text("5")
    monkeypatch.chdir(tmp_path)
    records, store = sweep(tmp_path, f"opens:weights={name}")
    assert {r.status for r in records.values()} == {"ok"}
    assert {r.parameters["weights"] for r in records.values()} == {name}
    np.testing.assert_array_equal(store.scores(records["tiny/0"].key)[""], [[5.0] * 3])
