"""Small stores with known answers, written through `Store` as the runner writes them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cdnbench.digest import digest
from cdnbench.record import FitRecord, JobRecord, Provenance, Status, TaskRecord
from cdnbench.store import Store
from cdnbench.truth import Truth

SETTING = ("protocol", "n_nodes", "n_edges", "mechanism", "intervention")

_IDENTITY = ("method_version", "parameters", "knowledge", "seed")


BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark_module(monkeypatch) -> Callable[[str], Any]:
    """A function that gives a module of the folder `benchmarks` by its name."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


class FakeStore:
    """A store to be filled: `task(...)` gives a hash, `job(...)` and `fit(...)` write a record."""

    def __init__(self, folder: Path, suite: str = "synthetic") -> None:
        self.store = Store(folder).create()
        self.suite = suite
        self.tasks: dict[str, TaskRecord] = {}

    def task(
        self,
        name: str,
        targets: np.ndarray,
        *,
        candidates: np.ndarray | None = None,
        ceiling: np.ndarray | None = None,
        detectable: np.ndarray | None = None,
        setting: tuple[str, ...] = SETTING,
        factors: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
        hash: str = "",
        written: bool = True,
        **metadata: Any,
    ) -> str:
        """hash: by default a digest of all that is told of the task. written: False for a task that
        the store has lost, or never had."""
        targets = np.asarray(targets, bool)
        task = TaskRecord(
            hash=hash or digest(self.suite, name, metadata),
            name=name,
            suite=self.suite,
            variables=tuple(f"x{i}" for i in range(targets.shape[1])),
            candidates=np.ones_like(targets) if candidates is None else candidates,
            truth=Truth(
                targets=targets,
                ceiling_scores=ceiling,
                detectable=detectable,
                facts={"varsortability": 0.5} if facts is None else facts,
            ),
            metadata={"dataset": name, **metadata},
            setting=setting,
            factors=factors,
        )
        if written:
            self.store.write_task(task)
        self.tasks[task.hash] = task
        return task.hash

    def job(
        self,
        method: str,
        task: str,
        outputs: Mapping[str, np.ndarray] | np.ndarray | None = None,
        *,
        status: str = "ok",
        **fields: Any,
    ) -> str:
        """outputs: variant -> scores, or the scores of a method with one reading."""
        if isinstance(outputs, np.ndarray):
            outputs = {"": outputs}
        about = self.tasks[task]
        known = {
            "task": about.name,
            "metadata": about.metadata,
            "setting": about.setting,
            "factors": about.factors,
            **_ended(status),
            **fields,
        }
        identity = [str(known.get(name)) for name in _IDENTITY]
        record = JobRecord(
            key=digest(method, identity, task),
            suite=self.suite,
            method=method,
            task_hash=task,
            timeout_s=600.0,
            memory_gb=8.0,
            **known,
        )
        self.store.write_job(record, outputs)
        return record.key

    def fit(self, method: str, status: str = "ok", **fields: Any) -> None:
        """The record of a fit."""
        record = FitRecord(
            key=digest(method, "fit"),
            suite=self.suite,
            method=method,
            **(_ended(status) | fields),
        )
        self.store.write_fit(record)

    @staticmethod
    def one_target_each(n_regimes: int, n_variables: int) -> np.ndarray:
        """(R, N) bool: regime r targets variable r modulo N."""
        targets = np.zeros((n_regimes, n_variables), bool)
        targets[np.arange(n_regimes), np.arange(n_regimes) % n_variables] = True
        return targets

    @staticmethod
    def at_place(targets: np.ndarray, place: int) -> np.ndarray:
        """(R, N) scores that put the one target of every regime at `place` (1 is first), without
        ties."""
        scores = np.zeros(targets.shape)
        for r, row in enumerate(targets):
            others = [i for i in range(len(row)) if not row[i]]
            order = [*others[: place - 1], int(row.argmax()), *others[place - 1 :]]
            scores[r, order] = np.arange(len(row), 0, -1)
        return scores


def _ended(status: str) -> dict[str, Any]:
    """The fields of a job or a fit that ended like this."""
    return {
        "status": Status(status),
        "reason": "" if status == "ok" else f"because {status}",
        "wall_s": 0.5 if status == "ok" else None,
        "cpu_s": 0.4,
        "peak_rss_mb": 120.0,
        "started_at": "2026-01-01T00:00:00+00:00",
        "provenance": Provenance(
            versions={"python": "3.11.9", "numpy": "2.0.0"},
            git_sha="0123456789abcdef",
            dirty=False,
            host="Linux x86_64, 2 cores, abc123",
        ),
    }


@pytest.fixture(scope="session")
def fake_store() -> type[FakeStore]:
    """The class, for stores that several tests share."""
    return FakeStore


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., FakeStore]:
    """`make_store("sachs")`: an empty store of that suite, in a folder of that name below
    `tmp_path`."""
    return lambda suite="synthetic", folder=None: FakeStore(tmp_path / (folder or suite), suite)
