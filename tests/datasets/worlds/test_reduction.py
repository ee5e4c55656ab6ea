"""Laws without one part: the part is gone from every world, and nothing else is."""

from dataclasses import asdict

import numpy as np
import pytest

from cdnbench.datasets.worlds import WIDE, Laws, batch
from cdnbench.datasets.worlds.kinds import draw_world
from cdnbench.datasets.worlds.reduction import PARTS, without

N_WORLDS = 120


def worlds(laws):
    return [draw_world(laws, np.random.default_rng(seed), 12, 6) for seed in range(N_WORLDS)]


GONE = {
    "physical": lambda w: w.kind != "physical",
    "cells": lambda w: w.kind != "cells",
    "bulk": lambda w: w.kind != "bulk",
    "arrays": lambda w: w.kind != "arrays",
    "marginals": lambda w: w.marginals == ("plain",) and w.counts is None and w.quantised == 0,
    "dependence": lambda w: (
        (w.rows.memory, w.rows.drift, w.rows.lag, w.rows.batches) == (0, 0, 0, 1)
    ),
    "few-rows": lambda w: min(w.rows.counts) >= 30,
    "silence": lambda w: not {"none", "hidden"} & set(w.interventions),
    "hidden-causes": lambda w: w.n_hidden == 0 and "hidden" not in w.interventions,
    "partial-effects": lambda w: w.unaffected == (0, 0) and w.context == 0 and not w.rows.onset,
}


def test_every_part_is_tried():
    assert GONE.keys() == PARTS.keys()


@pytest.mark.parametrize("part", PARTS)
def test_the_part_is_gone_and_was_there(part):
    assert all(map(GONE[part], worlds(without(WIDE, part))))
    assert not all(map(GONE[part], worlds(WIDE)))


@pytest.mark.parametrize("part", ["marginals", "dependence", "few-rows", "partial-effects"])
def test_worlds_keep_all_else(part):
    changed = {
        "marginals": {"marginals", "counts", "quantised"},
        "dependence": {"rows"},
        "few-rows": {"rows"},
        "partial-effects": {"rows", "unaffected", "context"},
    }[part]
    for whole, less in zip(worlds(WIDE), worlds(without(WIDE, part)), strict=True):
        one, other = asdict(whole), asdict(less)
        assert {name for name in one if one[name] != other[name]} <= changed


def test_laws_that_take_nothing_away_are_named_as_before():
    """Their streams, and the runs that they identify, stay those of versions without the fields."""
    assert not {"marginals", "dependence", "partial", "fewest_rows"} & WIDE.plain().keys()
    assert without(WIDE, "few-rows").plain()["fewest_rows"] == 30


def test_families_tell_what_is_gone():
    assert without(WIDE, "marginals").plain()["families"]["marginal"] == ["plain"]
    assert not {"none", "hidden"} & set(
        without(WIDE, "silence").plain()["families"]["intervention"]
    )
    confounded = without(WIDE, "hidden-causes").plain()["families"]["intervention"]
    assert "none" in confounded and "hidden" not in confounded


def test_batches_of_reduced_laws_can_be_made():
    laws = without(Laws(sizes=((6, 8),), regimes=(2, 3), rows_at_once=300), "few-rows")
    for example in batch(laws, 0, 0, cells=300):
        assert min(len(x) for x in (example.task.observational, *example.task.regimes)) >= 30


def test_unknown_and_last_parts_are_refused():
    with pytest.raises(ValueError, match="no part 'seeds'"):
        without(WIDE, "seeds")
    with pytest.raises(ValueError, match="nothing without it"):
        without(Laws(kinds=(("cells", 1.0),)), "cells")
