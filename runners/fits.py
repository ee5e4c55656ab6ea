"""Fits, each made once by the first job that needs it."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from cdnbench.registry import METHODS, package_of
from cdnbench.runners.drive import Driver
from cdnbench.runners.plan import Fit
from cdnbench.runners.provenance import provenance


class Fitter:
    """Trains what jobs need and the store lacks; any number of threads may ask.

    again: also what has failed before. scratch: a folder for working folders. on_record: called
        with the record of each fit made.
    """

    def __init__(
        self,
        driver: Driver,
        suite: str,
        options: Mapping[str, Any],
        scratch: Path,
        again: bool,
        on_record: Callable[[dict[str, Any]], None],
    ) -> None:
        self._driver, self._suite, self._options, self._scratch, self._again = (
            driver,
            suite,
            options,
            scratch,
            again,
        )
        self._on_record = on_record
        self._made: dict[str, Future[str]] = {}
        self._books = threading.Lock()

    def ensure(self, fit: Fit) -> str:
        """ "" once the model is in the store, or why there is none. Waits while another thread
        trains it."""
        with self._books:
            future = self._made.get(fit.key)
            mine = future is None
            if future is None:
                future = self._made[fit.key] = Future()
        if mine:
            try:
                future.set_result(self._make(fit))
            except BaseException as error:
                future.set_exception(error)
                raise
        return future.result()

    def _make(self, fit: Fit) -> str:
        store = self._driver.store
        record = store.fit_record(fit.key)
        if record is None or (record["status"] != "ok" and self._again):
            folder = Path(tempfile.mkdtemp(dir=self._scratch))
            outcome = self._driver.fit(fit, self._suite, self._options, folder)
            record = {
                "key": fit.key,
                "kind": "fit",
                "suite": self._suite,
                "options": dict(self._options),
                "method": fit.method.info.name,
                "method_version": fit.method.info.version,
                "parameters": dict(fit.method.parameters),
                "seed": fit.seed,
                "n_tasks": len(fit.specs),
                "status": outcome.status,
                "reason": outcome.reason,
                "wall_s": outcome.wall_s,
                "cpu_s": outcome.cpu_s,
                "peak_rss_mb": outcome.peak_rss_mb,
                **provenance(package_of(METHODS, fit.method.info.name)),
            }
            store.write_fit_record(record)
            self._on_record(record)
        return "" if record["status"] == "ok" else f"{record['status']}: {record['reason']}"
