"""The checkpoint of a fit inside its process, which knows neither the store nor its key.

It reads what the run has laid at a path before, and writes there; the run, told of it, copies the
file to the store.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cdnbench.arrays import read_npz
from cdnbench.runners.provenance import host

_ARRAY = "array/"
_SPENT, _HOSTS = "spent", "hosts"


@dataclass
class FileCheckpoint:
    """A `cdnbench.checkpoint.Checkpoint` in a file.

    every_s: what is saved earlier than this after the last file, or after the start, is not
    written. spent: wall and CPU seconds of the fit so far, with those of the runs before.
    on_write: called when there is a new file.

    Attributes
    ----------
    spent_before: wall and CPU seconds that earlier runs spent on what is saved.
    hosts: the machines of these runs, and this one (`provenance.host`).
    """

    path: Path
    every_s: float
    spent: Callable[[], tuple[float, float]]
    on_write: Callable[[], None]
    spent_before: tuple[float, float] = field(init=False, default=(0.0, 0.0))
    hosts: tuple[str, ...] = field(init=False, default_factory=lambda: (host(),))
    _arrays: dict[str, np.ndarray] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._written = time.monotonic()
        if not self.path.exists():
            return
        try:
            arrays = read_npz(self.path)
            wall, cpu = arrays.pop(_SPENT).tolist()
            hosts = arrays.pop(_HOSTS).tolist()
        except (OSError, ValueError, KeyError) as error:
            print(f"The checkpoint cannot be gone on from ({error}); the fit begins anew.")
            return
        self._arrays = {name.removeprefix(_ARRAY): array for name, array in arrays.items()}
        self.spent_before = wall, cpu
        self.hosts = tuple(dict.fromkeys([*hosts, *self.hosts]))

    def load(self) -> Mapping[str, np.ndarray]:
        return self._arrays

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        if time.monotonic() - self._written < self.every_s:
            return
        named = {_ARRAY + name: array for name, array in arrays.items()}
        partial = self.path.with_suffix(".partial")
        try:
            with open(partial, "wb") as file:
                spent, hosts = np.array(self.spent()), np.array(self.hosts)
                np.savez(file, **named, **{_SPENT: spent, _HOSTS: hosts})  # type: ignore[arg-type]
            os.replace(partial, self.path)
        except OSError as error:  # the fit itself can go on
            print(f"No checkpoint could be written: {error}")
        else:
            self.on_write()
        self._written = time.monotonic()
