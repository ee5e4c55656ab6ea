"""`bench logs`: how jobs failed, once for all that ended alike."""

import pytest

from cdnbench.cli import app
from cdnbench.record import JobRecord, Status
from cdnbench.reports.logs import endings
from cdnbench.store import Store

TRACEBACK = """something printed before
Traceback (most recent call last):
  File "/tmp/x{0}/method.py", line 3, in predict
ValueError: {0} rows at 0x7f{0} are too few
"""


@pytest.fixture
def store(tmp_path):
    """Three failures of one kind, one of another, and a method that printed nothing."""
    made = Store(tmp_path / "results" / "s").create()

    def write(key, method, reason, text="", status=Status.error):
        log = f"logs/{key}.log" if text else ""
        if text:
            (made.folder / "logs").mkdir(exist_ok=True)
            (made.folder / log).write_text(text, encoding="utf-8")
        made.write_job(
            JobRecord(
                key=key, suite="s", method=method, status=status, reason=reason, log=log,
                task=f"task-{key}", task_hash=key,
            )
        )  # fmt: skip

    for i in range(3):
        write(f"a{i}", "dci", f"ValueError: {i}", TRACEBACK.format(i))
    write("b", "dci", "KeyError", "Traceback (most recent call last):\nKeyError: 'b'\n")
    write("c", "rcd", "took longer than 3 s", status=Status.timeout)
    made.close()
    return Store(made.folder)


def test_jobs_that_failed_alike_are_shown_once(store):
    first, *others = endings([store], "dci")
    assert first.tasks == ("task-a0", "task-a1", "task-a2") and len(others) == 1
    assert first.end.startswith("Traceback") and "0 rows" in first.end
    assert "3 jobs: task-a0, task-a1, task-a2" in str(first) and "a0.log" in str(first)
    assert others[0].tasks == ("task-b",)


def test_a_failure_without_output_has_its_reason(store):
    (found,) = endings([store], "rcd")
    assert "took longer than 3 s" in str(found) and "printed nothing" in str(found)


def test_lines_are_counted_from_the_end(store):
    first, *_ = endings([store], "dci", lines=1)
    assert first.end == "ValueError: 0 rows at 0x7f0 are too few"


def test_a_log_elsewhere_is_not_read(store, tmp_path):
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    log = store.folder / "logs" / "b.log"
    log.unlink()
    log.symlink_to(tmp_path / "secret")
    assert not any("secret" in found.end for found in endings([store]))


def test_what_was_printed_moves_no_cursor(store):
    (store.folder / "logs" / "b.log").write_text("\x1b[2Jgone", encoding="utf-8")
    assert any("\\x1b[2Jgone" in found.end for found in endings([store], "dci"))


def test_the_command(store, tmp_path, monkeypatch, capsys):
    def say(*words):
        app(["logs", *words, "--in", str(tmp_path / "results")], standalone_mode=False)
        return capsys.readouterr().out

    assert "KeyError: 'b'" in say("dci")
    assert "rcd: timeout" in say() and "dci: error" in say()


def test_a_method_without_results_is_named(store):
    from cdnbench.commands.logs import logs
    from cdnbench.errors import BenchError

    with pytest.raises(BenchError, match="no result of 'dcii'.*dci, rcd"):
        logs("dcii", store.folder)


def test_a_reading_is_one_of_its_methods_jobs(store, capsys):
    from cdnbench.commands.logs import logs

    logs("dci-graph", store.folder)
    assert "KeyError" in capsys.readouterr().out
