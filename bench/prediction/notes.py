"""What a reader of many rankings should know before trusting them."""

from __future__ import annotations

from collections.abc import Sequence

from cdnbench.pairs import FEW_ROWS
from cdnbench.prediction.screening import Comparison

_LEVEL = 0.05
_NAMED = 5


def notes_on_effects(effects: Sequence[tuple[Comparison, float]]) -> list[str]:
    """Sentences on perturbations with few rows, and on those that show nothing.

    effects: each comparison with the smallest p-value of its variables, corrected for their number.
    """
    notes = []
    few = [c for c, _ in effects if min(c.n_control, c.n_perturbed) < FEW_ROWS]
    if few:
        notes.append(
            f"Few rows: {_named(few)} have fewer than {FEW_ROWS} on a side. A ranking from so few "
            "is uncertain; moderated-t is made for them."
        )
    if still := [c for c, p in effects if p > _LEVEL]:
        notes.append(
            f"No variable's mean differs more than chance explains for {len(still):,} of "
            f"{len(effects):,} perturbations ({_named(still)}). Their rankings may be of noise."
        )
    return notes


def _named(comparisons: Sequence[Comparison]) -> str:
    more = f" and {len(comparisons) - _NAMED:,} more" if len(comparisons) > _NAMED else ""
    return ", ".join(c.name for c in comparisons[:_NAMED]) + more
