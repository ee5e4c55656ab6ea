"""From stored scores to leaderboards, tables, figures and pages.

>>> from cdnbench import report
>>> report("results").table("leaderboard")  # doctest: +SKIP

`read` finds records and tasks in stores, `evaluate` measures their scores, and `frame` puts both
into data frames. Tables (`tables/`) and figures (`figures/`) are made of these, and `show/` writes
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdnbench.reports.report import Report
    from cdnbench.reports.report import report as build

__all__ = ["Report", "build"]


def __getattr__(name: str):
    """Both import pandas, so they are looked up when asked for. `build` is `cdnbench.report`: here,
    that name is a module."""
    if name not in __all__:
        raise AttributeError(f"module 'cdnbench.reports' has no attribute {name!r}")
    from importlib import import_module

    module = import_module("cdnbench.reports.report")
    return module.report if name == "build" else module.Report
