"""Results in other folders than a run writes to, which it does not compute again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cdnbench.archive import Archive
from cdnbench.record import JobRecord, Status
from cdnbench.store import Store


class Kept:
    """The finished jobs of some stores and archives, by their keys.

    A key is made of everything that determines a result, so what was computed with another version
    of a method, on other data or with other weights is not found here.
    """

    def __init__(self, stores: Iterable[Store | Archive] = ()) -> None:
        self._places: dict[str, list[tuple[Store | Archive, JobRecord]]] = {}
        for store in stores:
            for record in store.records():
                if isinstance(record, JobRecord):
                    self._places.setdefault(record.key, []).append((store, record))

    def job(self, key: str) -> JobRecord | None:
        """The record of a job that can be read whole, with its scores and its task; else None."""
        own = (record for store, record in self._places.get(key, ()) if _whole(store, record))
        return min(own, key=lambda record: record.status != Status.ok, default=None)

    def stores(self, keys: Iterable[str]) -> Sequence[Store | Archive]:
        """The stores that hold any of these jobs, each once."""
        found = [store for key in keys for store, _ in self._places.get(key, ())]
        return list({store.folder.resolve(): store for store in found}.values())


def _whole(store: Store | Archive, record: JobRecord) -> bool:
    if record.status != Status.ok:
        return True
    try:
        store.task(record.task_hash)
        store.scores(record.key)
    except (OSError, ValueError, KeyError):  # damaged: run again, as in a run's own folder
        return False
    return True
