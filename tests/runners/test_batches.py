"""Methods that solve many tasks at once: who runs with whom, what a record holds, and that no task
harms another."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from cdnbench.digest import generator
from cdnbench.runners.plan import Limits, make_plan
from cdnbench.runners.run import Mode, Run
from cdnbench.store import Store


def number(task: int) -> int:
    """How the method `batched` recognises a task of the suite `tiny`."""
    rng = generator("tiny", task)
    rng.random((20, 3))
    return round(float(np.float32(rng.random((20, 3))[0, 0])) * 1e6)


def sweep(
    tmp_path,
    methods="batched",
    *,
    limit=None,
    options=None,
    jobs=1,
    on_record=lambda record: None,
    **mode,
):
    plan = make_plan("tiny", options or {"n": 7}, methods, limits=Limits(timeout_s=60), limit=limit)
    store = Store(tmp_path / "results")
    Run(plan, store, Mode(**mode), jobs, on_record).execute()
    return store


def by_task(store):
    return {record.task: record for record in store.jobs()}


def test_batches_are_those_of_the_whole_plan(faulty, tmp_path):
    trace = tmp_path / "trace"
    sweep(tmp_path, f"batched:trace={trace}", limit=2)
    assert trace.read_text().split() == ["2"]
    store = sweep(tmp_path, f"batched:trace={trace}")
    assert trace.read_text().split() == [
        "2",
        "1",
        "3",
        "1",
    ]  # 0, 1 were done: 2 alone, then 3 to 5, then 6
    assert len(list(store.jobs())) == 7


def test_a_record_has_note_facts_batch_size_and_share_of_the_time(faulty, tmp_path):
    done = []
    records = by_task(sweep(tmp_path, "batched:pause=0.1", limit=3, on_record=done.append))
    assert len(done) == 3 and {r.task for r in done} == set(records)
    assert [records[f"tiny/{i}"].note for i in range(3)] == [
        "",
        "not converged",
        "not converged",
    ]
    assert [records[f"tiny/{i}"].facts for i in range(3)] == [
        {"iterations": 7 + i} for i in range(3)
    ]
    assert {r.batch_size for r in records.values()} == {3}
    assert {r.wall_s for r in records.values()} == {records["tiny/0"].wall_s}
    assert 0.1 <= records["tiny/0"].wall_s < 0.2  # a third of 0.3 s
    assert records["tiny/0"].wall_s_single is None and records["tiny/0"].peak_rss_mb is not None


def test_timing_runs_each_alone_and_keeps_its_share(faulty, tmp_path):
    before = by_task(sweep(tmp_path, "batched:pause=0.1", limit=3))
    after = by_task(sweep(tmp_path, "batched:pause=0.1", limit=3, timing=True))
    for task, record in after.items():
        assert record.wall_s_single >= 0.1
        assert replace(record, wall_s_single=None, timing={}) == before[task]
    for folder, fresh in (tmp_path / "other", False), (tmp_path, True):
        made = by_task(sweep(folder, "batched:pause=0.1", limit=3, timing=True, fresh=fresh))
        assert all(r.batch_size == 1 and r.wall_s_single >= 0.1 for r in made.values())


def test_a_task_that_fails_harms_no_other(faulty, tmp_path):
    store = sweep(tmp_path, f"batched:fails={number(1)}", limit=3)
    records = by_task(store)
    assert [records[f"tiny/{i}"].status for i in range(3)] == ["ok", "error", "ok"]
    assert records["tiny/1"].reason == "RuntimeError: this one diverged"
    assert "this one diverged" in (store.folder / records["tiny/1"].log).read_text()


def test_tasks_that_a_dying_process_takes_along_run_again_alone(faulty, tmp_path):
    trace = tmp_path / "trace"
    records = by_task(sweep(tmp_path, f"batched:dies={number(1)},trace={trace}", limit=3))
    assert {r.status for r in records.values()} == {"ok"}
    assert trace.read_text().split() == ["3", "1", "1"]  # the last was done before
    assert [records[f"tiny/{i}"].batch_size for i in range(3)] == [1, 1, 1]


def test_what_a_batch_had_done_survives_the_end_of_the_run(faulty, tmp_path):
    script = (
        "import sys\n"
        "from cdnbench import run\n"
        "if __name__ == '__main__':\n"
        "    run('tiny', 'batched:pause=1.5', out=sys.argv[1], jobs=1, n=3)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "results")])
    store = Store(tmp_path / "results")
    deadline = time.monotonic() + 60
    while not list(store.jobs()) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    (record,) = store.jobs()
    assert record.task == "tiny/2" and record.status == "ok" and store.refresh().is_done(record)
    assert len(list(sweep(tmp_path, "batched:pause=1.5", options={"n": 3}).jobs())) == 3


@pytest.mark.parametrize("jobs", [1, 2])
def test_batched_and_other_methods_together(faulty, tmp_path, jobs):
    store = sweep(tmp_path, "good,batched", jobs=jobs)
    scores = {(r.method, r.task): store.scores(r.key)[""].tolist() for r in store.jobs()}
    assert len(scores) == 14
    assert all(scores["good", task] == value for (_, task), value in scores.items())
