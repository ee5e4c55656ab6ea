"""Agreement with Table 11 is Welch's interval around the printed value, setting by setting."""

from __future__ import annotations

import numpy as np
import pytest

from cdnbench.reports.frame import read
from cdnbench.reports.tables.agreement import T_97_5, build, differences


def filled(make_store, protocol="dcdi", n_datasets=5):
    """UT-IGSP's sets on (10, 10, linear, hard): empty, so the AUC is .5 in every regime of every
    dataset."""
    store = make_store()
    targets = store.one_target_each(4, 10)
    setting = {
        "n_nodes": 10,
        "n_edges": 10,
        "mechanism": "linear",
        "intervention": "hard-uniform",
        "protocol": protocol,
    }
    for i in range(n_datasets):
        task = store.task(f"d{i}", targets, **setting)
        scores = {"soft": store.at_place(targets, 1), "set": np.zeros(targets.shape)}
        store.job("ut-igsp", task, scores, variants=("soft", "set"))
    return read([store.store])


def test_the_difference_and_its_limit(make_store):
    auc = differences(filled(make_store)).query("metric == 'auc'").iloc[0]
    assert (auc["label"], auc["published_method"]) == ("ut-igsp-set", "ut-igsp")
    assert auc["difference"] == pytest.approx(0.5 - 0.57)
    assert auc["limit"] == pytest.approx(
        T_97_5 * 0.03 / np.sqrt(5)
    )  # ours has no spread, the printed one .03
    assert not auc["agrees"]


def test_the_table_counts_who_agrees(make_store):
    (block,) = build(filled(make_store)).blocks
    assert "ut-igsp-set against the printed ut-igsp" in block.title
    assert block.notes == ("hard: 0 of 2 agree; mean signed difference -0.130.",)


@pytest.mark.parametrize("changes", [{"protocol": "clean"}, {"n_datasets": 4}])
def test_nothing_is_compared_under_another_law_or_with_fewer_datasets(make_store, changes):
    table = build(filled(make_store, **changes))
    assert not table.blocks and "Nothing to compare" in table.notes[0]
