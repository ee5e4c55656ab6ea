"""A plan on the workers of a dask scheduler: a real one, with workers that die, come late, or lack
what they need. The store is that of a run on one machine."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time

import pytest
from outcomes import same

from cdnbench.commands.distributed import Distributed
from cdnbench.errors import BenchError, InvalidParameter
from cdnbench.runners import dask, parts
from cdnbench.runners.plan import Limits, make_plan
from cdnbench.runners.run import Mode, Run
from cdnbench.store import Store

distributed = pytest.importorskip("distributed")


def run_of(folder, methods, *, seeds=(0,), on_record=lambda record: None, **options):
    plan = make_plan("tiny", options, methods, limits=Limits(timeout_s=60), seeds=seeds)
    return Run(plan, Store(folder), Mode(), 2, on_record)


def arguments_of(run, methods, seeds="0"):
    made = Distributed("tcp://somewhere")
    made.plan_again(
        run.plan,
        methods=methods,
        seeds=seeds,
        limit=None,
        timeout=60.0,
        memory_gb=8.0,
        device="cpu",
        jobs=0,
        gpus=None,
        jobs_per_gpu=1,
    )
    return made._arguments


class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        self.file = folder / "scheduler.json"
        silence = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "4s"}  # five minutes otherwise
        words = ("--port", "0", "--scheduler-file", str(self.file))
        self.scheduler = self._start("scheduler", *words, environment=silence)
        end = time.monotonic() + 60
        while not self.file.exists():
            assert time.monotonic() < end, "the scheduler did not start"
            time.sleep(0.05)
        self.address = __import__("json").loads(self.file.read_text())["address"]

    def worker(self, name, environment=None):
        words = ("--nthreads", "1", "--no-nanny", "--name", name)
        words += ("--local-directory", str(self.folder))
        return self._start("worker", self.address, *words, environment=environment)

    def _start(self, what, *words, environment=None):
        log = open(self.folder / f"{what}-{len(self.processes)}.log", "w")  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{what}", *words, "--no-dashboard"],
            stdout=log,
            stderr=log,
            cwd=self.folder,
            env={**os.environ, **(environment or {})},
        )
        self.processes.append(process)
        return process

    def close(self):
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


@pytest.fixture
def cluster(faulty, tmp_path):
    """A scheduler without workers."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    yield made
    made.close()


def test_one_of_two_workers_is_killed_and_the_store_is_that_of_a_local_run(cluster, tmp_path):
    methods, seeds = "slow:seconds=0.3,raises,learner", (0, 1)
    whole = run_of(tmp_path / "whole", methods, seeds=seeds)
    whole.execute()
    victim, _ = cluster.worker("one"), cluster.worker("two")
    told = []

    def kill(record):
        """Kill a worker when the first job has come back: others are running by then."""
        told.append(record)
        if record.kind == "predict" and victim.poll() is None:
            victim.send_signal(signal.SIGKILL)
            victim.wait()

    run = run_of(tmp_path / "store", methods, seeds=seeds, on_record=kill)
    made = dask.DaskRun(run, arguments_of(run, methods, "0,1"), cluster.address)
    assert made.execute() == len(run.plan.jobs) == 16
    assert victim.returncode == -signal.SIGKILL
    store = Store(tmp_path / "store")
    assert same(store) == same(whole.store) and store.problems == []
    assert sorted(r.key for r in told if r.kind == "predict") == sorted(same(store))
    assert sum(record.kind == "fit" for record in told) == 2
    failed = next(record for record in store.jobs() if record.method == "raises")
    assert "no luck" in (store.folder / failed.log).read_text()
    again = run_of(tmp_path / "store", methods, seeds=seeds)
    assert again.todo == [] and again.fits == []
    assert not list(tmp_path.rglob("claims"))


@pytest.mark.slow
def test_the_scheduler_is_killed_and_nothing_that_came_back_is_lost(cluster, tmp_path):
    """The run says what happened, and the same command goes on, here on one machine."""
    methods, seeds = "slow:seconds=0.3,learner", (0, 1)
    whole = run_of(tmp_path / "whole", methods, seeds=seeds)
    whole.execute()
    cluster.worker("one")

    def kill(record):
        if record.kind == "predict" and cluster.scheduler.poll() is None:
            cluster.scheduler.kill()
            cluster.scheduler.wait()

    run = run_of(tmp_path / "store", methods, seeds=seeds, on_record=kill)
    with pytest.raises(BenchError, match="Some jobs were not run") as raised:
        dask.DaskRun(run, arguments_of(run, methods, "0,1"), cluster.address).execute()
    assert "connection to the scheduler was lost" in str(raised.value)
    first = same(Store(tmp_path / "store"))
    assert 0 < len(first) < len(same(whole.store))
    again = run_of(tmp_path / "store", methods, seeds=seeds)
    assert len(again.todo) == len(whole.plan.jobs) - sum(key in first for key in keys(again))
    again.execute()
    assert same(Store(tmp_path / "store")) == same(whole.store)
    assert Store(tmp_path / "store").problems == []


def keys(run):
    return [job.key for job in run.plan.jobs]


@pytest.mark.slow
def test_a_worker_behind_a_cut_network_is_given_up_and_its_answer_harms_nothing(cluster, tmp_path):
    """Nothing is heard from it, and no connection is closed; when it comes back, its part is done
    by another worker."""
    methods, seeds = "slow:seconds=0.3", (0, 1)
    whole = run_of(tmp_path / "whole", methods, seeds=seeds)
    whole.execute()
    cut, other = cluster.worker("cut"), cluster.worker("other")
    told = []

    def pull_the_plug(record):
        told.append(record.key)
        if len(told) == 1:
            cut.send_signal(signal.SIGSTOP)

    run = run_of(tmp_path / "store", methods, seeds=seeds, on_record=pull_the_plug)
    dask.DaskRun(run, arguments_of(run, methods, "0,1"), cluster.address).execute()
    cut.send_signal(signal.SIGCONT)
    assert other.poll() is None
    store = Store(tmp_path / "store")
    assert same(store) == same(whole.store) and store.problems == []
    assert sorted(told) == sorted(same(store))


@pytest.mark.slow
def test_a_worker_that_cannot_run_the_command_is_not_asked_again(cluster, tmp_path):
    """It has not the package that the others have; a good worker comes late."""
    cluster.worker("bad", {"PYTHONPATH": ""})
    methods, notes, late = "slow:seconds=0.3", [], []

    def note(words):
        notes.append(words)
        if not late:
            late.append(cluster.worker("late"))
            time.sleep(10)

    run = run_of(tmp_path / "store", methods)
    dask.DaskRun(run, arguments_of(run, methods), cluster.address, on_note=note).execute()
    assert {record.status for record in Store(tmp_path / "store").jobs()} == {"ok"}
    assert len(notes) == 1 and "cannot run this" in notes[0] and "tiny" in notes[0]


@pytest.mark.slow
def test_where_no_worker_can_run_it_the_error_says_what_they_said(cluster, tmp_path):
    cluster.worker("bad", {"PYTHONPATH": ""})
    run = run_of(tmp_path / "store", "good")
    with pytest.raises(BenchError, match="Some jobs were not run.*") as raised:
        dask.DaskRun(run, arguments_of(run, "good"), cluster.address).execute()
    assert "no worker can run them" in str(raised.value) and "tiny" in str(raised.value)


def test_where_all_workers_have_refused_before_the_error_says_so(faulty, tmp_path):
    run = run_of(tmp_path / "store", "good")
    made = dask.DaskRun(run, ())
    requests = [parts.Request((), (job.key,)) for job in run.plan.jobs[:2]]
    with distributed.Client(n_workers=1, processes=False, dashboard_address=None) as client:
        made._unfit.update(dict.fromkeys(client.nthreads(), "no data"))
        with pytest.raises(BenchError, match="Some jobs were not run") as raised:
            made._carry_out(client, requests)
    assert str(raised.value).count("1 job or fit: no worker can run them") == 2
    assert "said: no data" in str(raised.value)


def test_a_fresh_run_sends_what_has_been_trained_to_be_trained_again(faulty, tmp_path):
    run = run_of(tmp_path / "store", "learner")
    run.execute()
    (fit, *_) = run_of(tmp_path / "other", "learner").fits
    for mode, again in (Mode(), False), (Mode(retry=True), False), (Mode(fresh=True), True):
        planned = Run(run.plan, Store(tmp_path / "store"), mode)
        assert dask.DaskRun(planned, ())._is_missing(fit) == again


def test_a_part_is_a_run_of_its_own(faulty, tmp_path):
    """What a worker does, without dask."""
    run = run_of(tmp_path / "store", "good,raises")
    keys = tuple(job.key for job in run.plan.jobs[:3])
    reply = parts.run_part(parts.Request(tuple(arguments_of(run, "good,raises")), keys))
    assert reply.refused == ""
    parts.unpack(reply.store, tmp_path / "part")
    found = {record.key: record.status for record in Store(tmp_path / "part").jobs()}
    assert set(found) == set(keys) and set(found.values()) == {"ok", "error"}


def test_a_part_of_another_plan_is_refused(faulty, tmp_path):
    run = run_of(tmp_path / "store", "good")
    reply = parts.run_part(parts.Request(tuple(arguments_of(run, "good")), ("0" * 32,)))
    assert "1 of the 1 keys of --shard are not in the plan" in reply.refused and not reply.store


def test_the_jobs_of_a_task_stay_together_where_there_are_enough_tasks(faulty, tmp_path):
    run = run_of(tmp_path / "store", "good,raises", seeds=(0, 1))
    batches = run.plan.batches(run.plan.jobs)
    n_tasks = len({job.spec.hash for job in run.plan.jobs})
    assert n_tasks > 2 and len(batches) > n_tasks
    for most in (2, n_tasks, n_tasks + 1, 1000):
        found = dask.dealt(batches, most)
        assert sorted(job.key for part in found for job in part) == sorted(
            job.key for job in run.plan.jobs
        )
        assert len(found) == min(most, len(batches)) and all(found)
        whole = sum(len({job.spec.hash for job in part}) for part in found) == n_tasks
        assert whole == (most <= n_tasks)


def test_the_run_of_a_part_does_not_hand_memory_back_at_once(monkeypatch):
    """What dask tells the allocator of its workers is not for the jobs."""
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = parts._environment()
    assert "MALLOC_TRIM_THRESHOLD_" not in found and found["OMP_NUM_THREADS"] == "1"


def test_what_is_sent_stays_in_its_folder(tmp_path):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        member = tarfile.TarInfo("../outside")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    (tmp_path / "in").mkdir()
    with pytest.raises(BenchError, match="cannot be unpacked"):
        parts.unpack(content.getvalue(), tmp_path / "in")
    with pytest.raises(BenchError, match="cannot be unpacked"):
        parts.unpack(b"no archive", tmp_path / "in")
    assert not (tmp_path / "outside").exists()


def test_the_same_plan_comes_out_of_the_arguments(faulty, tmp_path):
    from cdnbench.runners.plan import make_plan

    plan = make_plan("tiny", {"n": 6, "kinds": 2}, None)
    made = Distributed()
    made.plan_again(
        plan,
        methods=None,
        seeds="0",
        limit=3,
        timeout=None,
        memory_gb=2.5,
        device="auto",
        jobs=4,
        gpus=None,
        jobs_per_gpu=1,
    )
    words = dict(word.removeprefix("--").split("=", 1) for word in made._arguments)
    assert words["suite"] == "tiny" and words["n"] == "6" and words["kinds"] == "2"
    assert words["methods"].split(",") == [method.info.name for method in plan.methods]
    assert words["limit"] == "3" and words["memory-gb"] == "2.5" and words["jobs"] == "1"
    assert "timeout" not in words and "gpus" not in words


def test_options_that_do_not_go_together():
    assert Distributed.checked("local", "", timing=True) is None
    for executor, scheduler, timing, words in [
        ("local", "tcp://x", False, "--scheduler only applies"),
        ("slurm", "", False, "local or dask"),
        ("dask", "", True, "--timing compares times"),
    ]:
        with pytest.raises(InvalidParameter, match=words):
            Distributed.checked(executor, scheduler, timing=timing)


def test_a_scheduler_that_is_not_there_is_named(faulty, tmp_path, monkeypatch):
    def no_client(*arguments, **options):
        raise OSError("timed out")

    monkeypatch.setattr(distributed, "Client", no_client)
    run = run_of(tmp_path / "store", "good")
    with pytest.raises(BenchError, match="No dask scheduler answers at tcp://127.0.0.1:9"):
        dask.DaskRun(run, [], "tcp://127.0.0.1:9").execute()
