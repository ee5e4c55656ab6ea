"""A world as the tests ask for it, and the random streams that they draw from."""

from cdnbench.datasets.worlds import Rows, World
from cdnbench.digest import generator


def world(*, interventions=("shift",), counts=(400, 400), **changes) -> World:
    rows = changes.pop("rows", Rows(counts=tuple(counts)))
    return World(
        kind="general",
        n_variables=changes.pop("n_variables", 8),
        rows=rows,
        interventions=tuple(interventions),
        n_targets=changes.pop("n_targets", (1,) * len(interventions)),
        **changes,
    )


def rng(*name):
    return generator("test worlds", *name)
