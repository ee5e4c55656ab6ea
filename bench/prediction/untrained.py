"""Methods that have to be trained, and samples of one's own, which come without training tasks."""

from __future__ import annotations

from cdnbench.errors import CannotRun
from cdnbench.loaded import LoadedMethod


def check_trained(method: LoadedMethod) -> None:
    """Check that a method can predict without a training set.

    Raises
    ------
    CannotRun: the method has to be trained first; the message says how it can be used instead.
    """
    if not method.needs_fit:
        return
    raise CannotRun(
        f"{method.label} has to be trained on perturbations with known targets, and a file of your "
        "own has no training set. Choose a method that needs none (`bench list methods`), or "
        "prepare a screen of many perturbations (`bench data prepare --help`) and run the method "
        f"on it: bench run --suite perturbseq --data prepared --methods {method.label}"
    )
