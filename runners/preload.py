"""Imported last in the fork server: does once what every job would do first.

Looks up the registered methods and suites, puts back the search path that the server was started
with, and moves all objects made so far out of the collector's sight, so that jobs share their
pages.
"""

import gc
import os

from cdnbench.registry import METHODS, SUITES, entries

for group in (METHODS, SUITES):
    entries(group)
if path := os.environ.pop("CDNBENCH_PYTHONPATH", ""):
    os.environ["PYTHONPATH"] = path
else:
    os.environ.pop("PYTHONPATH", None)
gc.collect()
gc.freeze()
