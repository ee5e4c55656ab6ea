"""The paper's Table 4, ours beside the printed values."""

from __future__ import annotations

from cdnbench.reports.paper import beside_table4 as build

__all__ = ["SUMMARY", "build"]

SUMMARY = (
    "the paper's Table 4 (N = 10, E = 10, by number of targets), ours beside the printed values"
)
