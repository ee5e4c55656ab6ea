"""A job may kill whatever it can reach: the fork server, its parent, itself. The run goes on."""

import pytest

from cdnbench import run
from cdnbench.runners import endings

SILENT = "neither by the runner nor for want of memory"


def ends(store):
    return {(r.method, r.task): (str(r.status), r.reason) for r in store.jobs()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_that_kills_the_fork_server_harms_nobody(faulty, tmp_path, jobs):
    store = run("tiny", "wrecks:what=server,good,slow", out=tmp_path / "out", jobs=jobs)
    assert len(ends(store)) == 12 and set(ends(store).values()) == {("ok", "")}


def test_one_that_takes_the_server_along_is_tried_twice_and_named(faulty, tmp_path):
    store = run("tiny", "wrecks:what=server-and-itself,good,slow", out=tmp_path / "out", jobs=2)
    reason = "it ended together with the fork server that starts all jobs, each time"
    assert {e for (m, _), e in ends(store).items() if m == "wrecks"} == {("killed", reason)}
    assert {e for (m, _), e in ends(store).items() if m != "wrecks"} == {("ok", "")}
    assert "about to break" in _log(store, "wrecks")


def test_one_that_is_killed_once_is_run_again_at_once(faulty, tmp_path):
    method = f"is-killed:once={tmp_path / 'died'},trace={tmp_path / 'calls'}"
    store = run("tiny", method, out=tmp_path / "out", limit=1)
    assert ends(store) == {("is-killed", "tiny/0"): ("ok", "")}
    assert len((tmp_path / "calls").read_text(encoding="utf-8").split()) == 2
    assert not list((store.folder / "logs").iterdir())


def test_one_that_kills_itself_each_time_is_not_run_again_without_retry(faulty, tmp_path):
    method = f"is-killed:trace={tmp_path / 'calls'}"
    calls = lambda: len((tmp_path / "calls").read_text(encoding="utf-8").split())  # noqa: E731
    store = run("tiny", method, out=tmp_path / "out", limit=1)
    reason = f"by SIGKILL, {SILENT}, each of 2 times"
    assert ends(store) == {("is-killed", "tiny/0"): ("killed", reason)}
    assert calls() == 2 and "about to die" in _log(store, "is-killed")
    run("tiny", method, out=tmp_path / "out", limit=1)
    assert calls() == 2
    run("tiny", method, out=tmp_path / "out", limit=1, retry=True)
    assert calls() == 4


def test_one_that_the_system_killed_for_memory_is_run_again_next_time(
    faulty, tmp_path, monkeypatch
):
    kills = iter(range(1000))  # one more whenever it is asked
    monkeypatch.setattr(endings, "system_kills", lambda: next(kills))
    method = f"is-killed:once={tmp_path / 'died'}"
    (record,) = run("tiny", method, out=tmp_path / "out", limit=1).jobs()
    assert (record.status, record.outside) == ("killed", True)
    assert record.reason == "by the system, which had run out of memory"
    (record,) = run("tiny", method, out=tmp_path / "out", limit=1).jobs()
    assert record.status == "ok"


def test_without_a_word_of_the_system_a_kill_may_have_come_from_it(faulty, tmp_path, monkeypatch):
    monkeypatch.setattr(endings, "system_kills", lambda: None)
    (record,) = run("tiny", "is-killed", out=tmp_path / "out", limit=1).jobs()
    assert (record.status, record.outside) == ("killed", True)


def test_a_fit_that_was_killed_is_run_again_at_once(faulty, tmp_path):
    method = f"learner:how=is-killed-once,trace={tmp_path / 'calls'}"
    store = run("tiny", method, out=tmp_path / "out", limit=1)
    assert set(ends(store).values()) == {("ok", "")}
    assert (tmp_path / "calls").read_text(encoding="utf-8").split() == ["2", "2"]


def _log(store, method):
    """What the method's first job in the store printed."""
    log = next(record.log for record in store.jobs() if record.method == method)
    return (store.folder / log).read_text(encoding="utf-8")
