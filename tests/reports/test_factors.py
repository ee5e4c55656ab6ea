"""What is never averaged over, and which tasks count."""

from __future__ import annotations

import numpy as np
import pytest

from cdnbench.errors import BenchError
from cdnbench.reports.factors import Factors
from cdnbench.reports.frame import read, tidy
from cdnbench.reports.standings import standings
from cdnbench.reports.tables import build

TARGETS = np.eye(1, 4, dtype=bool)


def titles(results) -> list[str]:
    return [block.title for block in build(results, "leaderboard").blocks]


# Factors that a suite declares


def doses(make_store):
    """A suite whose factor is the dose: the target is found at the high one only."""
    store = make_store("screen")
    for dose, place in (("low", 4), ("high", 1)):
        task = store.task(f"d0-{dose}", TARGETS, factors={"dose": "low"}, dose=dose)
        store.job("m", task, store.at_place(TARGETS, place))
    return store


def test_a_declared_factor_is_not_averaged_over(make_store):
    results = read([doses(make_store).store])
    frame = standings(results)
    assert frame.set_index("dose")["average_precision_tie"].to_dict() == {"high": 1, "low": 0.25}
    assert titles(results) == ["screen, dose high", "screen"], "low goes without saying"


def test_factors_come_first_in_one_order(make_store):
    older = make_store("synthetic")
    older.job("m", older.task("t", TARGETS, protocol="clean"), TARGETS * 1.0)
    frame = tidy([doses(make_store).store, older.store])
    names = ["suite", "split", "protocol", "subset", "masking", "standardise", "track"]
    assert list(frame.columns[:9]) == [*names, "subsample", "dose"]
    assert set(frame.loc[frame["suite"] == "synthetic", "dose"]) == {""}


def test_suites_name_what_goes_without_saying_each_for_themselves():
    factors = Factors.of([("a", {"dose": "low"}), ("b", {"dose": "high"}), ("c", None)])
    key = ["low" if name == "dose" else "" for name in factors.names]
    told = {suite: factors.told((suite, *key[1:])) for suite in "abc"}
    assert told == {"a": [], "b": [("dose", "low")], "c": [("dose", "low")]}


def test_rounds_of_cells_are_not_pooled_with_full_tasks(make_store):
    """Four tasks of one dataset: two with all cells, as older and as newer suites say it, and two
    rounds."""
    store = make_store("perturbseq")
    for round, place in ((-1, 1), ("", 1), (0, 2), (1, 4)):
        about = {"dataset": "a/0", "subsample": round}
        task = store.task(f"a/0/{round}", TARGETS, factors={"subsample": ""}, **about)
        store.job("m", task, store.at_place(TARGETS, place))
    results = read([store.store])
    assert standings(results)["average_precision_tie"].tolist() == [1]
    assert titles(results) == ["perturbseq"]
    means = {key[-1]: rows for key, rows in results.factors.blocks(results.regimes)}
    found = {n: rows["average_precision_tie"].mean() for n, rows in means.items()}
    assert found == {"-1": 1, "0": 0.5, "1": 0.25}


# Subsets


class OlderCells:
    """A store as older versions left it: a run with --subset counted only its own tasks.

    Six perturbations, of which 0, 2 and 4 are trivial.
    """

    def __init__(self, make_store) -> None:
        self.fake = make_store("perturbseq")

    def run(self, subset: str, method: str) -> None:
        chosen = [p for p in range(6) if subset == "all" or (p % 2 == 0) == (subset == "trivial")]
        for number, p in enumerate(chosen):
            task = self.fake.task(
                f"a/{number:04d}",
                TARGETS,
                hash=f"perturbation-{p}",
                facts={"trivial": p % 2 == 0},
                setting=("cell_line", "subset"),
                cell_line="a",
                subset=subset,
                written=f"perturbation-{p}" not in self.fake.tasks,
            )
            self.fake.job(method, task, self.fake.at_place(TARGETS, 1 + p % 2))

    def finished(self, subset: str) -> dict[str, tuple[int, int]]:
        """Method -> datasets that it finished, and all of them, in the only block."""
        results = read([self.fake.store], subset)
        assert titles(results) == [f"perturbseq, subset {subset}"]
        frame = standings(results).set_index("label")
        return {m: (row["finished"], row["total"]) for m, row in frame.iterrows()}


@pytest.mark.parametrize("order", [1, -1])
def test_runs_with_subsets_share_a_folder(make_store, order):
    cells = OlderCells(make_store)
    for subset in ("all", "nontrivial", "trivial")[::order]:
        cells.run(subset, f"with-{subset}")
    cells.run("all", "added")
    assert cells.finished("all") == {
        "added": (6, 6),
        "with-all": (6, 6),
        "with-nontrivial": (3, 6),
        "with-trivial": (3, 6),
    }
    assert cells.finished("nontrivial") == {
        "added": (3, 3),
        "with-all": (3, 3),
        "with-nontrivial": (3, 3),
    }
    assert cells.finished("trivial") == {
        "added": (3, 3),
        "with-all": (3, 3),
        "with-trivial": (3, 3),
    }


def test_tasks_of_two_subsets_with_the_same_names_are_not_pooled(make_store):
    cells = OlderCells(make_store)
    for subset in ("nontrivial", "trivial"):
        cells.run(subset, "m")
    assert cells.finished("all") == {"m": (6, 6)}
    frame = standings(read([cells.fake.store]))
    assert frame["average_precision_tie"].tolist() == [0.75]


def test_the_column_says_which_filter_is_in_force(make_store):
    cells, other = OlderCells(make_store), make_store("synthetic")
    cells.run("all", "m")
    other.job("m", other.task("t", TARGETS), TARGETS * 1.0)
    stores = [cells.fake.store, other.store]
    kept = {subset: tidy(read(stores, subset)) for subset in ("all", "trivial")}
    assert set(zip(kept["all"]["suite"], kept["all"]["subset"], strict=True)) == {
        ("perturbseq", "all"),
        ("synthetic", ""),
    }
    assert set(kept["trivial"]["subset"]) == {"trivial"}
    assert kept["trivial"]["trivial"].all() and kept["trivial"]["task"].nunique() == 3


def test_a_subset_that_no_task_knows_is_an_error(make_store):
    cells = OlderCells(make_store)
    cells.run("all", "m")
    with pytest.raises(BenchError, match="subset 'easy'.*Here: trivial"):
        read([cells.fake.store], "easy")
