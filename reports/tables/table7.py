"""The paper's Table 7 on the synthetic settings.

The paper prints its ablations for cells only, so nothing stands beside ours.
"""

from __future__ import annotations

from cdnbench.reports import published
from cdnbench.reports.frame import Results
from cdnbench.reports.paper import ablation
from cdnbench.reports.table import Table

SUMMARY = (
    "the paper's Table 7 (ablations of cdn-axial) on the synthetic settings; `bench train "
    "ablations table7` makes them"
)


def build(results: Results) -> Table:
    """From weights that `bench train ablations table7` made."""
    nothing = published.table8().iloc[:0]
    return ablation(results, nothing, "table7", "Table 7's ablations on synthetic data")
