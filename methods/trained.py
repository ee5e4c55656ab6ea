"""What methods that have to be trained share: the arrays of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.method import MethodInfo


@dataclass(frozen=True, eq=False)
class Trained:
    """Base of methods that keep what `fit` returned."""

    _model: Mapping[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    info: ClassVar[MethodInfo]

    def fitted(self, model: Mapping[str, np.ndarray]) -> Self:
        """The method with the arrays of a fit."""
        made = replace(self)
        object.__setattr__(made, "_model", model)
        return made

    @property
    def model(self) -> Mapping[str, np.ndarray]:
        """The arrays of the fit.

        Raises
        ------
        CannotRun: the method has not been fitted.
        """
        if not self._model:
            raise CannotRun(f"{self.info.name} has to be fitted first")
        return self._model
