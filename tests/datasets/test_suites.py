"""The synthetic suites: what they list, what options they take, and that they agree with one
another."""

import subprocess
import sys
import time
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from cdnbench import load_suite
from cdnbench.datasets.synthetic.suites import SUITES, SyntheticHard
from cdnbench.errors import InvalidParameter, UnknownName
from cdnbench.registry import SUITES as GROUP
from cdnbench.registry import entries, load_class
from cdnbench.suite import Suite

NAMES = [suite.info.name for suite in SUITES]
SIZES = {
    "synthetic": 120,
    "synthetic-full": 240,
    "synthetic-stat": 720,
    "synthetic-dev": 72,
    "synthetic-hard": 126,
    "synthetic-ood": 96,
    "synthetic-mini": 8,
    "synthetic-demo": 24,
}


@pytest.mark.parametrize("name", NAMES)
def test_size_names_and_hashes(name):
    suite = load_suite(name)
    specs = suite.specs()
    assert isinstance(suite, Suite) and load_class(GROUP, name).info.name == name
    assert len(specs) == SIZES[name]
    assert len({s.name for s in specs}) == len({s.hash for s in specs}) == len(specs)
    assert [s.hash for s in load_suite(name).specs()] == [s.hash for s in specs]


def test_every_suite_is_registered():
    assert set(NAMES) | {"sachs"} <= set(entries(GROUP))


@pytest.mark.parametrize("name", NAMES)
def test_settings_hold_equally_many_datasets(name):
    suite = load_suite(name)
    settings = Counter(
        tuple(s.metadata[column] for column in suite.info.setting) for s in suite.specs()
    )
    # weak factors are told from few rows by the challenge, mechanisms and all else by a column of
    # their own
    assert set(settings.values()) == {type(suite).n_datasets}


@pytest.mark.parametrize("name", NAMES)
def test_the_first_tasks_spread_over_the_settings(name):
    specs = load_suite(name).specs()
    n_settings = len(specs) // type(load_suite(name)).n_datasets
    assert {s.metadata["index"] for s in specs[:n_settings]} == {0}


def test_all_names_of_all_suites_name_one_dataset():
    by_name = {}
    for name in NAMES:
        for spec in load_suite(name).specs():
            assert by_name.setdefault(spec.name, spec.hash) == spec.hash


def test_the_larger_suites_hold_the_datasets_of_synthetic():
    for protocol in ("clean", "dcdi"):
        inner = {s.hash for s in load_suite("synthetic", protocol=protocol).specs()}
        for larger in ("synthetic-full", "synthetic-stat"):
            assert inner < {s.hash for s in load_suite(larger, protocol=protocol).specs()}


def test_tuning_data_share_nothing_with_test_data():
    dev = {s.hash for s in load_suite("synthetic-dev").specs()}
    assert not dev & {s.hash for s in load_suite("synthetic-stat").specs()}


def test_the_sizes_of_the_paper():
    for spec in load_suite("synthetic").specs():
        n = spec.n_variables
        assert spec.n_regimes == 3 * n
        total = spec.n_samples * (3 * n + 1)
        assert {10: 29_900, 20: 59_900}[n] < total <= {10: 30_000, 20: 60_000}[n]


def test_both_protocols_are_the_two_together():
    both = {s.hash for s in load_suite("synthetic", protocol="both").specs()}
    apart = [
        {s.hash for s in load_suite("synthetic", protocol=p).specs()} for p in ("clean", "dcdi")
    ]
    assert both == apart[0] | apart[1] and not apart[0] & apart[1]


def test_the_data_sets_of_one_size_are_those_of_the_whole_suite():
    whole = load_suite("synthetic").specs()
    halves = [load_suite("synthetic", variables=str(n)).specs() for n in (10, 20)]
    assert [len(half) for half in halves] == [60, 60]
    assert {s.n_variables for s in halves[0]} == {10}
    assert {s.hash for half in halves for s in half} == {s.hash for s in whole}


@pytest.mark.parametrize("option", ["obs", "each"])
def test_standardised_data_have_hashes_and_names_of_their_own(option):
    raw, standardised = (
        load_suite("synthetic-mini").specs(),
        load_suite("synthetic-mini", standardise=option).specs(),
    )
    assert not {s.hash for s in raw} & {s.hash for s in standardised}
    assert not {s.name for s in raw} & {s.name for s in standardised}


def test_the_single_track_has_one_task_a_regime_under_its_dataset():
    joint, single = load_suite("synthetic-mini"), load_suite("synthetic-mini", track="single")
    assert len(single.specs()) == sum(s.n_regimes for s in joint.specs())
    spec = single.specs()[8]
    assert (
        spec.metadata["dataset"] == joint.specs()[1].name
        and spec.name.endswith("/r002")
        and spec.n_regimes == 1
    )
    whole, one = joint.load(joint.specs()[1]), single.load(spec)
    assert (one.task.regimes[0] == whole.task.regimes[2]).all() and (
        one.targets == whole.targets[2:3]
    ).all()
    assert one.task.name == spec.name


@pytest.mark.parametrize("name", NAMES)
def test_specs_tell_the_truth_about_their_tasks(name):
    suite = load_suite(name)
    for spec in islice(suite.specs(), 0, None, max(1, len(suite.specs()) // 5)):
        labelled = suite.load(spec)
        task = labelled.task
        assert (task.name, task.n_variables, task.n_regimes, task.n_samples) == (
            spec.name, spec.n_variables, spec.n_regimes, spec.n_samples
        )  # fmt: skip
        assert labelled.targets.any(1).all()
        if labelled.ceiling_scores is not None:
            assert np.isfinite(labelled.ceiling_scores).all()
            assert labelled.ceiling_scores.shape == labelled.targets.shape


def test_challenges_and_their_ceilings():
    suite = SyntheticHard()
    challenges = Counter(s.metadata["challenge"] for s in suite.specs())
    assert set(challenges) == {"few-rows", "weak", "wide", "scale-free", "hidden", "many-targets"}
    hidden = next(s for s in suite.specs() if s.metadata["challenge"] == "hidden")
    labelled = suite.load(hidden)
    assert (
        labelled.ceiling_scores is None
        and labelled.task.n_variables == 20
        and hidden.metadata["n_hidden"] == 4
    )
    many = next(s for s in suite.specs() if s.metadata["challenge"] == "many-targets")
    assert Counter(suite.load(many).targets.sum(1)) == {1: 10, 5: 10, 10: 10}


def test_metadata_name_no_target():
    for spec in load_suite("synthetic-ood").specs():
        assert set(spec.metadata) == {
            "dataset",
            "protocol",
            "n_nodes",
            "n_edges",
            "graph",
            "mechanism",
            "intervention",
            "noise",
            "rows",
            "n_hidden",
            "index",
            "standardise",
            "track",
        }


def test_unknown_options_are_refused():
    with pytest.raises(UnknownName, match="protocol"):
        load_suite("synthetic-hard", protocol="dcdi")
    with pytest.raises(UnknownName, match="protocol"):
        SyntheticHard(protocol="dcdi")
    with pytest.raises(InvalidParameter, match="clean, dcdi, both"):
        load_suite("synthetic", protocol="stock")


def test_specs_are_cheap():
    start = time.process_time()
    assert len(load_suite("synthetic").specs()) == 120
    assert (
        time.process_time() - start < 0.2
    )  # 5 ms; a loaded machine may be slow, but no data may be made


def test_listing_imports_neither_scipy_nor_pandas():
    code = (
        "import sys; from cdnbench.datasets.synthetic.suites import SUITES; from "
        "cdnbench.datasets.real.sachs import Sachs;"
        "[suite().specs() for suite in SUITES];"
        "print([m for m in ('scipy', 'pandas', 'torch', 'cdt') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
