"""Which tasks a plan takes: spread over the settings, and filtered by subsets."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cdnbench.errors import BenchError, InvalidParameter
from cdnbench.registry import SUITES, load_class, load_suite
from cdnbench.runners.plan import Limits, make_plan
from cdnbench.runners.selection import in_subset, spread


def numbers(specs) -> list[int]:
    return [spec.recipe for spec in specs]


def test_a_limit_is_spread_evenly_over_the_settings(faulty):
    suite = load_suite("tiny", n=24, kinds=4)
    specs = suite.specs()
    kinds = Counter(spec.metadata["kind"] for spec in spread(specs, 8, suite))
    assert kinds == {"a": 2, "b": 2, "c": 2, "d": 2}
    assert {s.metadata["kind"] for s in spread(specs, 2, suite)} == {"a", "c"}
    assert numbers(spread(specs, 1, suite)) == [0]
    assert spread(specs, 100, suite) == specs


def test_a_smaller_limit_is_a_part_of_a_larger_one_in_the_suites_order(faulty):
    suite = load_suite("tiny", n=24, kinds=5)
    chosen = [numbers(spread(suite.specs(), limit, suite)) for limit in range(1, 25)]
    for fewer, more in zip(chosen, chosen[1:], strict=False):
        assert set(fewer) < set(more) and more == sorted(more)
    assert chosen == [numbers(spread(suite.specs(), limit, suite)) for limit in range(1, 25)]


def test_cell_lines_share_a_limit():
    suite = load_suite("synthetic")
    chosen = spread(suite.specs(), 48, suite)
    settings = Counter(
        tuple(spec.metadata[name] for name in ("n_nodes", "n_edges", "mechanism", "intervention"))
        for spec in chosen
    )
    assert len(settings) == 24 and set(settings.values()) == {2}


def test_a_subset_is_a_filter_of_the_plan(faulty):
    suite = load_suite("tiny", n=6)
    assert numbers(in_subset(suite.specs(), "even", suite)) == [0, 2, 4]
    assert numbers(in_subset(suite.specs(), "noneven", suite)) == [1, 3, 5]
    assert numbers(in_subset(suite.specs(), "all", suite)) == list(range(6))
    every = {job.spec.recipe: job.key for job in make_plan("tiny", {"n": 6}, "good").jobs}
    some = {j.spec.recipe: j.key for j in make_plan("tiny", {"n": 6}, "good", subset="even").jobs}
    assert some == {n: key for n, key in every.items() if n % 2 == 0}


@pytest.mark.parametrize("subset", ["odd", "non", "nonall", "nonnoneven", ""])
def test_a_subset_that_does_not_exist_is_refused_with_those_that_do(faulty, subset):
    with pytest.raises(InvalidParameter, match="--subset of tiny takes all, even, noneven; got"):
        make_plan("tiny", {}, "good", subset=subset)
    with pytest.raises(InvalidParameter, match="--subset of sachs takes all; got 'trivial'"):
        make_plan("sachs", {}, "random", subset="trivial")


def test_an_empty_subset_says_so(faulty):
    with pytest.raises(InvalidParameter, match="tiny has no task in the subset noneven"):
        make_plan("tiny", {"n": 1}, "good", subset="noneven")


@pytest.mark.parametrize("part", [{"factors": {"dose": ""}}, {"setting": ("dose",)}])
def test_what_a_suite_declares_must_be_in_the_metadata(faulty, monkeypatch, part):
    tiny = load_class(SUITES, "tiny")
    monkeypatch.setattr(tiny, "info", replace(tiny.info, **part))
    with pytest.raises(BenchError, match="tiny declares dose .* they have dataset, even, kind"):
        make_plan("tiny", {}, "good")


@pytest.mark.parametrize(
    "seeds", ["0,1", [], ["0"], [1.5], [-1], [True], [2**63], 0, [0, None]], ids=str
)
def test_seeds_that_no_record_could_hold_are_refused(faulty, seeds):
    with pytest.raises(InvalidParameter, match="seeds takes one or more whole numbers from 0"):
        make_plan("tiny", {}, "steady", seeds=seeds)


def test_seeds_of_numpy_are_whole_numbers(faulty):
    jobs = make_plan("tiny", {}, "random", seeds=np.arange(2)).jobs
    assert {type(job.seed) for job in jobs} == {int}


@pytest.mark.parametrize("limit", [0, -1, 1.5, "3"])
def test_a_limit_is_a_whole_number_from_1_on(faulty, limit):
    with pytest.raises(InvalidParameter, match="limit takes a whole number from 1 on"):
        make_plan("tiny", {}, "random", limit=limit)


def test_methods_are_one_text(faulty):
    with pytest.raises(InvalidParameter, match='methods takes a text, such as "dci,ut-igsp"'):
        make_plan("tiny", {}, ["random", "target-shift"])


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), 1e300, 10**400, "60", True])
@pytest.mark.parametrize("name", ["timeout", "memory_gb"])
def test_limits_of_a_job_are_positive_numbers(name, value):
    with pytest.raises(InvalidParameter, match=f"^{name} takes a positive number up to 1e9; got "):
        Limits(**{{"timeout": "timeout_s"}.get(name, name): value})


def test_specs_may_come_one_by_one_and_have_to_be_there(faulty, monkeypatch):
    tiny = load_class(SUITES, "tiny")
    whole = tiny.specs
    monkeypatch.setattr(tiny, "specs", lambda self: iter(whole(self)))
    assert len(make_plan("tiny", {}, "random").jobs) == 4
    monkeypatch.setattr(tiny, "specs", lambda self: None)
    with pytest.raises(BenchError, match="specs of the suite tiny are a NoneType; return a list"):
        make_plan("tiny", {}, "random")


def test_nothing_is_trained_on_the_task_that_it_is_tested_on(faulty, monkeypatch):
    tiny = load_class(SUITES, "tiny")
    monkeypatch.setattr(tiny, "training", lambda self, spec: self.specs())
    with pytest.raises(BenchError, match="would train learner on the task 'tiny/0' that it is"):
        make_plan("tiny", {}, "learner")
