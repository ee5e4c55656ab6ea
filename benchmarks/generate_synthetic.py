"""CPU seconds to make the 120 datasets of `synthetic`, on one core: samples alone, and whole tasks
with ceiling and sortability.

python benchmarks/generate_synthetic.py
"""

import time

from threadpoolctl import threadpool_limits

from cdnbench import load_suite
from cdnbench.datasets.synthetic.generate import simulate
from cdnbench.runners.provenance import host

with threadpool_limits(1):
    for protocol in ("clean", "dcdi"):
        suite = load_suite("synthetic", protocol=protocol)
        specs = suite.specs()
        suite.load(load_suite("synthetic-mini").specs()[0])  # imports scipy
        begin = time.process_time()
        for spec in specs:
            simulate(spec.recipe)
        samples = time.process_time() - begin
        begin = time.process_time()
        for spec in specs:
            suite.load(spec)
        whole = time.process_time() - begin
        print(
            f"{protocol}: {len(specs)} datasets, samples {samples:.1f} s, whole tasks {whole:.1f} s"
        )
print(host())
