"""The paper's Table 11, ours beside the printed values."""

from __future__ import annotations

from cdnbench.reports.paper import beside_table11 as build

__all__ = ["SUMMARY", "build"]

SUMMARY = "the paper's Table 11 (all synthetic settings), ours beside the printed values"
