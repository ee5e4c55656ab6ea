"""The paper's Table 8, ours beside the printed values."""

from __future__ import annotations

from cdnbench.reports import published
from cdnbench.reports.frame import Results
from cdnbench.reports.paper import ablation
from cdnbench.reports.table import Table

SUMMARY = (
    "the paper's Table 8 (global statistics), ours beside the printed values; `bench train "
    "ablations table8` makes them"
)


def build(results: Results) -> Table:
    """From weights that `bench train ablations table8` made."""
    title = "Table 8, ours beside the printed values"
    return ablation(results, published.table8(), "table8", title)
