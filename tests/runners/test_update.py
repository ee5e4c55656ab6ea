"""Results of code that has changed since: they are told, and --update repeats them."""

import sys

import pytest

from cdnbench import registry
from cdnbench.commands.run import _announce
from cdnbench.record import JobRecord
from cdnbench.runners.plan import Limits, make_plan
from cdnbench.runners.run import Mode, Run
from cdnbench.store import Store

SLOW = "scores(task) + seed"


def run(folder, methods="good,slow:seconds=0.01", **mode):
    plan = make_plan("tiny", {}, methods, limits=Limits(timeout_s=60))
    return Run(plan, Store(folder), Mode(**mode), 2)


def edit(faulty, old, new):
    path = faulty / "faulty_methods.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    sys.modules.pop("faulty_methods", None)
    registry.load_class.cache_clear()


@pytest.fixture
def edited(faulty, tmp_path):
    """A store of two methods, one of which has other code now."""
    run(tmp_path / "out").execute()
    edit(faulty, SLOW, f"({SLOW})")
    assert not run(tmp_path / "out").outdated, "brackets are no other code"
    edit(faulty, SLOW, f"3 * {SLOW}")
    return tmp_path / "out"


def test_a_run_says_so_and_repeats_nothing(edited, capsys):
    planned = run(edited)
    assert planned.todo == [] and set(planned.outdated) == {"slow"}
    _announce(planned)
    said = capsys.readouterr().out
    assert "the code of slow changed since" in said and "--update repeats them" in said
    assert "the code of good" not in said


def test_update_repeats_what_changed_alone(edited):
    planned = run(edited, update=True)
    assert {job.method.info.name for job in planned.todo} == {"slow"}
    planned.execute()
    after = run(edited)
    assert after.todo == [] and after.outdated == {}
    assert all(record.code for record in after.records)


def test_timing_leaves_the_results_of_other_code(edited):
    """Their times would be those of code that did not make the scores."""

    def slow():
        store = Store(edited)
        (record, *_) = (r for r in store.jobs() if r.method == "slow")
        return record, store.scores(record.key)[""]

    before, scores = slow()
    planned = run(edited, timing=True)
    assert {job.method.info.name for job in planned.todo} == {"good"}
    assert set(planned.outdated) == {"slow"}
    planned.execute()
    after, same = slow()
    assert after == before and (same == scores).all()
    run(edited, timing=True, update=True).execute()
    after, other = slow()
    assert after.code != before.code and after.wall_s_single and (other != scores).any()


def test_records_of_earlier_versions_raise_no_alarm(faulty, tmp_path):
    planned = run(tmp_path / "out", "good")
    planned.execute()
    store = Store(tmp_path / "old").create()
    for record in planned.records:
        plain = {k: v for k, v in record.plain().items() if k != "code"}
        store.write_task(planned.store.task(record.task_hash))
        store.write_job(JobRecord.of_plain(plain), planned.store.scores(record.key))
    store.close()
    again = run(tmp_path / "old", "good")
    assert again.todo == [] and again.outdated == {}
    assert run(tmp_path / "old", "good", update=True).todo == []
