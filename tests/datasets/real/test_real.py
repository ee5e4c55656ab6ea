"""The suites on real data: what they list and what a method sees; and facts of the real files."""

from __future__ import annotations

import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from cdnbench import load_method, load_suite
from cdnbench.datasets.real import ecoli, hill, papalexi, petshop, sahin
from cdnbench.datasets.real.suites import NAMES
from cdnbench.errors import BenchError, InvalidParameter, UnknownName

IN_FOLDER = ("papalexi", "hill", "sahin", "pasilla", "ecoli")


@pytest.fixture(autouse=True)
def no_folder(request, monkeypatch):
    """Tests on made-up files name their folder themselves."""
    if request.node.get_closest_marker("data") is None:
        monkeypatch.delenv("CDNBENCH_DATA", raising=False)


@pytest.mark.parametrize("name", IN_FOLDER)
def test_suite_of_one_data_set(name, small_folder):
    suite = load_suite(name, data=str(small_folder))
    specs = suite.specs()
    assert len({s.name for s in specs}) == len({s.hash for s in specs}) == len(specs)
    for number, spec in enumerate(specs):
        labelled = suite.load(spec)
        task = labelled.task
        assert spec.name == task.name == f"{name}/{number:03d}" and not task.metadata
        assert (spec.n_variables, spec.n_regimes, spec.n_samples, spec.has_symbols) == (
            task.n_variables,
            1,
            task.n_samples,
            task.has_symbols,
        )
        assert labelled.targets.sum() == (spec.metadata["kind"] == "perturbed")
        assert labelled.truth.silent.item() == (spec.metadata["kind"] == "control")
        for target in np.array(task.variables)[labelled.targets[0]]:
            assert target not in f"{spec.name} {spec.metadata}"


def test_order_means_nothing(small_folder):
    """Neither kinds nor targets are sorted."""
    suite = load_suite("sahin", data=str(small_folder))
    specs = suite.specs()
    kinds = [s.metadata["kind"] for s in specs]
    assert kinds != sorted(kinds) and kinds != sorted(kinds, reverse=True)
    targets = [
        suite.load(s).targets[0].argmax() for s in specs if s.metadata["kind"] == "perturbed"
    ]
    assert targets != sorted(targets)


def test_environment_names_the_folder(small_folder, monkeypatch):
    monkeypatch.setenv("CDNBENCH_DATA", str(small_folder))
    named = load_suite("hill", data=str(small_folder)).specs()
    assert [s.hash for s in load_suite("hill").specs()] == [s.hash for s in named]
    monkeypatch.setenv("CDNBENCH_DATA", str(small_folder / "nowhere"))
    with pytest.raises(BenchError, match=r"CDNBENCH_DATA names .*nowhere, which is no folder"):
        load_suite("hill").specs()


def test_a_missing_file_is_named_with_its_source_and_the_cure(small_folder, tmp_path):
    with pytest.raises(BenchError) as none:
        load_suite("papalexi").specs()
    with pytest.raises(BenchError) as missing:
        load_suite("papalexi", data=str(tmp_path)).specs()
    for error in (none, missing):
        for part in (papalexi.FILE.path, papalexi.FILE.source, papalexi.FILE.licence, "--data"):
            assert part in str(error.value)
    folder = tmp_path / "without"
    shutil.copytree(small_folder, folder)
    (folder / ecoli.SAMPLES.path).unlink()
    with pytest.raises(BenchError) as error:
        load_suite("real", data=str(folder)).specs()
    assert ecoli.SAMPLES.path in str(error.value) and papalexi.FILE.path not in str(error.value)
    assert "--datasets papalexi,hill,sachs,sahin,pasilla,petshop" in str(error.value)


def test_another_file_makes_other_tasks(small_folder, tmp_path):
    shutil.copytree(small_folder, tmp_path / "other")
    path = tmp_path / "other" / sahin.FILE.path
    table = pd.read_csv(small_folder / sahin.FILE.path)
    table.loc[0, "CDK2"] += 0.25
    table.to_csv(path, index=False)
    one = {s.hash for s in load_suite("sahin", data=str(small_folder)).specs()}
    other = {s.hash for s in load_suite("sahin", data=str(tmp_path / "other")).specs()}
    assert len(one) == len(other) and not one & other


def test_a_file_that_was_replaced_is_read_again(small_folder, tmp_path):
    """Workers would read the new one, whatever this process keeps."""
    shutil.copytree(small_folder, tmp_path / "data")
    suite, path = load_suite("sahin", data=str(tmp_path / "data")), tmp_path / "data"
    before = suite.specs()
    assert suite.specs() == before
    table = pd.read_csv(path / sahin.FILE.path)
    table["CDK2"] += 0.25
    table.to_csv(path / sahin.FILE.path, index=False)
    after = suite.specs()
    assert not {s.hash for s in before} & {s.hash for s in after}
    fresh = load_suite("sahin", data=shutil.copytree(path, tmp_path / "copy"))
    for spec, other in zip(after, fresh.specs(), strict=True):
        assert spec.hash == other.hash
        np.testing.assert_array_equal(
            suite.load(spec).task.observational, fresh.load(other).task.observational
        )


def test_real_has_them_all_and_a_data_set_is_the_unit(small_folder):
    suite = load_suite("real", data=str(small_folder))
    specs = suite.specs()
    assert len({s.name for s in specs}) == len({s.hash for s in specs}) == len(specs)
    assert {s.metadata["source"] for s in specs} == set(NAMES)
    assert all(s.metadata["dataset"] == s.metadata["source"] for s in specs)
    for name in IN_FOLDER:
        own = load_suite(name, data=str(small_folder)).specs()
        assert [s.hash for s in specs if s.metadata["source"] == name] == [s.hash for s in own]
    labelled = suite.load(next(s for s in specs if s.name == "papalexi/000"))
    alone = load_suite("papalexi", data=str(small_folder))
    np.testing.assert_array_equal(
        labelled.task.regimes[0], alone.load(alone.specs()[0]).task.regimes[0]
    )


def test_real_without_a_folder():
    suite = load_suite("real", datasets="petshop,sachs")
    specs = suite.specs()
    kinds = Counter((s.metadata["source"], s.metadata["kind"]) for s in specs)
    assert kinds == {
        ("petshop", "perturbed"): 52,
        ("petshop", "control"): 20,
        ("sachs", "perturbed"): 2,
        ("sachs", "control"): 10,
    }
    sachs = {s.name: s for s in load_suite("sachs").specs()}
    for spec in specs:
        if spec.metadata["source"] == "sachs":
            labelled = suite.load(spec)
            if spec.metadata["kind"] == "perturbed":
                assert spec.hash == sachs[spec.name].hash
                assert (labelled.targets.sum(axis=1) == 1).all()
                assert labelled.detectable is not None
            else:
                assert len(labelled.task.regimes[0]) == 426 and not labelled.targets.any()


def test_options_are_checked():
    with pytest.raises(UnknownName, match=r"papalexi"):
        load_suite("real", datasets="papalexy").specs()
    with pytest.raises(InvalidParameter, match="twice"):
        load_suite("real", datasets="sachs,sachs").specs()
    with pytest.raises(UnknownName):
        load_suite("hill", split="seen")
    with pytest.raises(UnknownName):
        load_suite("petshop", data="folder")  # which ships with the package


# What is known of the real files.


def _first(cases, effect) -> float:
    """Share of the targets whose column has the largest effect, ties counting in part."""
    found = []
    for case in cases:
        size = effect(case.observational.astype(float), case.perturbed.astype(float))
        top = size == size.max()
        found.append(top[case.variables.index(case.target)] / top.sum())
    return float(np.mean(found))


def _welch(before, after):
    error = before.var(0, ddof=1) / len(before) + after.var(0, ddof=1) / len(after)
    return np.abs(after.mean(0) - before.mean(0)) / np.sqrt(np.maximum(error, 1e-12))


def _shift(before, after):
    return np.abs(after.mean(0) - before.mean(0))


@pytest.mark.data
def test_papalexi(real_folder):
    cases = papalexi.read(real_folder / papalexi.FILE.path)
    perturbed = [c for c in cases if c.target]
    assert {c.target for c in perturbed} == set(
        ["CMTM6", "IFNGR2", "JAK2", "NFKBIA", "STAT1", "STAT2", "STAT3", "TNFRSF14", "UBE2L6"]
    )
    assert {c.observational.shape for c in perturbed} == {(2292, 299)}
    assert sum(len(c.perturbed) for c in perturbed) == 6574
    assert _first(perturbed, _welch) == pytest.approx(8 / 9)


@pytest.mark.data
def test_hill(real_folder):
    cases = hill.read(real_folder / hill.FILE.path)
    perturbed = [c for c in cases if c.target]
    assert len(perturbed) == 27 and perturbed[0].observational.shape == (409, 28)
    assert _first(perturbed, _welch) == pytest.approx(4 / 27)


@pytest.mark.data
def test_sahin(real_folder):
    cases = sahin.read(real_folder / sahin.FILE.path)
    perturbed = [c for c in cases if c.target]
    assert len(perturbed) == 8
    assert {(len(c.observational), len(c.perturbed)) for c in perturbed} == {(24, 24)}
    assert sorted({len(c.variables) for c in perturbed}) == [9, 10]
    assert _first(perturbed, _welch) == pytest.approx(5 / 8)


@pytest.mark.data
def test_pasilla_and_the_place_of_target_shift(real_folder):
    suite = load_suite("pasilla", data=str(real_folder))
    (spec,) = [s for s in suite.specs() if s.metadata["kind"] == "perturbed"]
    labelled = suite.load(spec)
    assert labelled.task.n_variables == 9921
    assert (len(labelled.task.observational), len(labelled.task.regimes[0])) == (4, 3)
    (scores,) = load_method("target-shift").predict_targets(labelled.task, seed=0)
    place = 1 + (scores > scores[labelled.targets[0]]).sum()
    assert place < 1000  # the target is visible, and far from first
    fall = labelled.task.observational.mean(0) - labelled.task.regimes[0].mean(0)
    assert 1 + (fall > fall[labelled.targets[0]]).sum() < 50


@pytest.mark.data
def test_ecoli(real_folder):
    cases = ecoli.read(real_folder / ecoli.VALUES.path, real_folder / ecoli.SAMPLES.path)
    assert len(cases) == 22 and len({c.unit for c in cases}) == 19
    assert {len(c.variables) for c in cases} == {3923}
    assert {len(c.observational) for c in cases} == {2}
    assert _first(cases, _shift) > 0.6


@pytest.mark.data
def test_real_lists_what_the_readme_says(real_folder):
    specs = load_suite("real", data=str(real_folder)).specs()
    kinds = Counter((s.metadata["source"], s.metadata["kind"]) for s in specs)
    assert kinds == {
        ("papalexi", "perturbed"): 9,
        ("papalexi", "control"): 10,
        ("hill", "perturbed"): 27,
        ("hill", "control"): 10,
        ("sachs", "perturbed"): 2,
        ("sachs", "control"): 10,
        ("sahin", "perturbed"): 8,
        ("sahin", "control"): 10,
        ("pasilla", "perturbed"): 1,
        ("pasilla", "control"): 3,
        ("petshop", "perturbed"): 52,
        ("petshop", "control"): 20,
        ("ecoli", "perturbed"): 22,
    }
    assert petshop.SHIPPED.is_file()
