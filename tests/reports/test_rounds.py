"""Rounds of subsampling cells have no blocks of their own beside those of all cells."""

from __future__ import annotations

import pytest

from cdnbench.reports.drawing.look import Look
from cdnbench.reports.figures import FIGURES
from cdnbench.reports.frame import read
from cdnbench.reports.tables import build


def filled(make_store, rounds, in_rounds=()):
    """Three methods on six genes in two lines, in each of these rounds, and others in those that
    are not of all cells."""
    store = make_store("perturbseq")
    targets = store.one_target_each(1, 5)
    for subsample in rounds:
        for gene in range(6):
            for line in "ab":
                about = {
                    "setting": ("cell_line",),
                    "cell_line": line,
                    "dataset": f"{line}/{gene}",
                    "subsample": subsample,
                    "facts": {
                        "perturbation": f"g{gene}",
                        "trivial": gene % 2 == 0,
                        "target_in_training": False,
                    },
                }
                task = store.task(f"{line}/{gene}/{subsample}", targets, **about)
                methods = (
                    "first",
                    "second",
                    "target-shift",
                    *(in_rounds if subsample >= 0 else ()),
                )
                for place, method in enumerate(methods, start=1):
                    store.job(method, task, store.at_place(targets, place))
    return read([store.store])


@pytest.mark.parametrize("name", ["leaderboard", "comparisons", "strata"])
def test_tables_show_all_cells_alone_and_say_so(make_store, name):
    table = build(filled(make_store, (-1, 0, 1)), name)
    (block,) = table.blocks
    assert "subsample" not in block.title
    assert any("Rounds of subsampling cells (0, 1) are left out" in note for note in table.notes)


def test_a_method_that_has_rounds_alone_is_named(make_store):
    table = build(filled(make_store, (-1, 0, 1), ("third", "fourth")), "leaderboard")
    assert "third" not in set(table.frame["label"])
    (note,) = [note for note in table.notes if "are left out" in note]
    assert note.endswith("Only there, and so in no row here: fourth, third.")


def test_a_method_with_a_row_elsewhere_is_not_named(make_store):
    (note,) = [
        note
        for note in build(filled(make_store, (-1, 0, 1)), "leaderboard").notes
        if "are left out" in note
    ]
    assert "Only there" not in note


def test_the_figure_of_ranks_shows_all_cells_alone(make_store):
    assert len(list(FIGURES.load("ranks").draw(filled(make_store, (-1, 0)), Look()))) == 1


def test_rounds_that_stand_alone_are_shown(make_store):
    table = build(filled(make_store, (0, 1)), "leaderboard")
    assert len(table.blocks) == 2
    assert not any("left out" in note for note in table.notes)
