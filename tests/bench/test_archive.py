"""A compacted store says what the store says."""

import numpy as np
import pytest

from cdnbench.archive import Archive, compact, find_stores
from cdnbench.errors import BenchError
from cdnbench.store import Store, TaskTruth


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "s").create()
    rng = np.random.default_rng(0)
    for protocol in ("clean", "dcdi"):
        for i in range(2):
            hash = f"{protocol}{i}"
            targets = np.zeros((2, 3), bool)
            targets[:, i] = True
            truth = TaskTruth(
                name=f"t{i}-{protocol}",
                suite="s",
                variables=("a", "b", "c"),
                targets=targets,
                candidates=~np.eye(3, dtype=bool)[:2] | targets,
                ceiling=rng.normal(size=(2, 3)) if i else None,
                metadata={"protocol": protocol, "dataset": f"t{i}"},
                facts={"varsortability": 0.25},
                setting=("protocol",),
            )
            store.write_task(hash, truth)
            for method, variants in [("m", ["soft", "set"]), ("n", [])]:
                key = f"{method}{hash}"
                failed = method == "n" and i == 1
                if not failed:
                    scores = {
                        v: rng.normal(size=(2, 3)).astype(np.float32) for v in variants or [""]
                    }
                    scores[variants[0] if variants else ""][0, 0] = np.nan
                    store.write_scores(key, scores)
                status = "timeout" if failed else "ok"
                store.write_record(
                    {
                        "key": key,
                        "method": method,
                        "suite": "s",
                        "metadata": {"protocol": protocol},
                        "task_hash": hash,
                        "variants": variants,
                        "status": status,
                    }
                )
    return store


def test_nothing_is_lost(store, tmp_path):
    folders = compact(store, tmp_path / "archive")
    assert [f.name for f in folders] == ["s-clean", "s-dcdi"]
    assert sorted(p.name for p in folders[0].iterdir()) == [
        "m.parquet",
        "n.parquet",
        "tasks.parquet",
    ]
    records = [record for folder in folders for record in Archive(folder).records()]
    assert sorted(records, key=lambda r: r["key"]) == list(store.records())
    for folder in folders:
        archive = Archive(folder)
        for record in archive.records():
            truth, known = archive.task(record["task_hash"]), store.task(record["task_hash"])
            assert (truth.name, truth.suite, truth.variables, truth.setting) == (
                known.name, known.suite, known.variables, known.setting,
            )  # fmt: skip
            assert truth.metadata == known.metadata and truth.facts == known.facts
            for name in ("targets", "candidates"):
                np.testing.assert_array_equal(getattr(truth, name), getattr(known, name))
            assert (truth.ceiling is None) == (known.ceiling is None)
            if known.ceiling is not None:
                np.testing.assert_allclose(truth.ceiling, known.ceiling, rtol=1e-6)
            if record["status"] == "ok":
                scores, stored = archive.scores(record["key"]), store.scores(record["key"])
                assert set(scores) == set(stored)
                for variant in scores:
                    np.testing.assert_array_equal(scores[variant], stored[variant])


def test_a_second_compaction_keeps_what_the_store_no_longer_has(store, tmp_path):
    compact(store, tmp_path / "archive")
    for record in list(store.records()):
        if record["method"] == "n" or record["task_hash"] == "clean0":
            store.remove(record["key"])
    compact(store, tmp_path / "archive")
    clean = Archive(tmp_path / "archive" / "s-clean")
    assert sorted(r["key"] for r in clean.records()) == ["mclean0", "mclean1", "nclean0", "nclean1"]
    assert clean.task("clean0").name == "t0-clean" and clean.scores("mclean0")["set"].shape == (
        2,
        3,
    )


def test_a_record_whose_task_could_not_be_made_is_kept(store, tmp_path):
    record = {
        "key": "x",
        "method": "m",
        "suite": "s",
        "metadata": {"protocol": "clean"},
        "task_hash": "none",
    }
    store.write_record({**record, "variants": [], "status": "error"})
    compact(store, tmp_path / "archive")
    archive = Archive(tmp_path / "archive" / "s-clean")
    assert [r["status"] for r in archive.records() if r["key"] == "x"] == ["error"]
    with pytest.raises(FileNotFoundError):
        archive.task("none")


def test_stores_and_archives_are_found_side_by_side(store, tmp_path):
    compact(store, tmp_path)
    assert [s.folder.name for s in find_stores(tmp_path)] == ["s", "s-clean", "s-dcdi"]
    assert [type(s) for s in find_stores(tmp_path / "s-clean")] == [Archive]
    with pytest.raises(BenchError, match="No results"):
        find_stores(tmp_path / "s" / "jobs")


def test_a_broken_file_is_named(store, tmp_path):
    compact(store, tmp_path)
    (tmp_path / "s-clean" / "m.parquet").write_text("nonsense")
    with pytest.raises(BenchError, match=r"m.parquet cannot be read"):
        list(Archive(tmp_path / "s-clean").records())
