"""Fits that were ended go on from what they had saved, and what is saved is no longer there once
they have ended by themselves."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from cdnbench.record import FitRecord
from cdnbench.runners import supervise
from cdnbench.runners.plan import Limits, make_plan
from cdnbench.runners.processes import Worker
from cdnbench.runners.provenance import host
from cdnbench.runners.run import Mode, Run
from cdnbench.store import Store


@pytest.fixture
def trace(faulty, tmp_path, monkeypatch):
    monkeypatch.setattr(supervise, "CHECKPOINT_EVERY_S", 0.0)
    return tmp_path / "trace"


def run_of(trace, how, *, timeout_s=60.0, **mode) -> Run:
    plan = make_plan(
        "tiny", {"n": 1}, f"steady:how={how},trace={trace}", limits=Limits(timeout_s=timeout_s)
    )
    return Run(plan, Store(trace.parent / "results"), Mode(**mode))


def fit(run: Run) -> FitRecord:
    run.execute()
    (record,) = (r for r in Store(run.store.folder).records() if isinstance(r, FitRecord))
    return record


def steps(trace) -> list[int]:
    return [int(line) for line in trace.read_text().split()]


def saved(run: Run) -> list:
    return list(run.store.folder.glob("models/*/checkpoint-*"))


def step_saved(run: Run) -> int:
    for path in saved(run):
        with np.load(path) as arrays:
            return int(arrays["array/step"])
    return 0


def test_a_fit_that_is_killed_goes_on_at_once(trace):
    run = run_of(trace, "is-killed")
    assert fit(run).status == "ok" and steps(trace) == [1, 2, 3, 4] and not saved(run)


def test_one_that_was_interrupted_goes_on_in_the_next_run(trace):
    run = run_of(trace, "loops")

    def interrupt(*_):
        raise KeyboardInterrupt

    def wait():
        while step_saved(run) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        (thread := threading.Thread(target=wait)).start()
        with pytest.raises(KeyboardInterrupt):
            run.execute()
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert steps(trace) == [1, 2]
    assert fit(run_of(trace, "loops")).status == "ok"
    assert steps(trace) == [1, 2, 3, 4] and not saved(run)


def test_one_that_ran_out_of_time_goes_on_when_it_is_tried_again(trace):
    run = run_of(trace, "loops", timeout_s=1.0)
    assert fit(run).status == "timeout" and saved(run)
    assert fit(run_of(trace, "loops", retry=True)).status == "ok"
    assert steps(trace) == [1, 2, 3, 4] and not saved(run)


def test_one_that_failed_by_itself_begins_anew(trace):
    run = run_of(trace, "raises")
    assert fit(run).status == "error" and not saved(run)
    fit(run_of(trace, "raises", retry=True))
    assert steps(trace) == [1, 2, 1, 2]


def made(path, *, without=(), **more):
    """A file with a checkpoint after three of the four steps."""
    arrays = {"array/step": np.array(3), "spent": [1.0, 1.0], "hosts": [host()], **more}
    np.savez(path, **{name: array for name, array in arrays.items() if name not in without})
    return path


def lay(run: Run, file, code=None) -> None:
    """Lay a checkpoint into the store."""
    (wanted,) = {job.fit.key: job.fit for job in run.plan.jobs}.values()
    run.store.write_checkpoint(wanted.key, code or wanted.method.code(), file)


def test_what_was_spent_before_counts(trace, tmp_path):
    run = run_of(trace, "well", timeout_s=1000.0)
    lay(run, made(tmp_path / "made.npz", spent=[900.0, 800.0]))
    record = fit(run)
    assert record.status == "ok" and steps(trace) == [4]
    assert 900 <= record.wall_s < 960 and 800 <= record.cpu_s < 860
    assert record.provenance.host == host()


def test_it_counts_for_the_limit_of_time(trace, tmp_path, monkeypatch):
    """Also on a busy machine, where the run looks only when the fit is over."""
    soon = Worker.wait
    monkeypatch.setattr(Worker, "wait", lambda self, s: time.sleep(0.5) or soon(self, s))
    lay(run := run_of(trace, "well"), made(tmp_path / "made.npz", spent=[61.0, 1.0]))
    record = fit(run)
    assert record.status == "timeout" and saved(run)
    assert record.reason == "no result within 60 s"


def test_a_fit_that_went_on_names_the_whole_limit(trace, tmp_path):
    lay(run := run_of(trace, "never-ends"), made(tmp_path / "made.npz", spent=[59.5, 1.0]))
    assert fit(run).reason == "no result within 60 s"


def test_a_fit_of_two_machines_names_both(trace, tmp_path):
    lay(run := run_of(trace, "well"), made(tmp_path / "made.npz", hosts=["another machine"]))
    assert fit(run).provenance.host == f"another machine and {host()}"
    (job,) = Store(run.store.folder).jobs()
    assert job.provenance.host == host()


def test_a_fresh_run_begins_anew(trace, tmp_path):
    lay(run := run_of(trace, "well", fresh=True), made(tmp_path / "made.npz"))
    assert fit(run).status == "ok" and steps(trace) == [1, 2, 3, 4]


@pytest.mark.parametrize("damage", ["other code", "no archive", "no costs", "a folder"])
def test_what_cannot_be_gone_on_from_is_left(trace, tmp_path, damage):
    """The fit begins anew."""
    file = made(tmp_path / "made.npz", without=["spent"] if damage == "no costs" else [])
    if damage == "no archive":
        file.write_bytes(file.read_bytes()[:100])
    lay(run := run_of(trace, "well"), file, "other" if damage == "other code" else None)
    if damage == "a folder":
        (path,) = saved(run)
        path.unlink()
        path.mkdir()
    assert fit(run).status == "ok" and steps(trace) == [1, 2, 3, 4]
    assert damage == "a folder" or not saved(run)
