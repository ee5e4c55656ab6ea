"""What a fit saves while it trains, so that one that was ended goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class Checkpoint(Protocol):
    """Where a fit saves how far it has come.

    A fit that goes on must end with the arrays of one that was never ended, bit for bit, on the
    same machine. So it saves all that its next step depends on, and the states of random generators
    as well.
    """

    def load(self) -> Mapping[str, np.ndarray]:
        """The arrays that were saved last; none if the fit begins anew."""
        ...

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep these arrays in place of those before. They must need no pickle.

        Call it after every pass over the training data, for example: the arrays are written now and
        then only, and not kept otherwise.
        """
        ...


class _Nowhere:
    def load(self) -> Mapping[str, np.ndarray]:
        return {}

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        pass


NO_CHECKPOINT: Checkpoint = _Nowhere()
"""Keeps nothing, for fits that nobody means to continue."""
