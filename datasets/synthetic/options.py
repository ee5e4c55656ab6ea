"""The options of the synthetic suites."""

from __future__ import annotations

from cdnbench.suite import SuiteOption

PROTOCOLS = ("clean", "dcdi")
SIZES = ("all", "10", "20")
DATASETS = 240
"""Of a training set, by default."""

PROTOCOL = SuiteOption(
    name="protocol",
    default="clean",
    choices=(*PROTOCOLS, "both"),
    help="clean: roots U(-2, 2), one noise variance per node and dataset (for rankings). dcdi: a "
    "reconstruction of the stock DCDI laws, with roots U(-1, 1) and a noise variance that is drawn "
    "anew in each regime (to compare with printed numbers).",
)
STANDARDISE = SuiteOption(
    name="standardise",
    default="none",
    choices=("none", "obs", "each"),
    help="obs: by the mean and standard deviation of the observational data. each: every data set "
    "by its own.",
)
TRACK = SuiteOption(
    name="track",
    default="joint",
    choices=("joint", "single"),
    help="joint: one task per dataset, with all of its regimes. single: one task per regime.",
)
VARIABLES = SuiteOption(
    name="variables",
    default="all",
    choices=SIZES,
    help="10 or 20: only the datasets with that many variables.",
)
TRAINING_DATASETS = SuiteOption(
    name="training_datasets",
    default=DATASETS,
    help="how many labelled datasets a method with `fit` is trained on, from the laws of "
    "synthetic-dev.",
)
TRAINING_VARIABLES = SuiteOption(
    name="training_variables",
    default="all",
    choices=SIZES,
    help="10 or 20: all training datasets have that many variables, for a method that is made for "
    "one number.",
)
TRAINING = (TRAINING_DATASETS, TRAINING_VARIABLES)
"""What every suite has whose tasks methods can be trained for."""


def has_size(n_variables: int, size: str) -> bool:
    """Whether a dataset of so many variables is among those of `SIZES`."""
    return size in ("all", str(n_variables))
