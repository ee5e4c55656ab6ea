"""Small stores with known answers, written through `Store` as the runner writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cdnbench.digest import digest
from cdnbench.store import Store, TaskTruth

SETTING = ("protocol", "n_nodes", "n_edges", "mechanism", "intervention")


class FakeStore:
    """A store to be filled: `task(...)` gives a hash, `job(...)` writes one record."""

    def __init__(self, folder: Path, suite: str = "synthetic") -> None:
        self.store = Store(folder).create()
        self.suite = suite
        self.truths: dict[str, TaskTruth] = {}

    def task(
        self,
        name: str,
        targets: np.ndarray,
        *,
        candidates: np.ndarray | None = None,
        ceiling: np.ndarray | None = None,
        detectable: np.ndarray | None = None,
        setting: tuple[str, ...] = SETTING,
        facts: Mapping[str, Any] | None = None,
        **metadata: Any,
    ) -> str:
        targets = np.asarray(targets, bool)
        truth = TaskTruth(
            name=name,
            suite=self.suite,
            variables=tuple(f"x{i}" for i in range(targets.shape[1])),
            targets=targets,
            candidates=np.ones_like(targets) if candidates is None else candidates,
            ceiling=ceiling,
            detectable=detectable,
            metadata={"dataset": name, **metadata},
            facts={"varsortability": 0.5} if facts is None else facts,
            setting=setting,
        )
        hash = digest(self.suite, name, metadata)
        self.store.write_task(hash, truth)
        self.truths[hash] = truth
        return hash

    def job(
        self,
        method: str,
        task: str,
        outputs: Mapping[str, np.ndarray] | np.ndarray | None = None,
        *,
        status: str = "ok",
        variants: tuple[str, ...] = (),
        **fields: Any,
    ) -> str:
        """outputs: variant -> scores, or the scores of a method with one reading."""
        if isinstance(outputs, np.ndarray):
            outputs = {"": outputs}
        record = {
            "kind": "predict",
            "suite": self.suite,
            "task": self.truths[task].name,
            "task_hash": task,
            "method": method,
            "method_version": "1",
            "variants": list(variants),
            "parameters": {},
            "seed": 0,
            "status": status,
            "reason": "" if status == "ok" else f"because {status}",
            "note": "",
            "batch_size": 1,
            "wall_s": 0.5 if status == "ok" else None,
            "wall_s_single": None,
            "cpu_s": 0.4,
            "peak_rss_mb": 120.0,
            "peak_gpu_mb": None,
            "device": "cpu",
            "threads": 1,
            "timeout_s": 600.0,
            "memory_gb": 8.0,
            "started_at": "2026-01-01T00:00:00+00:00",
            "versions": {"python": "3.11.9", "numpy": "2.0.0"},
            "git_sha": "0123456789abcdef",
            "dirty": False,
            "host": "Linux x86_64, 2 cores, abc123",
            **fields,
        }
        record["key"] = digest(
            {
                name: str(record[name])
                for name in ("method", "method_version", "parameters", "seed")
            },
            task,
        )
        if status == "ok" and outputs is not None:
            self.store.write_scores(record["key"], outputs)
        self.store.write_record(record)
        return record["key"]

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


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., FakeStore]:
    """`make_store("sachs")`: an empty store of that suite, in a folder of that name below
    `tmp_path`."""
    return lambda suite="synthetic", folder=None: FakeStore(tmp_path / (folder or suite), suite)
