"""Imported last in the fork server: does once what every job would do first.

Imports what every process needs, looks up the registered methods and suites, puts back the
variables that told the server where to look for modules, and moves all objects made so far out of
the collector's sight, so that jobs share their pages.
"""

import gc
import mmap  # noqa: F401  numpy imports it with the first memory map
import multiprocessing.popen_forkserver  # noqa: F401  what a new process is made of
import os
import sys

import numpy.random  # noqa: F401  numpy imports it when it is first used

import cdnbench.runners.server  # noqa: F401  where every process begins
from cdnbench.registry import METHODS, SUITES, entries

SEARCH_PATH = tuple(sys.path)
"""Where the server looks for modules, and every process that it forks."""

for group in (METHODS, SUITES):
    entries(group)
for name in ("PYTHONPATH", "PYTHONSAFEPATH"):
    if value := os.environ.pop(f"CDNBENCH_{name}", ""):
        os.environ[name] = value
    else:
        os.environ.pop(name, None)
gc.collect()
gc.freeze()
