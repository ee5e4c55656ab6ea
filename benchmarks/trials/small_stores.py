"""A small real store in each form that `bench` reads: today's, the older one, and an archive."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np

from cdnbench import run
from cdnbench.compaction import compact
from cdnbench.digest import plain
from cdnbench.record import FitRecord, Status
from cdnbench.store import Store

SUITE, METHODS, LIMIT = "synthetic-mini", "random,target-shift", 3
FORMS = ("store", "older store", "archive")
"""The folder that is damaged, by form; an archive lies in a folder of archives."""


def make(folder: Path) -> None:
    """Write one store per form into a folder."""
    store = run(SUITE, METHODS, out=folder / "store", limit=LIMIT, jobs=1)
    model = folder / "model.npz"
    np.savez(model, weights=np.arange(50.0))
    ok = next(store.jobs())
    fit = FitRecord(key="f" * 32, suite=SUITE, method="linear", status=Status.ok)
    store.write_fit(fit, model)
    bad = FitRecord(key="e" * 32, suite=SUITE, method="mlp", status=Status.error, reason="no luck")
    store.write_log(FitRecord, bad.key, b"what it printed\n")
    store.write_fit(bad)
    store.close()
    assert ok.status == Status.ok
    write_older(store, folder / "older store")
    compact(store, folder / "archive")
    model.unlink()


def write_older(store: Store, folder: Path) -> None:
    """The store in the form that versions before the append-only segments wrote."""
    for name in ("jobs", "tasks", "models"):
        (folder / name).mkdir(parents=True)
    hashes = set()
    for record in store.records():
        values = record.plain()
        if isinstance(record, FitRecord):
            into = folder / "models" / record.key
            shutil.copytree(store.model_path(record.key).parent, into)
            (into / "record.json").write_text(json.dumps(values, default=plain))
            continue
        hashes.add(record.task_hash)
        (folder / "jobs" / f"{record.key}.json").write_text(json.dumps(values, default=plain))
        scores = {name or "scores": array for name, array in store.scores(record.key).items()}
        np.savez(folder / "jobs" / f"{record.key}.npz", **scores)
    for hash in hashes:
        task = store.task(hash)
        about = json.dumps(
            {k: v for k, v in task.plain().items() if k not in ("hash", "variables")}
        )
        np.savez(
            folder / "tasks" / f"{hash}.npz",
            about=np.array(about),
            variables=np.array(task.variables),
            **task.arrays,
        )


def without_rights(words: list[str]) -> list[str]:
    """A command that is refused what a file's mode forbids, also where the superuser runs it."""
    if os.geteuid() == 0 and shutil.which("setpriv"):
        return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *words]
    return words
