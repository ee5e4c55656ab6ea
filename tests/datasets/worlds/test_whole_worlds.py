"""Worlds with all of their parts have the properties that were asked for."""

import numpy as np
import pytest
from asked_worlds import rng, world

from cdnbench.datasets.worlds import Rows, simulate
from cdnbench.datasets.worlds.graphs import ancestors
from cdnbench.datasets.worlds.measurement import (
    MARGINALS,
)


def test_hidden_causes_make_unconnected_variables_correlate():
    def strongest(n_hidden):
        found = []
        for i in range(20):
            asked = world(n_hidden=n_hidden, density=0.01, counts=(2000, 10))
            correlation = np.corrcoef(simulate(asked, rng(n_hidden, i)).samples[0].T)
            found.append(np.abs(correlation[np.triu_indices(8, 1)]).max())
        return np.mean(found)

    assert strongest(2) > 3 * strongest(0)


def test_rows_within_a_data_set_depend_on_each_other_where_asked():
    def lag(memory):
        rows = Rows(counts=(1000, 10), memory=memory)
        x = simulate(world(rows=rows), rng("lag")).samples[0]
        z = (x - x.mean(0)) / x.std(0)
        return (z[1:] * z[:-1]).mean(0)

    assert (lag(0.9) > 0.75).all()
    assert (np.abs(lag(0.0)) < 0.15).all()


def test_batches_offset_rows_and_unbalanced_ones_differ_between_data_sets():
    def between(balanced):
        rows = Rows(counts=(1000, 1000), batches=3, batch=1.0, balanced=balanced)
        asked = world(rows=rows, interventions=("none",))
        found = []
        for i in range(10):
            made = simulate(asked, rng("batches", i))
            found.append(np.abs(made.samples[0].mean(0) - made.samples[1].mean(0)).mean())
        return np.mean(found)

    assert between(False) > 3 * between(True)


def test_with_little_noise_and_knees_descendants_move_more_than_the_target():
    def share(**changes):
        larger = []
        for i in range(60):
            asked = world(
                n_variables=20, graph="layered", interventions=("shift",), strength=(2.0, 8.0),
                counts=(500, 200), **changes,
            )  # fmt: skip
            made = simulate(asked, rng("growth", i))
            before, after = made.samples
            moved = np.abs(after.mean(0) - before.mean(0)) / before.std(0)
            target = made.targets[0, :20]
            below = ancestors(made.adjacency)[:20, :20][target].any(0) & ~target
            if below.any():
                larger.append(moved[below].max() > moved[target].max())
        return np.mean(larger)

    physical = {"mechanisms": ("knee", "linear"), "unexplained": (1e-6, 1e-2), "error": (0.1, 1.0)}
    assert share(**physical) > 0.5
    assert share(unexplained=(0.5, 0.9)) < 0.2


def test_three_rows_a_side_are_enough():
    made = simulate(world(counts=(3, 3), marginals=tuple(MARGINALS)), rng("three"))
    assert [x.shape for x in made.samples] == [(3, 8), (3, 8)]
    assert all(np.isfinite(x).all() for x in made.samples)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"graph": "ring"}, "graph"),
        ({"mechanisms": ("polynomial",)}, "mechanism"),
        ({"noise": "exponential"}, "noise"),
        ({"interventions": ("truncate",)}, "intervention"),
        ({"marginals": ("gap",)}, "marginal"),
        ({"cyclic": True, "mechanisms": ("knee",)}, "cyclic"),
        ({"interventions": ("hidden",)}, "hidden"),
        ({"n_targets": (1, 1)}, "one entry per regime"),
    ],
)
def test_worlds_refuse_what_they_do_not_have(wrong, says):
    with pytest.raises(ValueError, match=says):
        world(**wrong)
