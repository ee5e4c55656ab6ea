"""Paired comparisons: what is resampled together."""

from __future__ import annotations

import numpy as np

from cdnbench.reports.comparisons import comparisons, differences
from cdnbench.reports.frame import read

N = 6


def screens(make_store, *, genes: bool):
    """Two methods on 12 genes in two lines each; on a gene, "better" differs from "target-shift" in the same way in both lines."""
    fake = make_store(suite="perturbseq")
    for gene in range(12):
        for line in ("a", "b"):
            targets = np.zeros((1, N), bool)
            targets[0, gene % N] = True
            facts = {"perturbation": f"g{gene}"} if genes else {}
            task = fake.task(f"{line}/{gene}", targets, setting=("cell_line",), cell_line=line, facts=facts)
            good, bad = np.where(targets, 2.0, 0.0), np.where(targets, -1.0, np.arange(N))
            fake.job("better", task, good if gene % 4 else bad)
            fake.job("target-shift", task, bad)
    return read([fake.store])


def test_a_gene_in_two_lines_is_resampled_as_one(make_store):
    by_gene, by_dataset = (differences(screens(make_store, genes=genes)).iloc[0] for genes in (True, False))
    assert by_gene["difference"] == by_dataset["difference"]
    assert by_gene["high"] - by_gene["low"] > 1.2 * (by_dataset["high"] - by_dataset["low"])
    assert by_gene["p"] > by_dataset["p"]


def test_the_note_says_what_was_resampled(make_store):
    for genes, words in ((True, "by gene"), (False, "stratified by setting")):
        assert words in comparisons(screens(make_store, genes=genes)).blocks[0].notes[0]
