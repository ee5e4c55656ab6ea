"""The statistics of every table and figure. The dataset is the unit, never the regime.

Regimes, seeds and the tasks of a dataset are averaged to one value per dataset first (`units`).
Within one setting there are a mean and a t-interval, and no p-value. Over several settings there
are a bootstrap stratified by setting (`intervals`), paired differences with a sign-flip test and
Holm's correction (`pairs`, `significance`), and the Friedman test with critical differences
(`ranks`). Where one gene is a target in several cell lines, its tasks are resampled together and
their signs are flipped together: a cluster bootstrap by gene. `power` says which differences so
many datasets can show at all.

>>> from cdnbench.reports import statistics
>>> statistics.holm([0.01, 0.04, 0.03]).tolist()
[0.03, 0.06, 0.06]
"""

from cdnbench.reports.statistics.intervals import (
    FEW,
    RESAMPLES,
    bootstrap_interval,
    cluster_bootstrap_interval,
    mean_interval,
    proportion_interval,
    t_halfwidth,
)
from cdnbench.reports.statistics.pairs import Difference, Pairs, paired_differences
from cdnbench.reports.statistics.power import (
    flips_note,
    power_note,
    smallest_difference,
    smallest_p,
    typical_spread,
)
from cdnbench.reports.statistics.ranks import (
    Friedman,
    average_ranks,
    critical_difference,
    friedman,
    indistinct,
)
from cdnbench.reports.statistics.significance import agreement_limit, holm, sign_flip_test
from cdnbench.reports.statistics.units import (
    GENE,
    UNIT,
    coded,
    codes_of,
    dataset_means,
    over_datasets,
    with_genes,
)

__all__ = [
    "FEW",
    "GENE",
    "RESAMPLES",
    "UNIT",
    "Difference",
    "Friedman",
    "Pairs",
    "agreement_limit",
    "average_ranks",
    "bootstrap_interval",
    "cluster_bootstrap_interval",
    "critical_difference",
    "coded",
    "codes_of",
    "dataset_means",
    "flips_note",
    "friedman",
    "holm",
    "indistinct",
    "mean_interval",
    "over_datasets",
    "paired_differences",
    "power_note",
    "proportion_interval",
    "sign_flip_test",
    "smallest_difference",
    "smallest_p",
    "t_halfwidth",
    "typical_spread",
    "with_genes",
]
