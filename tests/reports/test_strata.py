"""Parts of the tasks are told apart: trivial or not, and new targets or known ones."""

from __future__ import annotations

import numpy as np
import pytest

from cdnbench.reports.frame import read
from cdnbench.reports.tables import build
from cdnbench.reports.tables.strata import by_stratum


@pytest.fixture
def results(make_store):
    """Twelve genes in two lines. `memory` finds targets of training alone, `eye` trivial ones."""
    store = make_store("perturbseq")
    targets = store.one_target_each(1, 5)
    for gene in range(12):
        for line in "ab":
            known, trivial = gene % 3 > 0, gene % 2 == 0
            task = store.task(
                f"{line}/{gene:02}",
                targets,
                setting=("cell_line",),
                cell_line=line,
                perturbation=f"GENE{gene}",
                target_in_training=known,
                trivial=trivial,
                split="unseen-cl",
            )
            store.job("memory", task, store.at_place(targets, 1 if known else 5))
            store.job("eye", task, store.at_place(targets, 1 if trivial else 2))
            if line == "a":
                store.job("half", task, store.at_place(targets, 1))
    return read([store.store])


def test_each_part_has_its_own_mean(results):
    found = by_stratum(results).set_index(["stratum", "label"])["recall_at_1"]
    assert found["all", "memory"] == pytest.approx(8 / 12)
    assert found["target in training", "memory"] == 1 and found["new target", "memory"] == 0
    assert found["trivial", "eye"] == 1 and found["not trivial", "eye"] == 0
    assert found["not trivial, in training", "memory"] == 1
    assert found["not trivial, new", "memory"] == 0


def test_intervals_rest_on_genes_and_not_on_tasks(results):
    row = by_stratum(results).set_index(["stratum", "label"]).loc[("all", "memory")]
    assert row["n"] == 24
    alone = 1.96 * np.sqrt(8 / 12 * 4 / 12 / 12)  # 12 genes, however many lines they are in
    assert (row["high"] - row["low"]) / 2 > 0.9 * alone


def test_the_best_two_of_each_part_are_compared(results):
    table = build(results, "strata")
    (block,) = table.blocks
    assert [group for group, *_ in block.groups][1:4] == [
        "all (24)",
        "trivial (12)",
        "not trivial (12)",
    ]
    notes = {note.split(":")[0]: note for note in block.notes}
    assert "memory 1.000, eye 0.000; difference +1.000" in notes["not trivial, in training"]
    assert "eye 1.000, memory" in notes["trivial"]
    assert [row.cells[0].text for row in block.rows] == ["memory", "eye", "half"]
    best = {row.cells[0].text for row in block.rows if row.cells[1].best}
    assert best == {"memory"}, "half is right everywhere, on half of the tasks"
    assert "† on fewer tasks" in block.notes[-1] and not any("half" in n for n in notes.values())


def test_suites_without_strata_say_so(make_store):
    store = make_store()
    targets = store.one_target_each(2, 4)
    store.job("m", store.task("t", targets), store.at_place(targets, 1))
    table = build(read([store.store]), "strata")
    assert not table.blocks and "declares strata" in table.notes[0]
