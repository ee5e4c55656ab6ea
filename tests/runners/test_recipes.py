"""The runs behind the tables of the paper, and how long they will take."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from cdnbench.record import FitRecord, JobRecord, Status
from cdnbench.registry import METHODS, SUITES, entries, load_class, load_method, parse_methods
from cdnbench.reports import published
from cdnbench.reports.cells import COUNTERPARTS, COVERED, SPLITS
from cdnbench.reports.tables import TABLES
from cdnbench.runners import kept
from cdnbench.runners.estimate import OVERHEAD_S, Estimate, History, in_words
from cdnbench.runners.plan import make_plan
from cdnbench.runners.recipes import RECIPES, TRAINED, Scale


def test_every_table_of_the_paper_has_its_runs():
    of_paper = {name for name in TABLES.names if name.removeprefix("table").isdigit()}
    assert of_paper == {*RECIPES, *TRAINED} == {f"table{n}" for n in range(1, 12) if n != 3}


@pytest.mark.parametrize("table", RECIPES)
def test_recipes_name_what_there_is(table):
    for scale in Scale:
        for recipe in RECIPES[table][scale]:
            info = load_class(SUITES, recipe.suite).info
            assert info.checked(recipe.options)
            names = [name for name, _ in parse_methods(f"{recipe.methods},{recipe.informed}")]
            assert set(names) <= set(entries(METHODS)) and len(names) == len(set(names))


def test_the_small_scale_is_a_part_of_the_full_one():
    for scales in RECIPES.values():
        for small, full in zip(scales[Scale.small], scales[Scale.full], strict=True):
            assert small.suite == full.suite
            assert set(small.methods.split(",")) <= set(full.methods.split(","))
            assert full.limit is None or (small.limit or 0) < full.limit


@pytest.mark.parametrize("table", ["table2", "table10"])
def test_every_method_printed_for_cells_has_its_counterpart(table):
    printed = published.load(
        {"table2": "table2_perturbseq", "table10": "table10_uncertainty"}[table]
    )
    for method in printed["method"].unique():
        stem, cl, _ = method.partition("-cl")
        wanted = {ours.removesuffix(COVERED) for ours in COUNTERPARTS.get(stem, (stem,))}
        recipe = next(r for r in RECIPES[table][Scale.full] if SPLITS[r.options["split"]] == cl)
        assert wanted <= {name for name, _ in parse_methods(recipe.methods)}, method
        assert stem != "genept" or recipe.informed == stem


@pytest.mark.parametrize("table", ["table4", "table11"])
def test_every_method_printed_for_graphs_has_its_counterpart(table):
    printed = published.load(
        {"table4": "table4_synthetic_n10", "table11": "table11_synthetic_all"}[table]
    )
    found = set()
    for recipe in RECIPES[table][Scale.full]:
        for name, parameters in parse_methods(recipe.methods):
            for variant in load_method(name).info.variants or ("",):
                found.add(published.counterpart(name, variant, json.dumps(parameters)))
    assert set(printed["method"]) <= found


class _Records:
    def __init__(self, *records):
        self._records = records

    def records(self):
        return self._records


def record(method: str, seconds: float | None, mechanism: str = "linear", **fields) -> JobRecord:
    return JobRecord(
        key=f"{method}{seconds}{mechanism}",
        suite="synthetic-mini",
        method=method,
        task="t",
        metadata={"mechanism": mechanism},
        setting=("mechanism",),
        wall_s=seconds,
        **{"status": Status.ok, **fields},
    )


@pytest.fixture(scope="module")
def todo():
    return make_plan("synthetic-mini", {}, "random,target-shift").jobs


def test_an_estimate_is_the_median_of_the_setting_else_of_the_suite(todo):
    kinds = {job.spec.metadata["mechanism"] for job in todo}
    first = sorted(kinds)[0]
    history = History()
    times = (1.0, 2.0, 30.0)
    history.add(_Records(*(record("random", s, first) for s in times)))
    history.add(_Records(record("random", 400.0, "another")))
    history.add(_Records(record("random", 9e9, first, status=Status.timeout)))
    history.add(_Records(record("random", None, first)))
    of_random = [job for job in todo if job.method.info.name == "random"]
    found = history.estimate("synthetic-mini", ("mechanism",), of_random)
    n_first = sum(job.spec.metadata["mechanism"] == first for job in of_random)
    # Without a time of the setting, all times of the suite count: the median of 1, 2, 30, 400.
    others = len(of_random) - n_first
    expected = 2.0 * n_first + 16.0 * others + OVERHEAD_S * len(of_random)
    assert (found.jobs, found.seconds) == (len(of_random), pytest.approx(expected))


def test_what_has_no_record_is_said_and_not_counted(todo):
    history = History()
    history.add(_Records(record("random", 5.0)))
    found = history.estimate("synthetic-mini", ("mechanism",), todo)
    n = sum(job.method.info.name == "target-shift" for job in todo)
    assert dict(found.unknown) == {"target-shift": n}
    assert f"{n} jobs of target-shift" in found.told(1) and found.told(1).startswith("at least ")
    nothing = History().estimate("synthetic-mini", (), todo)
    assert nothing.seconds == 0 and nothing.told(2).startswith("no estimate")


def test_a_training_counts_once_however_many_jobs_need_it(todo):
    fit = SimpleNamespace(key="f")
    history = History()
    history.add(_Records(record("random", 5.0)))
    time = FitRecord(
        key="f", suite="synthetic-mini", method="random", status=Status.ok, wall_s=70.0
    )
    jobs = [replace(job, fit=fit) for job in todo if job.method.info.name == "random"]
    without = history.estimate("synthetic-mini", (), jobs)
    assert dict(without.untimed_fits) == {"random": 1}
    history.add(_Records(time))
    found = history.estimate("synthetic-mini", (), jobs)
    assert found.seconds == pytest.approx(without.seconds + 70.0) and not found.untimed_fits


def test_words():
    assert [in_words(s) for s in (0.1, 40, 720, 12600)] == [
        "2 seconds",
        "40 seconds",
        "12 minutes",
        "3.5 hours",
    ]
    told = Estimate(60.0, 3, {}, {"mlp": 1}).told(2)
    assert told.startswith(
        "at least 30 seconds, by earlier records; not counted, for want of records: 1 training of "
        "mlp (training may take longer than all else, and older compacted stores keep no times of "
        "it)"
    )
    assert Estimate(60.0, 3, {}, {}).told(1) == "about 60 seconds, by earlier records"


def test_what_is_taken_from_other_settings_is_said(todo):
    history = History()
    history.add(_Records(record("random", 5.0, "another")))
    jobs = [job for job in todo if job.method.info.name == "random"]
    told = history.estimate("synthetic-mini", ("mechanism",), jobs).told(1)
    assert f"taken from other settings, which may be far off: {len(jobs)} jobs of random" in told
    for kind in {job.spec.metadata["mechanism"] for job in jobs}:
        history.add(_Records(record("random", 5.0, kind)))
    assert not history.estimate("synthetic-mini", ("mechanism",), jobs).elsewhere


@pytest.mark.parametrize(("first_s", "calls"), [(1.0, 6), (7.0, 3), (30.0, 1)])
def test_calls_that_are_repeated_to_time_them_count_each_time(todo, first_s, calls):
    history = History()
    history.add(_Records(record("random", first_s)))
    jobs = [job for job in todo if job.method.info.name == "random"][:1]
    found = history.estimate("synthetic-mini", (), jobs, timing=True)
    assert found.seconds == pytest.approx(calls * first_s + OVERHEAD_S)


def test_a_kept_result_goes_before_a_kept_failure(monkeypatch):
    monkeypatch.setattr(kept, "_whole", lambda store, record: True)
    failed = _Records(record("random", 1.0, status=Status.timeout))
    finished = _Records(record("random", 1.0))
    for both in ([failed, finished], [finished, failed]):
        assert kept.Kept(both).job("random1.0linear").status == Status.ok
