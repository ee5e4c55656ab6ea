"""Which values the parameters of DCI take, in `dci` and in `reference`."""

from cdnbench.ranges import ABOVE_0_TO_1, BETWEEN_0_AND_1, FROM_0_TO_1, at_least, each

TAKES = {
    "alpha_ug": each(BETWEEN_0_AND_1),
    "alpha_skeleton": each(BETWEEN_0_AND_1),
    "alpha_orient": each(BETWEEN_0_AND_1),
    "max_set_size": at_least(0),
    "bootstraps": at_least(1),
    "sample_fraction": ABOVE_0_TO_1,
    "edge_threshold": at_least(0),
    "stability_threshold": FROM_0_TO_1,
    "max_rows": at_least(3),
}
