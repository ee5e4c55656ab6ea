"""What a reader of many rankings should know before trusting them."""

from __future__ import annotations

from collections.abc import Sequence

from cdnbench.pairs import FEW_ROWS
from cdnbench.prediction.screening import Comparison

_NAMED = 5


def notes_on_rows(comparisons: Sequence[Comparison]) -> list[str]:
    """Sentences on perturbations with few rows."""
    few = [c for c in comparisons if min(c.n_control, c.n_perturbed) < FEW_ROWS]
    if not few:
        return []
    return [
        f"Few rows: {_named(few)} have fewer than {FEW_ROWS} on a side. A ranking from so few "
        "is uncertain; moderated-t is made for them."
    ]


def _named(comparisons: Sequence[Comparison]) -> str:
    more = f" and {len(comparisons) - _NAMED:,} more" if len(comparisons) > _NAMED else ""
    return ", ".join(c.name for c in comparisons[:_NAMED]) + more
