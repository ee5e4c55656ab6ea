"""Variants of cdn are told by the names of their weights and compared on development sets."""

import pytest

from cdnbench.reports.frame import read
from cdnbench.reports.tables import build

VARIANTS = {"full": (1, 2), "level-only": (2, 11), "without-evidence": (1, None)}
"""Place of the target in sachs and in pasilla; None: it cannot run there."""


@pytest.fixture
def stores(make_store):
    dev = make_store("synthetic-dev")
    real = make_store("real")
    targets = dev.one_target_each(4, 21)
    settings = {
        suite: fake.task(suite, targets, source=suite, kind="perturbed")
        for suite, fake in (("sachs", real), ("pasilla", real))
    }
    controls = real.task("controls", targets, source="sachs", kind="control")
    synthetic = dev.task("dev", targets, protocol="clean")
    for name, (first, second) in VARIANTS.items():
        weights = {"parameters": {"weights": f"/somewhere/ablations/{name}.safetensors"}}
        dev.job("cdn", synthetic, dev.at_place(targets, first), **weights)
        real.job("cdn", settings["sachs"], real.at_place(targets, first), **weights)
        real.job("cdn", controls, real.at_place(targets, 9), **weights)
        if second is None:
            real.job("cdn", settings["pasilla"], status="skipped", **weights)
        else:
            real.job("cdn", settings["pasilla"], real.at_place(targets, second), **weights)
    real.job("cdn", settings["sachs"], real.at_place(targets, 5))
    return [dev.store, real.store]


def test_variants_by_data_set(stores):
    frame = build(read(stores), "ablations").frame.set_index(["variant", "data_set"])
    assert set(frame.index.levels[0]) == set(VARIANTS)
    assert frame.loc[("full", "sachs"), "recall_at_1"] == 1
    assert frame.loc[("full", "synthetic-dev"), "average_precision_tie"] == pytest.approx(1)
    assert frame.loc[("level-only", "pasilla"), "place"] == pytest.approx(11)
    assert frame.loc[("level-only", "pasilla"), "rank"] == pytest.approx(0.5)
    assert frame.loc[("without-evidence", "pasilla"), "tasks"] == 0


def test_the_table_compares_with_the_full_network_on_the_same_data_sets(stores):
    (block,) = build(read(stores), "ablations").blocks
    titles = [column.title for column in block.columns]
    rows = {row.cells[0].text: [cell.shown for cell in row.cells] for row in block.rows}
    assert next(iter(rows)) == "full", "what the others are compared with stands first"
    at = {title: i for i, title in enumerate(titles)}
    assert rows["full"][at["sachs"]] == "1.000" and rows["full"][at["hill"]] == "–"
    assert rows["full"][at["mean found first"]] == "0.500"
    assert rows["level-only"][at["place in pasilla"]] == "11"
    assert rows["level-only"][at["change"]] == "-0.500"
    # On sachs alone it is as good as the full network, whatever that does elsewhere.
    assert rows["without-evidence"][at["mean found first"]] == "1.000†"
    assert rows["without-evidence"][at["change"]] == "+0.000"


def test_without_variants_the_table_says_what_to_run(make_store):
    fake = make_store("real")
    targets = fake.one_target_each(2, 5)
    fake.job("cdn", fake.task("t", targets, source="hill"), fake.at_place(targets, 1))
    table = build(read([fake.store]), "ablations")
    assert not table.blocks and "bench train ablations cdn" in table.notes[0]
