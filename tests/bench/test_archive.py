"""A compacted store says what the store says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cdnbench.archive import Archive, find_stores
from cdnbench.cli import app
from cdnbench.compaction import compact, drop
from cdnbench.errors import BenchError
from cdnbench.record import FitRecord, JobRecord, Status, TaskRecord
from cdnbench.store import Store
from cdnbench.truth import Truth


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "s").create()
    rng = np.random.default_rng(0)
    for protocol in ("clean", "dcdi"):
        for i in range(2):
            hash = f"{protocol}{i}"
            targets = np.zeros((2, 3), bool)
            targets[:, i] = True
            store.write_task(
                TaskRecord(
                    hash=hash,
                    name=f"t{i}-{protocol}",
                    suite="s",
                    variables=("a", "b", "c"),
                    candidates=~np.eye(3, dtype=bool)[:2] | targets,
                    truth=Truth(
                        targets=targets,
                        ceiling_scores=rng.normal(size=(2, 3)).astype(np.float32) if i else None,
                        n_unmeasured=np.arange(2) if i else None,
                        facts={"varsortability": 0.25},
                    ),
                    metadata={"protocol": protocol, "dataset": f"t{i}"},
                    setting=("protocol",),
                    factors={"protocol": ""},
                )
            )
            for method, variants in [("m", ("soft", "set")), ("n", ())]:
                failed = method == "n" and i == 1
                scores = {v: rng.normal(size=(2, 3)).astype(np.float32) for v in variants or [""]}
                scores[variants[0] if variants else ""][0, 0] = np.nan
                store.write_job(
                    job(method, hash, protocol, Status.timeout if failed else Status.ok, variants),
                    None if failed else scores,
                )
    return store


def job(method, hash, protocol, status, variants=()):
    return JobRecord(
        key=f"{method}{hash}",
        suite="s",
        method=method,
        status=status,
        variants=variants,
        task=hash,
        task_hash=hash,
        metadata={"protocol": protocol},
    )


def test_nothing_is_lost(store, tmp_path):
    folders = compact(store, tmp_path / "archive").folders
    assert [f.name for f in folders] == ["s-clean", "s-dcdi"]
    assert sorted(p.name for p in folders[0].iterdir()) == [
        "m.parquet",
        "n.parquet",
        "tasks.parquet",
    ]
    records = [record for folder in folders for record in Archive(folder).records()]
    assert sorted(records, key=lambda r: r.key) == list(store.jobs())
    for folder in folders:
        archive = Archive(folder)
        for record in archive.records():
            task, known = archive.task(record.task_hash), store.task(record.task_hash)
            assert task.plain() == known.plain()
            assert set(task.arrays) == set(known.arrays)
            for name, array in known.arrays.items():
                np.testing.assert_array_equal(task.arrays[name], array)
                assert task.arrays[name].dtype == array.dtype
            if record.status == Status.ok:
                scores, stored = archive.scores(record.key), store.scores(record.key)
                assert set(scores) == set(stored)
                for variant in scores:
                    np.testing.assert_array_equal(scores[variant], stored[variant])


HARD_FOR_FLOAT32 = {
    "1 - p": 1 - np.array([[1e-9, 2e-9, 0.5], [0.1, 0.2, 0.3]]),
    "a large offset": 100 + 1e-6 * np.arange(6.0).reshape(2, 3),
    "1 / p": np.array([[1e300, 1.0, 2.0], [1.0, 2.0, np.nan]]),
    "too small": np.array([[0.0, 1e-300, 2.0], [1.0, 2.0, 3.0]]),
}


@pytest.mark.parametrize("scores", HARD_FOR_FLOAT32.values(), ids=HARD_FOR_FLOAT32)
@pytest.mark.parametrize("wide_first", [True, False])
def test_scores_that_float32_cannot_tell_apart_are_kept_as_they_are(
    store, tmp_path, scores, wide_first
):
    """Whichever comes first into an archive: they, or a file with float32."""
    hard = Store(tmp_path / "hard").create()
    hard.write_task(store.task("clean1"))
    hard.write_job(replace(job("n", "clean1", "clean", Status.ok), key="hard"), {"": scores})
    for each in (hard, store) if wide_first else (store, hard):
        compact(each, tmp_path / "archive")
    archive = Archive(tmp_path / "archive" / "s-clean")
    np.testing.assert_array_equal(archive.scores("hard")[""], scores)
    np.testing.assert_array_equal(archive.scores("nclean0")[""], store.scores("nclean0")[""])
    assert not archive.problems
    assert drop(archive.folder, ["hard"]) == 1
    again = Archive(archive.folder)
    np.testing.assert_array_equal(again.scores("nclean0")[""], store.scores("nclean0")[""])


def test_scores_that_float32_tells_apart_are_stored_as_float32(store, tmp_path):
    plain = Store(tmp_path / "plain").create()
    plain.write_task(store.task("clean1"))
    scores = np.random.default_rng(0).normal(size=(2, 3))
    scores[0] = [np.nan, 0.1, 0.1]
    plain.write_job(job("m", "clean1", "clean", Status.ok), {"": scores})
    compact(plain, tmp_path / "archive")
    archive = Archive(tmp_path / "archive" / "s-clean")
    assert archive.rows_of("m")["mclean1"]["scores:"].dtype == np.float32
    np.testing.assert_array_equal(archive.scores("mclean1")[""], scores.astype(np.float32))


def test_a_second_compaction_keeps_what_the_store_does_not_have(store, tmp_path):
    compact(store, tmp_path / "archive")
    fresh = Store(tmp_path / "fresh").create()
    fresh.write_task(store.task("clean1"))
    fresh.write_job(job("m", "clean1", "clean", Status.ok), {"": np.ones((2, 3))})
    compact(fresh, tmp_path / "archive")
    clean = Archive(tmp_path / "archive" / "s-clean")
    assert sorted(r.key for r in clean.records()) == ["mclean0", "mclean1", "nclean0", "nclean1"]
    assert clean.task("clean0").name == "t0-clean"
    assert set(clean.scores("mclean0")) == {"soft", "set"}
    np.testing.assert_array_equal(clean.scores("mclean1")[""], np.ones((2, 3)))


def test_a_record_whose_task_could_not_be_made_is_kept(store, tmp_path):
    store.write_job(job("m", "none", "clean", Status.error))
    compact(store, tmp_path / "archive")
    archive = Archive(tmp_path / "archive" / "s-clean")
    assert [r.status for r in archive.records() if r.task_hash == "none"] == ["error"]
    with pytest.raises(FileNotFoundError):
        archive.task("none")


def test_stores_and_archives_are_found_side_by_side(store, tmp_path):
    compact(store, tmp_path)
    assert [s.folder.name for s in find_stores(tmp_path)] == ["s", "s-clean", "s-dcdi"]
    assert [type(s) for s in find_stores(tmp_path / "s-clean")] == [Archive]
    with pytest.raises(BenchError, match="No results"):
        find_stores(tmp_path / "s" / "models")


def test_a_broken_file_is_named_and_the_others_are_read(store, tmp_path):
    compact(store, tmp_path)
    broken = tmp_path / "s-clean" / "m.parquet"
    broken.write_text("nonsense")
    archive = Archive(tmp_path / "s-clean")
    assert {r.method for r in archive.records()} == {"n"}
    assert len(archive.problems) == 1
    assert archive.problems[0].startswith(f"{broken} cannot be used: it cannot be read")
    compact(store, tmp_path)
    assert {r.method for r in Archive(tmp_path / "s-clean").records()} == {"m", "n"}
    (aside,) = (tmp_path / "s-clean" / "set-aside").rglob("m.parquet")
    assert aside.read_text() == "nonsense"


def test_results_that_newer_ones_supersede_can_be_left_out(store, tmp_path):
    """A newer version of a method has other keys; the old result is of no use to a report."""
    into = tmp_path / "archive"
    compact(store, into)
    newer = Store(tmp_path / "newer").create()
    old = store.job("mclean0")
    newer.write_task(store.task("clean0"))
    newer.write_job(
        replace(old, key="m2", method_version="2", started_at="2030-01-01T00:00:00+00:00"),
        store.scores("mclean0"),
    )
    command = ("compact", str(newer.folder), str(into))
    assert CliRunner().invoke(app, command).exit_code == 0
    before = {record.key for record in Archive(into / "s-clean").records()}
    assert {"mclean0", "m2"} < before
    found = CliRunner().invoke(app, [*command, "--drop-superseded"])
    assert found.exit_code == 0 and "1 superseded results are left out" in found.output
    assert {record.key for record in Archive(into / "s-clean").records()} == before - {"mclean0"}
    assert Archive(into / "s-clean").task("clean0").name == "t0-clean"
    assert len(list(Archive(into / "s-dcdi").records())) == 4


def test_results_on_older_data_stay_where_nothing_newer_replaces_them(store, tmp_path):
    """A newer version of a task makes all results on the older one useless to a report. Only the
    method that was run again has something in its place."""
    into = tmp_path / "archive"
    compact(store, into)
    newer = Store(tmp_path / "newer").create()
    old = store.job("mclean0")
    newer.write_task(replace(store.task("clean0"), hash="clean0-again"))
    newer.write_job(
        replace(old, key="m2", task_hash="clean0-again", started_at="2030-01-01T00:00:00+00:00"),
        store.scores("mclean0"),
    )
    found = CliRunner().invoke(app, ["compact", str(newer.folder), str(into), "--drop-superseded"])
    assert found.exit_code == 0
    assert "1 superseded results are left out" in found.output
    assert "1 results on an older version of the data stay" in found.output
    keys = {record.key for record in Archive(into / "s-clean").records()}
    assert keys == {"m2", "nclean0", "mclean1", "nclean1"}


def test_a_file_of_which_nothing_is_left_is_removed(store, tmp_path):
    (folder, _) = compact(store, tmp_path).folders
    assert drop(folder, {"nclean0", "nclean1", "unknown"}) == 2
    assert not (folder / "n.parquet").exists()
    assert {record.method for record in Archive(folder).records()} == {"m"}


def test_results_without_their_tasks_are_named_not_passed_over(store, tmp_path):
    folders = compact(store, tmp_path / "all").folders
    (folders[1] / "tasks.parquet").unlink()
    (lost,) = (each for each in find_stores(tmp_path / "all") if each.folder == folders[1])
    (said,) = lost.problems
    assert f"{folders[1] / 'tasks.parquet'} is missing" in said and "bench compact" in said


def test_other_tables_in_a_folder_are_no_archive(tmp_path):
    pd.DataFrame({"record": ["one"]}).to_parquet(tmp_path / "songs.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    assert not Archive.is_at(tmp_path)
    with pytest.raises(BenchError, match="No results in"):
        find_stores(tmp_path)


def trained(store, fit, protocol="clean", status=Status.ok):
    """A training, and a job of the method `t` that names it."""
    store.write_fit(
        FitRecord(
            key=fit, suite="s", method="t", status=status, wall_s=90.0, log="models/x/fit.log"
        )
    )
    done = job("t", f"{protocol}0", protocol, Status.skipped)
    store.write_job(replace(done, key=f"t of {fit}", fit=fit))


def fits_in(folder):
    return {r.key: r for r in Archive(folder).records() if isinstance(r, FitRecord)}


def test_trainings_are_kept_beside_the_jobs_that_name_them(store, tmp_path):
    """So that reports and estimates know what they took; what they printed stays behind."""
    for protocol in ("clean", "dcdi"):
        trained(store, f"fit-{protocol}", protocol)
    store.write_fit(FitRecord(key="idle", suite="s", method="t", status=Status.ok))
    clean, dcdi = compact(store, tmp_path / "archive").folders
    assert fits_in(clean) == {"fit-clean": replace(store_fit(store, "fit-clean"), log="")}
    assert set(fits_in(dcdi)) == {"fit-dcdi"}
    assert not Archive(clean).problems


def store_fit(store, key):
    (record,) = [record for record in store.records() if record.key == key]
    return record


def test_trainings_go_with_the_last_job_that_names_them(store, tmp_path):
    trained(store, "first")
    trained(store, "second", status=Status.error)
    (clean, *_) = compact(store, tmp_path / "archive").folders
    assert drop(clean, ["t of first"]) == 1
    assert set(fits_in(clean)) == {"second"}
    assert drop(clean, ["t of second"]) == 1
    assert not Archive(clean).method_path("t").exists()


def test_a_failure_of_the_machine_takes_no_result_away(store, tmp_path):
    """And an older store that is compacted last takes none of a newer one away."""
    first = next(record for record in store.jobs() if record.status == Status.ok)
    first = replace(first, started_at="2026-06-01")
    store.write_job(first, store.scores(first.key))
    (clean, *_) = compact(store, tmp_path / "archive").folders
    scores = Archive(clean).scores(first.key)

    def compacted(**changes):
        other = Store(tmp_path / changes["started_at"]).create()
        other.write_task(store.task(first.task_hash))
        changed = replace(first, **changes)
        done = changed.status == Status.ok
        other.write_job(changed, {v: s + 1 for v, s in scores.items()} if done else None)
        return compact(other, tmp_path / "archive").notes

    killed = compacted(status=Status.error, outside=True, started_at="2026-07-01", reason="killed")
    older = compacted(started_at="2026-05-01")
    for notes in (killed, older):
        assert any(f"1 records of {first.method} stay as they are" in note for note in notes)
    for variant, kept in Archive(clean).scores(first.key).items():
        np.testing.assert_allclose(kept, scores[variant], rtol=1e-6)
    assert not compacted(started_at="2026-08-01")
    for variant, kept in Archive(clean).scores(first.key).items():
        np.testing.assert_allclose(kept, scores[variant] + 1, rtol=1e-6)
