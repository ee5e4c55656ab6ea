"""A plan in parts: every job is in one of them, and they merge to what one run gives."""

import errno
import os

import pytest
from outcomes import same

from cdnbench.errors import BenchError, InvalidParameter
from cdnbench.merging import merge
from cdnbench.runners.plan import Limits, make_plan
from cdnbench.runners.run import Mode, Run
from cdnbench.runners.shards import Shard
from cdnbench.store import Store


def plan_of(methods, **options):
    return make_plan("tiny", options, methods, limits=Limits(timeout_s=60), seeds=(0, 1, 2))


def sweep(folder, methods, shard="1/1", **mode):
    run = Run(plan_of(methods), Store(folder), Mode(**mode), 2, shard=Shard.parse(shard))
    run.execute()
    return run


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "-1/2", "", "1/0", "fit"])
def test_what_is_no_shard(text):
    with pytest.raises(InvalidParameter, match="--shard takes i/n"):
        Shard.parse(text)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_every_job_is_in_one_shard(faulty, n):
    plan = plan_of("good,slow,batched", n=20)
    parts = [Shard(i, n).jobs(plan) for i in range(1, n + 1)]
    assert sorted(job.key for part in parts for job in part) == sorted(j.key for j in plan.jobs)
    assert all(parts)


def test_a_job_keeps_its_shard_whatever_else_is_planned(faulty):
    alone = {job.key for job in Shard(2, 3).jobs(plan_of("slow", n=20))}
    beside = {job.key for job in Shard(2, 3).jobs(plan_of("good,slow", n=20))}
    assert alone and alone <= beside


def test_jobs_that_are_solved_together_stay_together(faulty):
    plan = plan_of("batched", n=20)
    whole = {tuple(job.key for job in batch) for batch in plan.batches(plan.jobs)}
    for i in (1, 2, 3):
        batches = plan.batches(Shard(i, 3).jobs(plan))
        assert {tuple(job.key for job in batch) for batch in batches} <= whole


def test_keys_from_a_file(faulty, tmp_path):
    plan, file = plan_of("slow"), tmp_path / "keys"
    file.write_text("\n".join(job.key for job in plan.jobs[3:5]))
    assert Shard.parse(f"@{file}").jobs(plan) == list(plan.jobs[3:5])
    file.write_text(f"{plan.jobs[0].key}\n{'0' * 32}\n")
    with pytest.raises(
        BenchError, match="1 of the 2 keys of --shard are not in the plan.* makes: "
    ):
        Shard.parse(f"@{file}").jobs(plan)
    file.write_text("\n")
    with pytest.raises(BenchError, match="has no keys"):
        Shard.parse(f"@{file}")
    with pytest.raises(BenchError, match="Cannot read the keys"):
        Shard.parse("@nowhere")


def test_shards_merge_to_what_one_run_gives(faulty, tmp_path):
    methods = "good,raises,learner"
    whole = sweep(tmp_path / "whole", methods).store
    fits = sweep(tmp_path / "fits", methods, "fits")
    assert fits.records == [] and len(fits.fits) == 2
    parts = []
    for i in (1, 2):
        into = tmp_path / f"part-{i}"
        merge([Store(tmp_path / "fits")], Store(into))
        trained = []
        run = Run(
            plan_of(methods), Store(into), Mode(), 2, trained.append, shard=Shard.parse(f"{i}/2")
        )
        run.execute()
        parts.append(run.store)
        assert not [record for record in trained if record.kind == "fit"], "it was there"
    into = Store(tmp_path / "merged")
    merged = merge([Store(part.folder) for part in parts], into)
    assert (merged.jobs, merged.fits, merged.notes) == (len(same(whole)), 2, [])
    found = Store(tmp_path / "merged")
    assert same(found) == same(whole) and found.problems == []
    failed = next(record for record in found.jobs() if record.method == "raises")
    assert "no luck" in (found.folder / failed.log).read_text()
    assert found.model(fits.fits[0].key).keys() == {"mean"}


def test_merging_again_changes_nothing(faulty, tmp_path):
    part = sweep(tmp_path / "part", "good,learner").store
    merge([Store(part.folder)], Store(tmp_path / "out"))
    again = merge([Store(part.folder), Store(part.folder)], Store(tmp_path / "out"))
    assert (again.jobs, again.fits, again.tasks) == (0, 0, 0)


def test_a_result_counts_more_than_a_failure_of_the_machine(faulty, tmp_path):
    from cdnbench.runners.devices import Gpu, Slots

    def on(folder, slots):
        run = Run(plan_of("gpu-only"), Store(tmp_path / folder), Mode(), 2, slots=slots)
        run.execute()
        return Store(tmp_path / folder)

    with_gpu, without = on("with", Slots([Gpu("0", 9_000.0)])), on("without", Slots())
    merge([with_gpu, without], Store(tmp_path / "out"))  # the later one could not run
    assert {record.status for record in Store(tmp_path / "out").jobs()} == {"ok"}
    merge([without], Store(tmp_path / "other"))
    merge([Store(tmp_path / "with")], Store(tmp_path / "other"))
    assert {record.status for record in Store(tmp_path / "other").jobs()} == {"ok"}


def test_the_later_of_two_results_counts(faulty, tmp_path):
    broken = tmp_path / "broken"
    first = sweep(tmp_path / "first", f"fickle:broken={broken}").store
    broken.touch()
    second = sweep(tmp_path / "second", f"fickle:broken={broken}").store
    for order in ([first, second], [second, first]):
        out = tmp_path / f"out-{order[0].folder.name}"
        merge([Store(part.folder) for part in order], Store(out))
        assert {record.status for record in Store(out).jobs()} == {"error"}


def test_damaged_scores_are_left_out_and_named(faulty, tmp_path):
    part = sweep(tmp_path / "part", "good").store
    (arrays,) = (part.folder / "records").glob("*.arrays")
    os.truncate(arrays, arrays.stat().st_size - 1)
    merged = merge([Store(part.folder)], Store(tmp_path / "out"))
    assert merged.jobs == 3 and any("is left out" in note for note in merged.notes)
    assert Store(tmp_path / "out").problems == []


def test_a_merge_that_left_something_out_is_no_success(faulty, tmp_path, capsys):
    from cdnbench.commands.merge import merge as command

    part = sweep(tmp_path / "part", "good").store
    (arrays,) = (part.folder / "records").glob("*.arrays")
    os.truncate(arrays, arrays.stat().st_size - 1)
    with pytest.raises(SystemExit) as ended:
        command([part.folder, tmp_path / "out"])
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert "added 3 jobs" in said.out and "could not be added" in said.err


def test_a_merge_ends_where_the_disk_is_full(faulty, tmp_path, monkeypatch):
    part = sweep(tmp_path / "part", "good").store
    write, calls = os.write, iter(range(100))

    def filling(descriptor, content):
        if next(calls) > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", filling)
    with pytest.raises(OSError, match=rf"No space left.*{tmp_path / 'out' / 'records'}"):
        merge([Store(part.folder)], Store(tmp_path / "out"))
    monkeypatch.undo()
    kept = len(same(Store(tmp_path / "out")))
    assert 0 < kept < len(same(part))
    assert merge([Store(part.folder)], Store(tmp_path / "out")).jobs == len(same(part)) - kept


def test_results_of_different_suites_are_refused(faulty, tmp_path):
    part = sweep(tmp_path / "part", "good").store
    other = make_plan("synthetic-mini", {}, "random", limit=1)
    Run(other, Store(tmp_path / "other")).execute()
    with pytest.raises(BenchError, match="different suites: synthetic-mini in .*, tiny in"):
        merge([Store(part.folder), Store(tmp_path / "other")], Store(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_needs(faulty, tmp_path):
    from cdnbench.commands.merge import merge as command

    part = sweep(tmp_path / "part", "good").store.folder
    with pytest.raises(InvalidParameter, match="at last, another one"):
        command([part])
    with pytest.raises(InvalidParameter, match="into itself"):
        command([part, part])
    with pytest.raises(BenchError, match="is not a folder of results"):
        command([tmp_path / "none", tmp_path / "out"])


def test_compacted_results_are_told_from_no_results(faulty, tmp_path):
    from cdnbench.commands.merge import merge as command
    from cdnbench.compaction import compact

    part = sweep(tmp_path / "part", "good").store
    (archive,) = compact(part, tmp_path / "compact").folders
    with pytest.raises(BenchError, match="holds compacted results, which are not merged"):
        command([archive, tmp_path / "out"])


def test_a_shard_without_jobs_says_so(faulty, tmp_path, capsys):
    from cdnbench.commands.run import _announce, _finish

    plan = make_plan("synthetic-mini", {}, "random", limit=1)
    of = next(n for n in range(2, 9) if not Shard(1, n).jobs(plan))
    for shard, words in ((f"1/{of}", "of the plan's 1 job, none"), ("fits", "No method of")):
        run = Run(plan, Store(tmp_path / "none"), shard=Shard.parse(shard))
        _announce(run)
        _finish(run)
        printed = capsys.readouterr().out
        assert words in printed and "0 of 0" not in printed and "methods:" not in printed
