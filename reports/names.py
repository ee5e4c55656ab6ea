"""The tables that a report can show, by name. Imports nothing, so that listing them is quick."""

from __future__ import annotations

LEADERBOARD = "leaderboard"
TABLES: dict[str, str] = {
    LEADERBOARD: "methods by mean average precision, one block a suite and protocol; its CSV is "
    "the tidy frame",
    "jobs": "what ran, how it ended and what it cost; its CSV has one row a job",
    "regimes": "the place of the target in each regime, for suites of a few real regimes such as "
    "sachs",
    "real": "real data: share found first in each data set, the mean over data sets, false alarms",
    "comparisons": "paired differences to the best method and to target-shift: intervals, "
    "sign-flip tests, Holm",
    "distribution": "each setting in or out of a pretrained method's training laws, with its "
    "distance to the ceiling",
    "table4": "the paper's Table 4 (N = 10, E = 10, by number of targets), ours beside the "
    "printed values",
    "agreement": "whether ours agree with Table 11's printed values, setting by setting (Welch), "
    "under the dcdi protocol",
    "table7": "the paper's Table 7 (ablations of cdn-axial) on the synthetic settings; `bench "
    "train ablations table7` makes them",
    "table8": "the paper's Table 8 (global statistics), ours beside the printed values; `bench "
    "train ablations table8`",
    "table11": "the paper's Table 11 (all synthetic settings), ours beside the printed values",
}
