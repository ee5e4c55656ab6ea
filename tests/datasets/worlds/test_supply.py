"""Batches of worlds can be made again, keep to their laws and hold nothing that is held out."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cdnbench.datasets.synthetic import training
from cdnbench.datasets.worlds import HELD_OUT, WIDE, Example, Laws, batch
from cdnbench.datasets.worlds.interventions import HIDDEN, INTERVENTIONS, NONE
from cdnbench.datasets.worlds.kinds import draw_world
from cdnbench.datasets.worlds.laws import KINDS
from cdnbench.datasets.worlds.measurement import MARGINALS
from cdnbench.datasets.worlds.mechanisms import MECHANISMS
from cdnbench.datasets.worlds.mixture import Part, mixed_batch
from cdnbench.datasets.worlds.noise import NOISE
from cdnbench.digest import canonical_json, generator


def worlds(laws=WIDE, count=400, n=20, regimes=6) -> list:
    rng = generator("test supply", laws.plain())
    return [draw_world(laws, rng, n, regimes) for _ in range(count)]


def test_a_batch_is_a_function_of_laws_seed_and_step():
    def content(laws=WIDE, seed=0, step=3):
        np.random.seed(step)  # noqa: NPY002  (global state is not read)
        return [
            (e.task.content_hash, e.world, e.targets.tolist())
            for e in batch(laws, seed, step, cells=2000)
        ]

    assert content() == content()
    others = [content(seed=1), content(step=4), content(laws=replace(WIDE, none=0.1))]
    hashes = [{task for task, *_ in made} for made in (content(), *others)]
    assert all(not a & b for i, a in enumerate(hashes) for b in hashes[:i])


def test_batches_have_one_shape_and_keep_to_their_budget():
    for step in range(12):
        made = batch(WIDE, 5, step, cells=3000)
        (shape,) = {e.targets.shape for e in made}
        assert len(made) * shape[0] * shape[1] ** 2 <= max(3000, shape[1] ** 2)
        for e in made:
            assert e.adjacency.shape == (shape[1], shape[1])
            assert sum(e.world.rows.counts) * max(shape[1], 20) <= 1.3 * 20 * WIDE.rows_at_once
            assert e.graph_known == (e.world.n_hidden == 0)
            assert [len(x) for x in (e.task.observational, *e.task.regimes)] == list(
                e.world.rows.counts
            )
            quiet = np.isin(e.world.interventions, (NONE, HIDDEN))
            assert np.array_equal(quiet, ~e.targets.any(1))


def test_all_families_are_drawn_and_nothing_that_is_held_out():
    made = worlds()
    drawn = {
        "noise": {w.noise for w in made},
        "mechanism": {m for w in made for m in w.mechanisms},
        "marginal": {m for w in made for m in w.marginals},
        "intervention": {f for w in made for f in w.interventions},
    }
    assert drawn["noise"] == set(NOISE)
    assert drawn["mechanism"] == set(MECHANISMS)
    assert drawn["marginal"] == set(MARGINALS)
    assert drawn["intervention"] == {*INTERVENTIONS, NONE, HIDDEN}
    assert not any(drawn[factor] & set(names) for factor, names in HELD_OUT.items())


def test_shares_of_kinds_and_of_silence_are_those_of_the_laws():
    made = worlds(count=1500)
    kinds = Counter(w.kind for w in made)
    for kind, share in WIDE.kinds:
        assert kinds[kind] / len(made) == pytest.approx(share, abs=0.04)
    silent = np.mean([set(w.interventions) == {NONE} for w in made])
    assert silent == pytest.approx(WIDE.silent, abs=0.02)
    for name, share in ((NONE, WIDE.none), (HIDDEN, WIDE.hidden)):
        with_room = [w for w in made if (w.n_hidden or name == NONE)]
        moved = [w for w in with_room if set(w.interventions) != {NONE}]
        found = np.mean([f == name for w in moved for f in w.interventions])
        assert found == pytest.approx(share, abs=0.02)


def test_rows_reach_from_3_to_4000_with_unequal_sides():
    made = worlds(Laws(rows_at_once=40_000))
    counts = np.concatenate([w.rows.counts for w in made])
    assert counts.min() == 3 and 3000 < counts.max() <= 4000
    assert any(len(set(w.rows.counts[1:])) > 1 for w in made)
    assert any(w.rows.memory > 0 for w in made) and any(w.rows.drift > 0 for w in made)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_makes_finite_samples(kind):
    laws = Laws(kinds=((kind, 1.0),), sizes=((8, 24),))
    for step in range(6):
        for e in batch(laws, 0, step, cells=1500):
            assert e.world.kind == kind
            for x in (e.task.observational, *e.task.regimes):
                assert np.isfinite(x).all()
                assert np.abs(x).max() < 1e30


def test_laws_describe_themselves_for_a_card():
    plain = WIDE.plain()
    assert canonical_json(plain) == canonical_json(Laws().plain())
    assert plain["held_out"]["intervention"] == ["truncate", "decouple"]
    assert set(plain["families"]["noise"]) == set(NOISE)
    with pytest.raises(ValueError, match="no worlds of kind"):
        Laws(kinds=(("dreams", 1.0),))


def test_mixtures_hold_both_kinds_in_their_shares():
    models = training.Laws(sizes=((6, 8),), rows=((30, 60),), regimes=(2, 4))
    worlds = Laws(sizes=((6, 8),), regimes=(2, 4), rows_at_once=500)

    def made(step, share=0.7):
        parts = (
            Part(share=share, laws=worlds, cells=200),
            Part(share=1 - share, laws=models, cells=200, most=2),
        )
        assert [part.plain()["source"] for part in parts] == ["worlds", "suites"]
        return mixed_batch(parts, 3, step)[1]

    kinds = [type(made(step)[0]) for step in range(60)]
    assert 0.5 < np.mean([kind is Example for kind in kinds]) < 0.9
    for step in (0, 1, 2):
        content = [e.task.content_hash for e in made(step)]
        assert content == [e.task.content_hash for e in made(step)]
        assert all(e.targets.shape[0] == e.task.n_regimes for e in made(step))
    assert {type(made(step, share=0.0)[0]) for step in range(5)} == {training.Example}
