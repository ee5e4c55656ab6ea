"""Whatever a method does, the sweep finishes, says what happened, and harms no other job."""

import ast
import importlib.metadata
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from outcomes import same

import cdnbench.methods
from cdnbench.errors import BenchError
from cdnbench.runners.plan import Limits, make_plan
from cdnbench.runners.provenance import versions
from cdnbench.runners.run import Mode, Run
from cdnbench.store import Store


def sweep(
    tmp_path,
    methods,
    *,
    options=None,
    jobs=2,
    limits=None,
    limit=None,
    seeds=(0,),
    on_record=lambda record: None,
    **mode,
):
    limits = limits or Limits(timeout_s=60)
    plan = make_plan("tiny", options or {}, methods, limits=limits, limit=limit, seeds=seeds)
    store = Store(tmp_path / "results")
    Run(plan, store, Mode(**mode), jobs, on_record).execute()
    return store


def log_of(store, record):
    return (store.folder / record.log).read_text()


def by_method(store):
    return {r.method: r for r in store.jobs()}


@pytest.mark.parametrize(
    "method, status, reason",
    [
        ("raises", "error", "RuntimeError: no luck"),
        ("refuses", "skipped", "not today"),
        ("exits", "error", "the process exited with code 3 before it gave a result"),
        (
            "is-killed",
            "killed",
            "by SIGKILL, neither by the runner nor for want of memory, each of 2 times",
        ),
        (
            "real-time",
            "killed",
            "by signal 40, neither by the runner nor for want of memory",
        ),
        (
            "wrong-shape",
            "error",
            "ValueError: wrong-shape returned scores of shape (3,); expected (R, N) = (1, 3)",
        ),
        ("narrow", "skipped", "3 variables; narrow takes at most 2"),
    ],
)
def test_each_end_has_its_status_and_the_others_are_untouched(
    faulty, tmp_path, method, status, reason
):
    store = sweep(tmp_path, f"good,{method}")
    records = list(store.jobs())
    assert len(records) == 8
    assert {(r.status, r.reason) for r in records if r.method == method} == {(status, reason)}
    assert {r.status for r in records if r.method == "good"} == {"ok"}


def test_what_a_failed_job_printed_is_kept(faulty, tmp_path):
    store = sweep(tmp_path, "raises", limit=1)
    log = log_of(store, next(store.jobs()))
    assert "about to raise" in log and "RuntimeError: no luck" in log


def test_an_endless_loop_is_ended_with_all_its_processes(faulty, tmp_path):
    pids = tmp_path / "pids"
    store = sweep(tmp_path, f"good,loops:pids={pids}", limits=Limits(timeout_s=1), limit=1)
    assert by_method(store)["loops"].status == "timeout"
    assert by_method(store)["loops"].reason == "no result within 1 s"
    assert by_method(store)["good"].status == "ok"
    assert not any(alive(int(pid)) for pid in pids.read_text().split())


@pytest.mark.skipif(sys.platform != "linux", reason="orphans can be adopted on Linux only")
def test_a_daemon_left_behind_is_ended_and_holds_nothing_up(faulty, tmp_path):
    pids = tmp_path / "pids"
    store = sweep(tmp_path, f"daemon:pids={pids},good", limit=2)
    assert {r.status for r in store.jobs()} == {"ok"}
    assert len(pids.read_text().split()) == 2 and not any(
        alive(int(pid)) for pid in pids.read_text().split()
    )


def test_what_a_job_printed_before_it_was_ended_is_kept(faulty, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    (tmp_path / "broken").touch()
    slow = sweep(tmp_path, f"fickle:broken={tmp_path / 'broken'}", limit=1)
    assert "trying" in log_of(slow, next(slow.jobs()))


def test_nothing_within_a_methods_reach_tells_the_answer(faulty, tmp_path):
    store = sweep(tmp_path, "spy,good", limit=1)
    assert not store.scores(by_method(store)["spy"].key)[""].any()


def test_a_time_that_could_not_be_taken_does_not_cost_the_result(faulty, tmp_path):
    method = f"fickle:broken={tmp_path / 'broken'}"
    sweep(tmp_path, method, limit=1)
    (tmp_path / "broken").touch()
    record = next(sweep(tmp_path, method, limit=1, timing=True).jobs())
    assert record.status == "ok" and record.note == "timed alone: error: RuntimeError: broken"
    assert Store(tmp_path / "results").scores(record.key)


def test_fresh_keeps_the_old_results_until_there_are_new_ones(faulty, tmp_path):
    before = same(sweep(tmp_path, "good", limit=2))
    with pytest.raises(BenchError):
        sweep(tmp_path, "good,needs-missing", limit=2, fresh=True)
    assert same(Store(tmp_path / "results")) == before


def test_a_log_does_not_outlive_the_failure(faulty, tmp_path):
    broken = tmp_path / "broken"
    broken.touch()
    store = sweep(tmp_path, f"fickle:broken={broken}", limit=1)
    log = store.folder / next(store.jobs()).log
    assert log.is_file()
    broken.unlink()
    sweep(tmp_path, f"fickle:broken={broken}", limit=1, retry=True)
    assert next(store.jobs()).status == "ok" and not log.exists()
    broken.touch()
    sweep(tmp_path, f"fickle:broken={broken}", limit=1, fresh=True)
    (record,) = store.jobs()
    assert record.status == "error" and log_of(store, record)
    with pytest.raises(OSError):
        store.scores(record.key)


def test_results_that_lost_their_arrays_are_made_again(faulty, tmp_path):
    before = same(sweep(tmp_path, "good", limit=2))
    (arrays,) = (tmp_path / "results" / "records").glob("*.arrays")
    os.truncate(arrays, arrays.stat().st_size - 1)  # the last job's scores are cut off
    done = []
    store = sweep(tmp_path, "good", limit=2, on_record=done.append)
    assert len(done) == 1 and same(store) == before


def test_a_folder_that_cannot_be_written_is_named(faulty, tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(BenchError, match="Cannot write results to .*results"):
        sweep(tmp_path, "good", limit=1)


@pytest.mark.parametrize(
    "name, words", [("unimportable", "SyntaxError"), ("misnamed", "info.name is 'good'")]
)
def test_a_broken_plugin_is_named_and_stops_no_other(faulty, name, words):
    with pytest.raises(BenchError, match=words):
        make_plan("tiny", {}, name)
    plan = make_plan("tiny", {}, None)
    assert words in plan.left_out[name] and "good" in {m.info.name for m in plan.methods}


def test_endless_allocation_is_ended_at_the_limit(faulty, tmp_path):
    store = sweep(tmp_path, "good,allocates", limits=Limits(timeout_s=60, memory_gb=0.3), limit=1)
    assert (by_method(store)["allocates"].status, by_method(store)["allocates"].reason) == (
        "oom",
        "more than 0.3 GB",
    )
    assert by_method(store)["good"].status == "ok"


def test_peak_memory_is_the_calls_own_even_between_two_looks(faulty, tmp_path):
    store = sweep(tmp_path, "good,hungry", limit=1)
    assert by_method(store)["good"].peak_rss_mb < 20
    assert 60 < by_method(store)["hungry"].peak_rss_mb < 90


def test_a_record_says_what_it_rests_on(faulty, tmp_path):
    record = next(sweep(tmp_path, "good", limit=1).jobs())
    assert record.wall_s > 0 and record.cpu_s >= 0 and record.threads == 1
    assert record.provenance.versions["numpy"] and record.provenance.host and record.started_at
    assert record.wall_s_single is None


def test_a_record_has_the_versions_of_all_that_methods_import():
    """Their code is told from other code by its digest, and that of packages by their versions."""
    imported = set()
    for path in Path(cdnbench.methods.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            imported |= {name.partition(".")[0] for name in names}
    known = importlib.metadata.packages_distributions()
    imported -= {*sys.stdlib_module_names, "llvmlite"}  # numba pins the version of llvmlite
    packages = {known[name][0] for name in imported if name in known}
    assert {"numpy", "numba", "pandas"} < packages
    told = versions()
    assert packages <= set(told) and told["numba"] == importlib.metadata.version("numba")


def test_timing_runs_what_was_not_timed(faulty, tmp_path):
    before = {r.key: r for r in sweep(tmp_path, "good", limit=2).jobs()}
    store = sweep(tmp_path, "good", limit=2, timing=True)
    assert all(r.wall_s_single > 0 and r.timing for r in store.jobs())
    assert {r.key: replace(r, wall_s_single=None, timing={}) for r in store.jobs()} == before


def test_a_time_stands_beside_the_name_of_its_machine(faulty, tmp_path):
    store = sweep(tmp_path, "good", limit=1)
    (here,) = store.jobs()
    there = replace(here, provenance=replace(here.provenance, host="another machine"))
    store.write_job(there, None)
    store.close()
    (record,) = sweep(tmp_path, "good", limit=1, timing=True).jobs()
    assert record.wall_s_single and record.provenance.host == here.provenance.host


def test_a_rerun_does_only_what_is_missing(faulty, tmp_path):
    store = sweep(tmp_path, "good", limit=2)
    before, done = list(store.jobs()), []
    sweep(tmp_path, "good,slow", limit=4, seeds=(0, 1), on_record=done.append)
    assert not {r.key for r in before} & {r.key for r in done}
    records = list(store.jobs())
    assert [r for r in records if r in before] == before
    assert len(records) == 4 + 8  # a deterministic method runs one seed only


def test_fresh_starts_over_and_retry_repeats_failures_only(faulty, tmp_path):
    sweep(tmp_path, "good,raises", limit=1)
    done = []
    sweep(tmp_path, "good,raises", limit=1, retry=True, on_record=done.append)
    assert [r.method for r in done] == ["raises"]
    sweep(tmp_path, "good,raises", limit=1, fresh=True, on_record=done.append)
    assert len(done) == 3


def test_a_default_written_out_is_the_same_job(faulty, tmp_path):
    sweep(tmp_path, "slow", limit=1)
    done = []
    sweep(tmp_path, "slow:seconds=0.3", limit=1, on_record=done.append)
    assert done == []


@pytest.mark.parametrize(
    "fault, reason",
    [
        ("raise", "the task could not be made: RuntimeError: the data are gone"),
        (
            "exit",
            "the task could not be made: the suite's process ended with code 7, both times",
        ),
    ],
)
def test_a_task_that_cannot_be_made_costs_its_own_jobs_only(faulty, tmp_path, fault, reason):
    store = sweep(tmp_path, "good", options={"fault": fault})
    assert {r.task: (r.status, r.reason) for r in store.jobs()} == {
        "tiny/0": ("ok", ""),
        "tiny/1": ("error", reason),
        "tiny/2": ("ok", ""),
        "tiny/3": ("ok", ""),
    }


def test_a_module_that_cannot_be_preloaded_is_an_error(faulty, tmp_path):
    with pytest.raises(BenchError, match="no_such_module_here"):
        sweep(tmp_path, "needs-missing", limit=1)


def test_a_run_from_a_script_without_a_main_guard(faulty, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from cdnbench import run\n"
        f"store = run('tiny', 'good', out={str(tmp_path / 'results')!r}, jobs=2)\n"
        "print(len(list(store.jobs())), 'jobs')\n"
    )
    result = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120
    )
    assert (result.stdout, result.returncode) == ("4 jobs\n", 0), result.stderr


def test_the_environment_is_as_it_was(faulty, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    main = sys.modules["__main__"]
    sweep(tmp_path, "good", limit=1)
    assert "OMP_NUM_THREADS" not in os.environ and sys.modules["__main__"] is main


@pytest.fixture
def run_process(faulty, tmp_path):
    """Start `bench run` on the tiny suite in a process of its own."""

    def start(methods, out, *more):
        command = [
            sys.executable,
            "-m",
            "cdnbench.cli",
            "run",
            "--suite",
            "tiny",
            "--methods",
            methods,
        ]
        command += ["--out", str(tmp_path / out), "--jobs", "2", *more]
        with open(tmp_path / "output.txt", "w") as output:
            return subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A shell that started the tests in the background has them ignore it, and so would
                # the run.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    return start


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_a_run_cut_off_goes_on_where_it_was(run_process, tmp_path, how):
    methods, more = "good,slow,raises", ("--n", "12", "--seeds", "0,1")
    assert run_process(methods, "whole", *more).wait(120) == 1
    first = run_process(methods, "cut", *more)
    cut = Store(tmp_path / "cut")
    wait_for(lambda: len(list(cut.jobs())) >= 5)
    first.send_signal(getattr(signal, how))
    assert first.wait(20) == (130 if how == "SIGINT" else -9)
    done = len(list(cut.jobs()))
    assert 5 <= done < 48
    assert run_process(methods, "cut", *more).wait(120) == 1
    assert same(Store(tmp_path / "cut")) == same(Store(tmp_path / "whole"))
    assert len(same(Store(tmp_path / "whole"))) == 48


def test_nothing_is_alive_five_seconds_after_the_run_was_killed(run_process, tmp_path):
    pids = tmp_path / "pids"
    process = run_process(f"loops:pids={pids},daemon:pids={pids}:loops=true", "killed")
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) >= 3)
    tree = [p.pid for p in psutil.Process(process.pid).children(recursive=True)] + [
        int(p) for p in pids.read_text().split()
    ]
    assert len(tree) >= 5
    process.kill()
    process.wait()
    time.sleep(5)
    assert not [pid for pid in tree if alive(pid)]


def test_timing_is_warm_repeated_and_tells_of_the_machine(faulty, tmp_path):
    record = next(sweep(tmp_path, "good", limit=1, timing=True).jobs())
    repeats = record.timing["repeats_s"]
    assert len(repeats) == 5 and record.timing["warm_up_s"] == record.wall_s
    assert record.wall_s_single == sorted(repeats)[2] and record.timing["load_average"] >= 0
    plain = next(sweep(tmp_path / "plain", "good", limit=1).jobs())
    assert not plain.timing and plain.wall_s_single is None
