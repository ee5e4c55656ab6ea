"""Fits, each made once by the first job that needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cdnbench.loaded import LoadedMethod
from cdnbench.printable import printable
from cdnbench.record import FitRecord, Provenance, Status
from cdnbench.registry import METHODS, package_of
from cdnbench.runners.claims import POLL_S, Claims
from cdnbench.runners.devices import Lease
from cdnbench.runners.messages import Outcome
from cdnbench.runners.plan import Fit
from cdnbench.runners.provenance import provenance
from cdnbench.runners.scratch import new_folder, why
from cdnbench.runners.supervise import Interrupted, Supervisor

_GOES_ON = (Status.timeout, Status.oom, Status.killed)
"""Ends after which a fit goes on from its checkpoint, when it is tried again with more."""


@dataclass(frozen=True)
class Trained:
    """How a fit ended, and the file of its arrays in the store if it ended well."""

    record: FitRecord
    model: Path | None


class Trainer:
    """Trains what jobs need and the store lacks; any number of threads may ask.

    claims: what other runs on the same store are training is waited for. again: train also what has
    failed before. anew: train all, what other runs made before this one too, and do not go on from
    what they saved. What another run makes while this one is at work is taken. on_record: called
    with the record of each fit made. outdated: says of a record and a method whether it has to be
    made anew.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        claims: Claims,
        again: bool,
        anew: bool,
        on_record: Callable[[FitRecord], None],
        outdated: Callable[[FitRecord, LoadedMethod], bool] = lambda *_: False,
    ) -> None:
        self._claims = claims
        self._supervisor, self._again, self._anew = supervisor, again, anew
        self._on_record = on_record
        self._outdated = outdated
        self._made: dict[str, Future[Trained]] = {}
        self._before: dict[str, FitRecord | None] = {}  # the records when this run first looked
        self._books = threading.Lock()

    def look(self, fits: Iterable[Fit]) -> None:
        """Note what is there before the run begins: whatever replaces it is another run's work."""
        with self._books:
            for fit in fits:
                self._look(fit)

    def begin(self, fit: Fit) -> None:
        """Train a fit now, unless another thread or another run is at it. `ensure` waits for these.

        Raises
        ------
        Interrupted: the run was told to stop.
        """
        with self._books:
            self._look(fit)
            if fit.key in self._made or not self._claims.take(fit.key):
                return
            future = self._made[fit.key] = Future()
        self._settle(future, fit, None)

    def ensure(self, fit: Fit, lease: Lease | None = None) -> Trained:
        """The fit, trained now or before. Waits while another thread or another run trains it.
        lease: where it may compute on a GPU.

        Raises
        ------
        Interrupted: the run was told to stop.
        """
        with self._books:
            self._look(fit)
            future = self._made.get(fit.key)
            mine = future is None
            if future is None:
                future = self._made[fit.key] = Future()
        if mine:
            self._settle(future, fit, lease)
        return future.result()

    def _look(self, fit: Fit) -> None:
        if fit.key not in self._before:
            self._before[fit.key] = self._supervisor.store.fit(fit.key)

    def _settle(self, future: Future[Trained], fit: Fit, lease: Lease | None) -> None:
        try:
            future.set_result(self._train(fit, lease))
        except BaseException as error:
            future.set_exception(error)
            raise

    def _train(self, fit: Fit, lease: Lease | None) -> Trained:
        stop = self._supervisor.stop
        while not self._claims.take(fit.key):
            if stop.wait(POLL_S):
                raise Interrupted
        try:
            return self._trained(fit, lease, self._before[fit.key])
        finally:
            self._claims.release(fit.key)

    def _trained(self, fit: Fit, lease: Lease | None, before: FitRecord | None) -> Trained:
        """before: the record when this run first looked."""
        store = self._supervisor.store.refresh()
        record = store.fit(fit.key)
        failed = record is not None and record.status != Status.ok
        again = failed and record is not None and (self._again or record.outside)
        if record is None or (
            record is before and (self._anew or again or self._outdated(record, fit.method))
        ):
            if self._anew:
                store.remove_checkpoints(fit.key)
            started_at = datetime.now(UTC).isoformat(timespec="seconds")
            outcome, made = self._made_in_scratch(fit, lease)
            record = self._record(fit, outcome, started_at)
            store.write_fit(record, made)
            if not (record.outside or record.status in _GOES_ON):
                store.remove_checkpoints(fit.key)
            self._on_record(record)
        return Trained(record, store.model_path(fit.key) if record.status == Status.ok else None)

    def _made_in_scratch(self, fit: Fit, lease: Lease | None) -> tuple[Outcome, Path | None]:
        """Train where the method learns nothing of the store. If a GPU has no memory left, once
        more with a GPU to itself."""
        try:
            model = new_folder(self._supervisor.scratch) / "model.npz"
        except OSError as error:
            return Outcome(Status.error, why(error), outside=True), None
        outcome = self._supervisor.train(fit, model, lease and lease.slot)
        if outcome.no_gpu_memory and lease is not None:
            lease.widen()
            outcome = self._supervisor.train(fit, model, lease.slot)
        return outcome, model if outcome.status == Status.ok else None

    def _record(self, fit: Fit, outcome: Outcome, started_at: str) -> FitRecord:
        info, plan = fit.method.info, self._supervisor.plan
        return FitRecord(
            key=fit.key,
            suite=plan.suite_name,
            options=dict(plan.options),
            method=info.name,
            method_version=info.version,
            code=fit.method.code(),
            parameters=dict(fit.method.parameters),
            seed=fit.seed,
            n_tasks=len(fit.specs),
            status=outcome.status,
            reason=printable(outcome.reason),
            outside=outcome.outside,
            log=outcome.log,
            wall_s=outcome.wall_s,
            cpu_s=outcome.cpu_s,
            peak_rss_mb=outcome.peak_rss_mb,
            peak_gpu_mb=outcome.peak_gpu_mb,
            started_at=started_at,
            provenance=_made_on(provenance(package_of(METHODS, info.name)), outcome.hosts),
        )


def _made_on(made: Provenance, hosts: Sequence[str]) -> Provenance:
    """With the names of all machines, so that tables keep the times of a fit that went on elsewhere
    apart."""
    return replace(made, host=" and ".join(hosts)) if len(hosts) > 1 else made
