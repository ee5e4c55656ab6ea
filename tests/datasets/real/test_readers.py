"""What each reader makes of a file of the layout it reads, on made-up values."""

from __future__ import annotations

import shutil

import anndata
import numpy as np
import pandas as pd
import pytest

from cdnbench.datasets.real import ecoli, hill, papalexi, pasilla, sahin, small
from cdnbench.datasets.real.case import Case, control_cases, detectable
from cdnbench.errors import InvalidData


def perturbed(cases):
    return [case for case in cases if case.target]


def controls(cases):
    return [case for case in cases if not case.target]


@pytest.mark.parametrize("module", [papalexi, hill])
def test_screens_keep_clear_cells_and_measured_targets(module, small_folder):
    cases = module.read(small_folder / module.FILE.path)
    found = {case.target: case for case in perturbed(cases)}
    assert set(found) == {f"G{i}" for i in small.KNOCKED_OUT}
    for i in small.KNOCKED_OUT:
        case = found[f"G{i}"]
        assert case.variables == tuple(f"G{i}" for i in range(12))
        assert case.observational.shape == (60, 12) and case.perturbed.shape == (20, 12)
        assert (case.perturbed == 0).all(axis=0).tolist() == [j == i for j in range(12)]
        # log(1 + 10^4 x / total) with totals of 8,000: whole counts come back
        counts = np.expm1(case.observational.astype(float)) * 0.8
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-4)
    assert {len(c.perturbed) for c in controls(cases)} == {20}


def test_screens_refuse_what_is_no_counts(small_folder, tmp_path):
    data = anndata.read_h5ad(small_folder / hill.FILE.path)
    data.X = data.X * 0.5
    data.write_h5ad(tmp_path / "half.h5ad")
    with pytest.raises(InvalidData, match="counts"):
        hill.read(tmp_path / "half.h5ad")
    del data.obs["nUMI"]
    data.write_h5ad(tmp_path / "column.h5ad")
    with pytest.raises(InvalidData, match="nUMI"):
        hill.read(tmp_path / "column.h5ad")
    (tmp_path / "text.h5ad").write_text("no HDF5")
    with pytest.raises(InvalidData, match=r"text\.h5ad"):
        hill.read(tmp_path / "text.h5ad")


def test_sahin_leaves_out_columns_with_gaps_and_balances_times(small_folder):
    cases = sahin.read(small_folder / sahin.FILE.path)
    assert {c.unit: c.target for c in perturbed(cases)} == sahin.TARGETS
    for case in perturbed(cases):
        assert "MYC" not in case.variables
        assert ("p21" in case.variables) == (case.unit != "CDK2")
        shift = case.perturbed.mean(axis=0) - case.observational.mean(axis=0)
        assert case.variables[shift.argmin()] == case.target
    for case in controls(cases):  # time moves every protein by 1, and is equal on both sides
        shift = case.perturbed.mean(axis=0) - case.observational.mean(axis=0)
        assert np.abs(shift).max() < 0.5 and len(case.perturbed) == len(case.observational) == 4


def test_pasilla_filters_genes_and_splits_controls_in_all_ways(small_folder):
    cases = pasilla.read(small_folder / pasilla.FILE.path)
    (case,) = perturbed(cases)
    assert case.observational.shape == (4, 29) and case.perturbed.shape == (3, 29)
    table = pd.read_csv(small_folder / pasilla.FILE.path, sep="\t", index_col=0)
    expected = np.log1p(1e6 * table.iloc[3, 1] / table.iloc[:, 1].sum())
    assert case.observational[1, case.variables.index(str(table.index[3]))] == pytest.approx(
        expected
    )
    halves = controls(cases)
    assert len({frozenset(map(bytes, (h.perturbed, h.observational))) for h in halves}) == 3


def test_ecoli_compares_within_project_strain_and_condition(small_folder):
    cases = ecoli.read(small_folder / ecoli.VALUES.path, small_folder / ecoli.SAMPLES.path)
    assert sorted(case.target for case in cases) == sorted(small.DELETED)
    for case in cases:
        assert len(case.observational) == len(case.perturbed) == 2
        assert case.variables[2:7] == ("arcA", "insA.1", "insA.2", "soxR", "thrA")
        column = case.variables.index(case.target)
        assert case.perturbed[:, column].max() < 1 < case.observational[:, column].min()


def test_ecoli_refuses_samples_of_another_file(small_folder, tmp_path):
    samples = shutil.copy(small_folder / ecoli.SAMPLES.path, tmp_path)
    pd.read_csv(samples, index_col=0).iloc[::-1].to_csv(samples)
    with pytest.raises(InvalidData, match="in their order"):
        ecoli.read(small_folder / ecoli.VALUES.path, samples)


def test_draws_of_controls_part_the_rows():
    rows = np.arange(40.0)[:, None] * np.ones(3)
    strata = np.repeat([0, 1], [10, 30])
    cases = control_cases("made-up", ("a", "b", "c"), rows, [4, 8, 100], strata=strata, draws=4)
    assert [len(c.perturbed) for c in cases] == [4, 8, 20, 4]
    for case in cases:
        both = np.sort(np.concatenate([case.observational, case.perturbed])[:, 0])
        assert (both == rows[:, 0]).all() and not case.targets().any()
        assert (case.perturbed[:, 0] < 10).mean() == 0.25
    assert (cases[0].perturbed != cases[3].perturbed).any()
    again = control_cases("made-up", ("a", "b", "c"), rows, [4, 8, 100], strata=strata, draws=4)
    assert all((a.perturbed == b.perturbed).all() for a, b in zip(cases, again, strict=True))


def test_a_target_that_is_no_variable_was_not_measured():
    rows = np.zeros((2, 2))
    cases = [
        Case(unit="u", variables=("a", "b"), observational=rows, perturbed=rows, target=target)
        for target in ("b", "c", "")
    ]
    assert [case.targets().tolist() for case in cases] == [
        [[False, True]],
        [[False, False]],
        [[False, False]],
    ]
    assert [case.n_unmeasured().tolist() for case in cases] == [[0], [1], [0]]


def test_detectable_is_a_question_of_the_target_s_own_column():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(200, 4)), rng.normal(size=(5, 4))
    after[:, 0] += 3
    before[:, 2] = after[:, 2] = 1.0
    before[:, 3], after[:, 3] = 1.0, 2.0
    targets = np.eye(4, dtype=bool)
    moved = detectable(before, [after] * 4, targets)
    assert moved.diagonal().tolist() == [True, False, False, True]
    assert moved[~targets].all()


def test_detectable_at_its_level():
    """Where nothing changes, a share of `DETECTABLE` is called moved, also with five rows."""
    rng = np.random.default_rng(1)
    found = [
        detectable(rng.normal(size=(60, 1)), [rng.normal(size=(5, 1))], np.ones((1, 1), bool))[0, 0]
        for _ in range(2000)
    ]
    assert 0.004 < np.mean(found) < 0.018
