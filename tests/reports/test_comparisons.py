"""Paired comparisons: what is resampled together."""

from __future__ import annotations

import numpy as np
import pytest

from cdnbench.errors import UnknownName
from cdnbench.reports.frame import read
from cdnbench.reports.report import report
from cdnbench.reports.standings import standings
from cdnbench.reports.tables import leaderboard
from cdnbench.reports.tables.comparisons import build, differences

N = 6


def screens(make_store, *, genes: bool, beside: bool = False):
    """Two methods on 12 genes in two lines each. On a gene, "better" differs from "target-shift" in
    the same way in both lines."""
    fake = make_store(suite="perturbseq", folder=f"perturbseq-{genes}")
    for gene in range(12):
        for line in ("a", "b"):
            targets = np.zeros((1, N), bool)
            targets[0, gene % N] = True
            facts = {"perturbation": f"g{gene}"} if genes else {}
            task = fake.task(
                f"{line}/{gene}",
                targets,
                setting=("cell_line",),
                cell_line=line,
                masking="none",
                facts=facts,
            )
            good, bad = np.where(targets, 2.0, 0.0), np.where(targets, -1.0, np.arange(N))
            fake.job("better", task, good if gene % 4 else bad)
            fake.job("target-shift", task, bad)
    stores = [fake.store]
    if beside:  # a suite without genes, read together with it
        other = make_store(suite="synthetic")
        for i in range(4):
            targets = other.one_target_each(4, 4)
            other.job(
                "target-shift",
                other.task(f"d{i}", targets, protocol="clean", mechanism="ab"[i % 2]),
                targets * 1.0,
            )
        stores.append(other.store)
    return read(stores)


def test_a_gene_in_two_lines_is_resampled_as_one(make_store):
    by_gene, by_dataset = (
        differences(screens(make_store, genes=genes)).iloc[0] for genes in (True, False)
    )
    assert by_gene["difference"] == by_dataset["difference"]
    assert by_gene["high"] - by_gene["low"] > 1.2 * (by_dataset["high"] - by_dataset["low"])
    assert by_gene["p"] > by_dataset["p"]


def test_another_suite_beside_it_changes_nothing(make_store):
    alone, both = (screens(make_store, genes=True, beside=beside) for beside in (False, True))
    columns = ["low", "high", "p", "by_gene"]
    own = differences(both).query("suite == 'perturbseq'")[columns]
    np.testing.assert_array_equal(own.to_numpy(), differences(alone)[columns].to_numpy())
    rows = [
        standings(r).query("suite == 'perturbseq'").set_index("label")[["low", "high"]]
        for r in (alone, both)
    ]
    np.testing.assert_array_equal(*rows)
    blocks = {block.title: " ".join(block.notes) for block in leaderboard.build(both).blocks}
    (synthetic,) = (notes for title, notes in blocks.items() if title.startswith("synthetic"))
    assert "Leakage" not in synthetic and "Noise ceiling" not in synthetic


def test_the_note_says_what_was_resampled(make_store):
    for genes, words in ((True, "by gene or drug"), (False, "stratified by setting")):
        assert words in build(screens(make_store, genes=genes)).blocks[0].notes[0]


def test_leaderboards_of_cells_say_what_leaks_and_what_the_cells_allow(make_store):
    fake = make_store(suite="perturbseq")
    targets = np.eye(1, N, dtype=bool)
    for gene, (seen, r, found) in enumerate(
        [(True, 0.5, 1.0), (False, 0.9, 0.5), (True, float("nan"), float("nan"))]
    ):
        facts = {
            "perturbation": f"g{gene}",
            "target_in_training": seen,
            "reliability": r,
            "retrieval": found,
        }
        task = fake.task(
            f"a/{gene}", targets, setting=("cell_line",), cell_line="a", masking="none", facts=facts
        )
        fake.job("target-shift", task, targets.astype(float))
    notes = " ".join(
        note for block in leaderboard.build(read([fake.store])).blocks for note in block.notes
    )
    assert "2 of 3 tasks have a target that training has as well" in notes
    assert "profiles correlate 0.700" in notes and "in 0.750 (labelled" in notes


def test_methods_with_other_knowledge_are_other_rows(make_store):
    fake = make_store(suite="perturbseq")
    targets = np.eye(1, N, dtype=bool)
    task = fake.task("a/0", targets, setting=("cell_line",), cell_line="a", masking="none")
    fake.job("gears", task, targets * 1.0, knowledge={"name": "", "annotations": "abc"})
    fake.job(
        "gears",
        task,
        1.0 - targets,
        knowledge={"name": "error 0.9", "annotations": "def"},
        method_version="1b",
    )
    files = "annotations=data/goa_human.gaf.gz,interactions=data/HuRI.tsv"
    fake.job(
        "gears",
        task,
        targets * 2.0,
        knowledge={"name": files, "annotations": "ghi"},
        method_version="1c",
    )
    elsewhere = files.replace("data/", "elsewhere/")
    fake.job(
        "gears",
        task,
        targets * 2.0,
        knowledge={"name": elsewhere, "annotations": "jkl"},
        method_version="1d",
    )
    labels = {
        "gears",
        "gears [goa_human.gaf.gz jkl]",
        "gears [error 0.9]",
        "gears [goa_human.gaf.gz ghi]",
    }
    assert set(standings(read([fake.store]))["label"]) == labels


def test_all_methods_are_compared_at_once(make_store):
    store = make_store()
    targets = store.one_target_each(2, 5)
    for i in range(8):
        task = store.task(f"d{i}", targets, mechanism="ab"[i % 2])
        for place, method in enumerate(("first", "second", "third"), start=1):
            store.job(method, task, store.at_place(targets, place))
        if i:
            store.job("fails-once", task, store.at_place(targets, 5))
    (block,) = build(read([store.store])).blocks
    (said,) = [note for note in block.notes if note.startswith("Friedman")]
    assert "of the 3 methods that finished everything: p <0.001" in said
    assert "closer than 1.17 cannot" in said  # 2.343 sqrt(3 * 4 / (6 * 8))


def test_the_best_finished_everything_that_others_finished(make_store):
    store = make_store()
    targets = store.one_target_each(2, 5)
    for i in range(8):
        task = store.task(f"d{i}", targets, mechanism="ab"[i % 2])
        store.job("whole", task, store.at_place(targets, 2))
        store.job("target-shift", task, store.at_place(targets, 3))
        if i < 2:
            store.job("some", task, store.at_place(targets, 1))
    found = differences(read([store.store]))
    assert set(found["against"]) == {"whole", "target-shift"}


def test_where_nothing_finished_everything_nothing_is_the_best(make_store):
    store = make_store()
    targets = store.one_target_each(2, 5)
    for i in range(8):
        task = store.task(f"d{i}", targets, mechanism="ab"[i % 2])
        for skipped, method in enumerate(("one", "target-shift")):
            if i != skipped:
                store.job(method, task, store.at_place(targets, skipped + 1))
    results = read([store.store])
    assert set(differences(results)["against"]) == {"target-shift"}
    (block,) = build(results).blocks
    assert any("No method finished every dataset" in note for note in block.notes)


def test_any_method_can_be_compared_with(make_store):
    store = make_store()
    targets = store.one_target_each(2, 5)
    for i in range(8):
        task = store.task(f"d{i}", targets, mechanism="ab"[i % 2], protocol="clean")
        for place, method in enumerate(("first", "second", "target-shift"), start=1):
            store.job(method, task, store.at_place(targets, place))
        if i < 2:
            other = store.task(f"e{i}", targets, mechanism="ab"[i % 2], protocol="dcdi")
            for method in ("first", "target-shift"):
                store.job(method, other, store.at_place(targets, 1))
    own = report(store.store, against=["second"]).table("comparisons")
    found = own.frame.set_index("label")
    assert set(found["against"]) == {"second"} and set(found.index) == {"first", "target-shift"}
    assert found.loc["first", "difference"] == 0.5
    assert not any("best" in note for note in own.blocks[0].notes)
    (said,) = own.notes
    assert "no result of second: synthetic, protocol dcdi" in said
    with pytest.raises(UnknownName, match="Did you mean second.* Known: first, second, target"):
        report(store.store, against=["secnd"])


def test_a_note_says_where_more_flips_would_show_smaller_p_values(make_store):
    store = make_store()
    targets = store.one_target_each(2, 5)
    for i in range(16):
        task = store.task(f"d{i:02}", targets, mechanism="ab"[i % 2])
        for place, method in enumerate(("first", "target-shift"), start=1):
            store.job(method, task, store.at_place(targets, place))
    (block,) = build(read([store.store])).blocks
    assert any("1 of 1 comparisons reach this limit" in note for note in block.notes)
