"""Which steps of a run threads are still at, after the run was interrupted."""

from __future__ import annotations

import threading

ENDING_S = 10.0
"""How long a run that was interrupted waits for the steps of other threads. They have been told to
end; only what `on_record` does may take longer."""


class Underway:
    """Counts the steps that threads are at: joblib returns from an interruption before they do."""

    def __init__(self) -> None:
        self._n, self._changed = 0, threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._n += 1

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._n -= 1
            self._changed.notify_all()

    def over(self, within_s: float) -> bool:
        """Wait until none is left; whether that was so in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._n, within_s)
