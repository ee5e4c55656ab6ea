"""A store from elsewhere may say what it likes: nothing is written, deleted or read outside."""

import json
import os

import numpy as np
import pytest

from cdnbench.compaction import compact
from cdnbench.errors import BenchError
from cdnbench.record import FitRecord, JobRecord, Status
from cdnbench.store import Store

HOSTILE = ["../../x", "/tmp/x", "..", "a/b", "a\\b", "x\0y", ".hidden", "n" * 500, "\x1b[2J"]


def values(**changed) -> dict:
    known = {"key": "k", "suite": "s", "method": "m", "task": "t", "status": Status.error}
    return {**JobRecord(**known).plain(), **changed}


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("name", ["key", "suite", "method", "task_hash", "fit", "log"])
def test_a_record_with_such_a_name_is_left_out_and_named(tmp_path, name, older):
    folder = tmp_path / ("jobs" if older else "records")
    folder.mkdir()
    for i, word in enumerate(HOSTILE):
        text = json.dumps(values(**{name: word})) + "\n"
        (folder / f"{i}{'.json' if older else '.jsonl'}").write_text(text)
    store = Store(tmp_path)
    assert list(store.records()) == [] and len(store.problems) == len(HOSTILE)


@pytest.mark.parametrize("word", HOSTILE)
def test_compaction_stays_in_its_folder(tmp_path, word):
    store = Store(tmp_path / "s").create()
    shape = {"key": "k", "suite": "s", "method": "m", "task": "t", "status": Status.error}
    store.write_job(JobRecord(**shape, metadata={"protocol": word}))
    into = tmp_path / "deep" / "archive"
    if f"s-{word}" in ("s-..", "s-.hidden"):  # names like others
        assert [folder.parent for folder in compact(store, into).folders] == [into]
    else:
        with pytest.raises(BenchError, match="no finished job"):
            compact(store, into)
        assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_log_that_is_a_link_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    store = Store(tmp_path / "s").create()
    log = tmp_path / "s" / store.log_of(JobRecord, "k")
    log.symlink_to(precious)
    store.write_log(JobRecord, "k", b"printed")
    assert log.read_bytes() == b"printed" and not log.is_symlink()
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("name", ["logs", "models", "records"])
def test_a_folder_that_is_a_link_is_not_followed(tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "f").mkdir(parents=True)
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / name).symlink_to(elsewhere)
    store = Store(folder).create()
    store.write_log(JobRecord, "k", b"printed")
    np.savez(tmp_path / "m.npz", a=np.ones(2))
    fit = FitRecord(key="f", suite="s", method="m", status=Status.ok)
    store.write_fit(fit, tmp_path / "m.npz")
    store.close()
    assert [p.name for p in elsewhere.rglob("*")] == ["f"]
    assert Store(folder).fit("f") == fit
    (aside,) = (p for p in (folder / "set-aside").rglob("*") if p.is_symlink())
    assert os.readlink(aside) == str(elsewhere)
