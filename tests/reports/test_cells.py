"""Tables 2, 7, 10, 1, 5, 6 and 9: ours by line beside the printed values."""

from __future__ import annotations

import numpy as np
import pytest

from cdnbench.design import OWN, PAPER
from cdnbench.errors import UnknownName
from cdnbench.reports import published
from cdnbench.reports.frame import read
from cdnbench.reports.select import of_methods
from cdnbench.reports.tables import table1, table2, table5, table6, table7, table9, table10

N = 101  # rank of place p is 1 - (p - 1) / 100
FACTORS = {"split": "", "masking": "none", "subsample": "-1"}


@pytest.fixture
def cells(make_store):
    """Fill a store: `cells(cell_line, method, places, ...)` runs a method on one task per place, of
    which the first is trivial."""
    store = make_store("perturbseq")

    def add(
        cell_line, method, places, *,
        split="seen", subsample=-1, masking="none", fit="", design="", known=N, weights="",
        epochs=None, knowledge=None, **facts,
    ):  # fmt: skip
        targets = store.one_target_each(1, N)
        for i, place in enumerate(places):
            about = {
                "dataset": f"{cell_line}/{i}",
                "cell_line": cell_line,
                "split": split,
                "subsample": subsample,
                "masking": masking,
                "trivial": i == 0,
                "simulated": cell_line.startswith("sim"),
            }
            name = f"{cell_line}/{i}/{subsample}/{split}/{masking}"
            task = store.task(
                name, targets, setting=("cell_line",), factors=FACTORS, facts=facts, **about
            )
            failed = place is None
            scores = None if failed else store.at_place(targets, place)
            if scores is not None and known < N:
                scores[scores <= N - known] = np.nan  # the last ones are not known
            status = "timeout" if failed else "ok"
            own = {"weights": weights, "epochs": epochs}
            own = {"parameters": {name: value for name, value in own.items() if value}}
            own |= {"knowledge": knowledge} if knowledge else {}
            store.job(method, task, scores, status=status, fit=fit, design=design, **own)
        return store

    return add


def value(frame, **where):
    for column, wanted in where.items():
        frame = frame[frame[column] == wanted]
    assert len(frame) == 1, frame
    return float(frame["value"].iloc[0])


def test_panels_lines_and_differences(cells):
    cells("k562_gw", "linear", [11, 21, 41], fit="f")
    store = cells("rpe1", "linear", [1, 1, 31], fit="f")
    frame = table2.build(read([store.store])).frame
    ours = frame[(frame["name"] == "linear") & (frame["metric"] == "rank")]
    at = {"source": "ours", "panel": "nontrivial"}
    assert value(ours, cell_line="k562_gw", **at) == pytest.approx(0.7)  # places 21 and 41
    assert value(ours, cell_line="rpe1", **at) == pytest.approx(0.85)
    assert value(ours, cell_line="mean", **at) == pytest.approx(0.775)
    assert value(ours, cell_line="k562_gw", source="ours", panel="trivial") == pytest.approx(0.9)
    printed = published.load("table2_perturbseq")
    told = {
        line: printed.query(
            "method == 'linear' and subset == 'nontrivial' and metric == 'rank' "
            "and cell_line == @line"
        )["value"].iloc[0]
        for line in ("k562_gw", "rpe1")
    }
    gap = {"source": "difference", "panel": "nontrivial"}
    assert value(ours, cell_line="rpe1", **gap) == pytest.approx(0.85 - told["rpe1"])
    assert value(ours, cell_line="mean", **gap) == pytest.approx(
        0.775 - np.mean(list(told.values()))
    )


@pytest.mark.parametrize("table", [table2, table7])
def test_r_is_of_the_first_candidate_that_has_a_profile(cells, table):
    notes = " ".join(table.build(read([cells("sim-a", "linear", [1, 2], fit="f").store])).notes)
    assert "that of the first candidate that has a profile" in notes


def test_a_line_may_have_trivial_tasks_alone(cells):
    cells("k562_gw", "linear", [11, 21, 41], fit="f")
    store = cells("rpe1", "linear", [1], fit="f")
    easy, hard = table2.build(read([store.store])).blocks
    assert "Tasks: k562_gw 1, rpe1 1." in easy.notes
    assert "Tasks: k562_gw 2, rpe1 0." in hard.notes


def test_table_7_has_the_variants_on_perturbations_that_are_not_trivial(cells):
    of = "results/train/ablations/table7/{}.safetensors"
    cells("sim-a", "cdn-axial-cells", [1, 11, 31], fit="f", weights=of.format("cdn"))
    cells("sim-b", "cdn-axial-cells", [1, 41, 41], fit="f", weights=of.format("cdn"))
    cells("sim-a", "cdn-axial-cells", [1, 61, 61], fit="g", weights=of.format("no_global"))
    cells("sim-a", "cdn-axial-cells", [1, 1, 1], fit="h", weights="elsewhere/no_global.safetensors")
    cells("sim-a", "cdn-axial-cells", [9, 9, 9], fit="i", split="unseen-cl", weights=of.format("x"))
    store = cells("sim-a", "cdn-axial-cells", [1, 1, 1], fit="j")
    table = table7.build(read([store.store]))
    rank = table.frame[table.frame["metric"] == "rank"].rename(columns={"mean": "value"})
    ours = rank[rank["source"] == "ours"]
    assert value(ours, label="cdn", cell_line="sim-a") == pytest.approx(0.8)
    assert value(ours, label="cdn", cell_line="sim-b") == pytest.approx(0.6)
    assert value(ours, label="cdn", cell_line="mean") == pytest.approx(0.7)
    assert value(ours, label="no_global", cell_line="mean") == pytest.approx(0.4)
    assert set(ours["label"]) == {"cdn", "no_global"}
    printed = published.load("table7_ablations").query("variant == 'cdn' and metric == 'rank'")
    gap = rank[rank["source"] == "difference"]
    assert value(gap, label="cdn") == pytest.approx(0.7 - printed["value"].mean())
    (block,) = table.blocks
    assert block.title.endswith("[SIMULATED DATA]")
    assert any("not the paper's lines" in note for note in block.notes)
    names = [tuple(cell.text for cell in row.cells[:2]) for row in block.rows]
    assert names[:4] == [
        ("cdn", "ours"), ("cdn", "printed"), ("cdn", "difference"), ("no_pretrain", "printed"),
    ]  # fmt: skip


def test_table_7_compares_with_the_printed_values_of_the_same_lines(cells):
    weights = "table7/cdn.safetensors"
    cells("k562_gw", "cdn-axial-cells", [1, 11, 31], fit="f", weights=weights)
    store = cells("rpe1", "cdn-axial-cells", [1, 11, None], fit="f", weights=weights)
    table = table7.build(read([store.store]))
    rank = table.frame[table.frame["metric"] == "rank"].rename(columns={"mean": "value"})
    gap = rank[(rank["source"] == "difference") & (rank["label"] == "cdn")]
    assert value(gap, cell_line="mean") == pytest.approx((0.8 + 0.9) / 2 - (0.72 + 0.59) / 2)
    (block,) = table.blocks
    marks = dict(zip([c.group for c in block.columns], block.rows[0].cells, strict=True))
    assert marks["rpe1"].mark == "†" and not marks["k562_gw"].mark
    assert any("fewer tasks" in note for note in block.notes)


def test_table_7_tells_apart_two_ways_of_fine_tuning_one_variant(cells):
    weights = "table7/cdn.safetensors"
    cells("sim-a", "cdn-axial-cells", [1, 11, 31], fit="f", weights=weights)
    store = cells("sim-a", "cdn-axial-cells", [1, 61, 61], fit="g", weights=weights, epochs=1)
    frame = table7.build(read([store.store])).frame
    ours = frame[(frame["source"] == "ours") & (frame["metric"] == "rank")]
    ours = ours[ours["cell_line"] == "mean"].set_index("label")["mean"]
    assert ours.to_dict() == {"cdn": pytest.approx(0.8), "cdn [epochs=1]": pytest.approx(0.4)}


def test_gears_has_a_row_without_the_genes_that_it_does_not_cover(cells):
    """Beside the printed row, whose genes are these: an unknown target is no task of it."""
    for line in ("k562_gw", "rpe1"):
        for split, places in (("seen", [11, 11, 90]), ("unseen-cl", [1, 31, 31])):
            store = cells(line, "gears", places, split=split, fit="f", known=51)
    table = table2.build(read([store.store]))
    frame = table.frame[(table.frame["panel"] == "nontrivial") & (table.frame["metric"] == "rank")]
    line = {"cell_line": "k562_gw", "source": "ours"}
    # Of 51 genes place 11 leaves 10 of 50 before it; the target at place 90 is unknown.
    assert value(frame, name="gears-covered", **line) == pytest.approx(1 - 10 / 50)
    assert value(frame, name="gears", **line) < 0.6
    assert value(frame, name="gears-covered-cl", **line) == pytest.approx(1 - 30 / 50)
    names = [(row.cells[0].text, row.cells[1].text) for row in table.blocks[0].rows]
    at = names.index(("gears-covered", "ours"))
    assert names[at + 1 : at + 4] == [
        ("gears", "printed"), ("gears-covered", "difference"), ("gears", "ours"),
    ]  # fmt: skip
    assert any("gears-covered" in note for note in table.notes)


def test_simulated_lines_stand_beside_the_mean_alone_and_say_so(cells):
    store = cells("sim-a", "linear", [1, 51], fit="f")
    table = table2.build(read([store.store]))
    first = table.blocks[0]
    assert first.title.endswith("[SIMULATED DATA]: trivial perturbations")
    assert [group for group, *_ in first.groups] == ["", "sim-a", "mean"]
    assert any("not the paper's lines" in note for note in first.notes)
    assert not any("How hard" in note for note in first.notes)
    cells("sim-a", "target-shift", [6, 51])
    (note,) = [n for n in table2.build(read([store.store])).blocks[0].notes if "How hard" in n]
    assert "a mean rank of 0.95 here" in note and "cdn, reaches 0.71" in note
    # The printed table still stands as a whole below.
    assert [b.title for b in table.blocks[2:]] == [
        "printed values only: trivial perturbations",
        "printed values only: nontrivial perturbations",
    ]
    assert [g for g, *_ in table.blocks[2].groups][1:] == [*published_lines(), "mean"]
    gaps = table.frame[table.frame["source"] == "difference"]
    assert set(gaps["cell_line"]) == {"mean"}


def published_lines():
    return list(dict.fromkeys(published.load("table2_perturbseq")["cell_line"]))


def test_cl_rows_come_from_the_other_split_and_the_untrained_have_one_row(cells):
    for split, place in (("seen", 1), ("unseen-cl", 11)):
        cells("k562_gw", "cdn-cells", [place, place], split=split, fit="f")
        store = cells("k562_gw", "lfc-rank", [place, place], split=split)
    table = table2.build(read([store.store]))
    frame = table.frame[(table.frame["panel"] == "trivial") & (table.frame["metric"] == "rank")]
    line = {"cell_line": "k562_gw", "source": "ours"}
    assert value(frame, name="cdn-cells", **line) == 1.0
    assert value(frame, name="cdn-cells-cl", **line) == pytest.approx(0.9)
    assert value(frame, name="lfc-rank", **line) == 1.0
    assert "lfc-rank-cl" not in set(frame["name"])
    names = [(row.cells[0].text, row.cells[1].text) for row in table.blocks[0].rows]
    cdn = names.index(("cdn-cells", "ours"))
    assert names[cdn + 1 : cdn + 6] == [
        ("cdn", "printed"),
        ("cdn-cells", "difference"),
        ("cdn-cells-cl", "ours"),
        ("cdn-cl", "printed"),
        ("cdn-cells-cl", "difference"),
    ]


def test_the_printed_cdn_stands_beside_the_papers_own_network_where_it_has_values(cells):
    """One after the other, and the table says whose network it is."""
    for split in ("seen", "unseen-cl"):
        store = cells("k562_gw", "cdn-cells", [1, 11], split=split, fit="f", design=OWN)
    paper = {"fit": "f", "design": PAPER}

    def shown():
        block = table2.build(read([store.store])).blocks[0]
        rows = [(row.cells[0].text, row.cells[1].text) for row in block.rows]
        at = {method: rows.index((method, "printed")) for method in ("cdn", "cdn-cl")}
        beside = [rows[place - 1] for place in at.values()]
        gaps = [rows[place + 1] for place in at.values()]
        assert {source for _, source in beside} == {"ours"}
        assert gaps == [(name, "difference") for name, _ in beside]
        named = [note for note in block.notes if "Beside the printed" in note]
        assert len(rows) == len(set(rows)) and (f"cdn-cells ({OWN})", "ours") in rows
        return [name for name, _ in beside], named

    beside, notes = shown()
    assert beside == [f"cdn-cells ({OWN})", f"cdn-cells ({OWN})-cl"]
    assert notes[0].endswith("there are no values of cdn-axial-cells or cdn-mlp-cells.")
    assert notes[1].endswith("there are no values of cdn-axial-cells-cl or cdn-mlp-cells-cl.")
    cells("k562_gw", "cdn-mlp-cells", [1, 11], **paper)
    beside, notes = shown()
    assert beside == [f"cdn-mlp-cells ({PAPER})", f"cdn-cells ({OWN})-cl"]
    assert notes[0].endswith(f"cdn stands cdn-mlp-cells ({PAPER}), the paper's own network.")
    assert "which is this package's own network" in notes[1]
    cells("k562_gw", "cdn-axial-cells", [None, None], **paper)
    assert shown()[0][0] == f"cdn-mlp-cells ({PAPER})"  # no values, no place
    cells("rpe1", "cdn-axial-cells", [1, 11], **paper)
    assert shown()[0][0] == f"cdn-axial-cells ({PAPER})"
    cells("rpe1", "cdn-mlp-cells", [1, 11], **paper)
    assert shown()[0][0] == f"cdn-mlp-cells ({PAPER})"  # which has values on both lines
    for line in ("rpe1", "hepg2"):
        cells(line, "cdn-cells", [1, 11], fit="f", design=OWN)
    beside, notes = shown()
    assert beside[0] == f"cdn-cells ({OWN})" and "on as many lines there are no" in notes[0]


def test_masked_and_subsampled_tasks_do_not_count(cells):
    cells("k562_gw", "random", [1, 1])
    cells("k562_gw", "random", [100, 100], masking="marginal")
    store = cells("k562_gw", "random", [100, 100], subsample=0)
    frame = table2.build(read([store.store])).frame
    where = {"name": "random", "source": "ours", "metric": "rank", "cell_line": "k562_gw"}
    assert value(frame, panel="trivial", **where) == 1.0


def test_a_mean_over_fewer_tasks_is_marked(cells):
    store = cells("k562_gw", "random", [1, 11, None])
    block = table2.build(read([store.store])).blocks[1]
    row = next(r for r in block.rows if r.cells[0].text == "random" and r.cells[1].text == "ours")
    assert row.cells[2].shown == "0.90†"
    assert any(note.startswith("†") for note in block.notes)


def test_a_mean_over_fewer_lines_is_marked(cells):
    cells("k562_gw", "random", [1, 11])
    cells("k562_gw", "linear", [1, 11], fit="f")
    store = cells("rpe1", "linear", [1, 21], fit="f")
    block = table2.build(read([store.store])).blocks[1]
    ours = {r.cells[0].text: r.cells for r in block.rows if r.cells[1].text == "ours"}
    assert ours["random"][2].shown == "0.90" and ours["random"][8].shown == "0.90†"
    assert ours["linear"][8].shown == "0.85"
    assert any(note.startswith("†") for note in block.notes)


def test_the_default_knowledge_stands_beside_the_printed_row(cells):
    cells("k562_gw", "gears", [1, 11], fit="f")
    other = {"name": "error 0.9", "annotations": "def"}
    store = cells("k562_gw", "gears", [1, 11], fit="g", knowledge=other)
    rows = table2.build(read([store.store])).blocks[0].rows
    names = [(row.cells[0].text, row.cells[1].text) for row in rows]
    assert ("gears [error 0.9]-covered", "ours") in names
    assert names[names.index(("gears", "printed")) - 1] == ("gears-covered", "ours")


def test_table_10_is_the_deviation_over_rounds(cells):
    for r, place in enumerate((1, 11, 21)):
        store = cells("k562_gw", "linear", [place, place], subsample=r, fit="f")
        cells("k562_gw", "cdn-mlp-cells", [place, place], subsample=r, fit="f", design=PAPER)
    cells("k562_gw", "linear", [100, 100], fit="f")  # all cells: no round
    table = table10.build(read([store.store]))
    row = next(r for r in table.blocks[0].rows if r.cells[0].text == "linear")
    assert row.cells[2].text == "0.90 ± 0.10"
    rounds, beside = table.blocks[0].notes
    assert rounds == "Rounds: 3."
    assert f"cdn stands cdn-mlp-cells ({PAPER}), the paper's own network" in beside
    names = [(r.cells[0].text, r.cells[1].text) for r in table.blocks[0].rows]
    assert names[names.index(("cdn", "printed")) - 1] == (f"cdn-mlp-cells ({PAPER})", "ours")
    printed = [r for r in table.blocks[0].rows if r.cells[1].text == "printed"]
    assert printed[0].cells[2].text == "0.50 ± 0.00"


def test_without_results_the_command_is_told(make_store):
    store = make_store("sachs")
    targets = store.one_target_each(2, 4)
    store.job("m", store.task("t", targets), store.at_place(targets, 1))
    results = read([store.store])
    for module in (table2, table10):
        table = module.build(results)
        assert any("bench reproduce" in note for note in table.notes)
        assert all(block.title.startswith("printed values only") for block in table.blocks)
    for module in (table1, table5, table6):
        assert module.build(results).blocks[0].title == "printed values only"


LINE = {
    "source": "a.h5ad",
    "simulated": False,
    "raw_cells": 1000,
    "raw_perturbations": 50,
    "raw_genes": 200,
    "genes": 150,
    "controls": 300,
    "cells": 492_000,
    "perturbations": 1_770,
    "training": 1_100,
    "test": 670,
    "trivial": 600,
    "unique_differential": 140,
    "median_differential": 80.0,
}


def test_lines_stand_beside_the_printed_ones(cells):
    store = cells("k562_gw", "random", [1], line=LINE)
    results = read([store.store])
    six = table6.build(results).frame.query("cell_line == 'k562_gw'").set_index("table_source")
    assert six["n_nontrivial"].to_dict() == {"printed": 91, "ours": 70, "difference": -21}
    assert six.loc["ours", "n_cells"] == 492_300
    one = table1.build(results)
    assert one.frame.query("cell_line == 'k562_gw'")["n_perturbations"].tolist() == [1767, 1770, 3]
    texts = [[cell.text for cell in row.cells] for row in one.blocks[0].rows]
    assert ["genetic", "k562_gw", "difference", "+3", "+204"] in texts
    five = table5.build(results).frame.query("cell_line == 'k562_gw' and table_source == 'ours'")
    assert five["source"].tolist() == ["a.h5ad"] and five["n_cells"].tolist() == [1000]


def test_chemical_lines_are_tests_alone(make_store):
    store = make_store("sciplex")
    targets = store.one_target_each(1, N)
    task = store.task("a172/0", targets, facts={"line": LINE}, cell_line="a172", trivial=True)
    store.job("random", task, store.at_place(targets, 1))
    row = table6.build(read([store.store])).frame.query("cell_line == 'a172'")
    row = row.set_index("table_source").loc["ours"]
    assert row["n_test"] == LINE["perturbations"]
    assert np.isnan(row["n_train"]) and np.isnan(row["n_trivial"])


def test_tasks_without_facts_of_their_line_are_counted(cells):
    cells("sim-a", "random", [1, 2, 3], n_differential=30)
    store = cells("sim-a", "random", [1, 2, 3], split="unseen-cl", n_differential=30)
    table = table6.build(read([store.store]))
    row = table.frame.query("cell_line == 'sim-a'").iloc[0]
    assert (row["n_test"], row["n_trivial"], row["n_nontrivial"]) == (3, 1, 2)
    assert row["median_de_genes"] == 30 and np.isnan(row["n_train"])
    assert "SIMULATED" in table.blocks[0].title


def test_times_of_machines_and_kinds_stand_apart(make_store):
    from cdnbench.record import Provenance

    store = make_store("synthetic")
    targets = store.one_target_each(2, 10)
    for i in range(3):
        task = store.task(f"t{i}", targets, protocol="dcdi")
        scores = store.at_place(targets, 1)
        store.job("m", task, scores, wall_s=float(i), wall_s_single=2.0 + i)
        store.job("n", task, scores, wall_s=7.0, provenance=Provenance(host="another"))
    table = table9.build(read([store.store]))
    frame = table.frame.set_index("label")
    assert frame.loc["m", ["seconds", "longest_s", "tasks"]].tolist() == [3.0, 4.0, 3]
    assert frame.loc["n", "timed"] == "timed beside other jobs"
    assert [len(block.rows) for block in table.blocks] == [1, 1]
    assert [c.title for c in table.blocks[0].columns] == ["method", "N = 10"]


def test_only_what_was_chosen_and_what_is_printed_of_it_is_shown(cells):
    for split in ("seen", "unseen-cl"):
        for method, place in (("linear", 11), ("mlp", 21), ("cdn-cells", 3), ("cdn-mlp-cells", 5)):
            store = cells("k562_gw", method, [1, place], split=split, fit=f"{method}-{split}")
    results = read([store.store])

    def shown(*names):
        table = table2.build(of_methods(results, names))
        rows = {tuple(cell.text for cell in row.cells[:2]) for row in table.blocks[1].rows}
        return {row for row in rows if row[1] != "difference"}, " ".join(table.blocks[1].notes)

    assert shown("linear")[0] == {
        ("linear", "ours"),
        ("linear", "printed"),
        ("linear-cl", "ours"),  # the paper does not print this one
    }
    rows, _ = shown("linear-cl", "mlp")
    assert {name for name, source in rows if source == "ours"} == {"linear-cl", "mlp", "mlp-cl"}
    rows, notes = shown("cdn-cells-cl")
    assert rows == {("cdn-cells-cl", "ours"), ("cdn-cl", "printed")}
    assert "this package's own network." in notes and "no values" not in notes
    assert shown("cdn-cl")[0] == {("cdn-mlp-cells-cl", "ours"), ("cdn-cl", "printed")}
    with pytest.raises(UnknownName, match="Did you mean linear-cl"):
        of_methods(results, ["linear-c"])


def test_a_choice_without_cells_shows_no_printed_row_of_them(make_store):
    store = make_store()
    targets = store.one_target_each(2, 4)
    store.job("dci", store.task("t", targets), store.at_place(targets, 1))
    results = of_methods(read([store.store]), ["dci"])
    for table in (table2, table10):
        assert not table.build(results).blocks


def test_covered_genes_alone_have_a_dagger_where_a_target_is_not_covered(cells):
    store = cells("k562_gw", "gears", [1, 2, 40, 101], known=90)
    store = cells("rpe1", "gears", [1, 2, 40, 50], known=90)
    (_, block) = table2.build(read([store.store])).blocks
    rows = {row.cells[0].text: row for row in block.rows if row.cells[1].text == "ours"}
    marks = {name: [cell.mark for cell in row.cells[2::3]] for name, row in rows.items()}
    # the target at place 101 of 101 is not among the 90 genes that are known
    assert marks == {"gears": ["", "", ""], "gears-covered": ["†", "", "†"]}
    assert any("† rests on fewer tasks" in note for note in block.notes)
