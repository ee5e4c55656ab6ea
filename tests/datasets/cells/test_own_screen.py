"""A user's own file with many perturbations: what is compared, and what is refused."""

import re
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
from own_screens import (
    CONTROL,
    LABEL,
    READING,
    continuous,
    labelled,
    notes_of,
    opened,
    saved,
    tasks_of,
)

from cdnbench.errors import BenchError, InvalidData, InvalidParameter

# --- which rows


def test_perturbations_need_two_rows_and_nothing_else(small):
    """G30 has 5 cells, and no gene is called Elsewhere."""
    made = opened(small)
    names = {c.perturbation for c in made.comparisons}
    assert names == {f"G{i}" for i in range(8)} | {"G20", "Elsewhere", "G30"}
    assert "7 rows without a label" in notes_of(made)
    lonely = small[np.flatnonzero(small.obs[LABEL].astype(str) != "G30")].copy()
    once = anndata.concat([lonely, small[small.obs[LABEL].astype(str) == "G30"][:1]])
    made = opened(once)
    assert "G30" not in {c.perturbation for c in made.comparisons}
    assert "1 perturbations with fewer than 2 rows are left out: G30" in notes_of(made)


def test_labels_with_several_parts():
    """The control's name is no target, order means nothing, and pairs stay pairs."""
    labels = ["ctrl"] * 8 + ["A+ctrl", "ctrl+A", "A", "A+B", "B+A", " A+B ", "C", "C"]
    values = np.random.default_rng(0).normal(size=(16, 5))
    screen = opened(labelled(values, labels), control="ctrl")
    sizes = {c.perturbation: c.n_perturbed for c in screen.comparisons}
    assert sizes == {"A": 3, "A+B": 3, "C": 2}


def test_many_controls_and_one_called_none(tmp_path):
    labels = [f"non-targeting_{i:05d}" for i in range(8)] + [" GENE", "GENE "] * 4
    values = np.random.default_rng(0).normal(size=(16, 5))
    labelled(values, labels).to_csv(tmp_path / "a.csv", index=False)
    (comparison,) = opened(tmp_path / "a.csv", control="non-targeting*").comparisons
    assert (comparison.perturbation, comparison.n_control, comparison.n_perturbed) == ("GENE", 8, 8)
    with pytest.raises(InvalidData, match=r"8 labels begin so: --control 'non-targeting\*'"):
        opened(tmp_path / "a.csv")
    labelled(values, ["None"] * 8 + ["GENE"] * 8).to_csv(tmp_path / "b.csv", index=False)
    assert opened(tmp_path / "b.csv", control="None").comparisons[0].n_control == 8


def test_each_group_has_its_own_controls():
    """Names of groups may be anything; a group without controls is left out."""
    values = np.arange(48.0).reshape(12, 4) / 7
    labels = [CONTROL, CONTROL, "a", "a"] * 2 + ["a", "a", "b", "b"]
    lines = ["K562/gw"] * 4 + ["../x, y"] * 4 + ["alone"] * 4
    screen = opened(labelled(values, labels, line=lines), group="line")
    tasks = tasks_of(screen)
    assert set(tasks) == {"K562/gw: a", "../x, y: a"}
    np.testing.assert_allclose(tasks["K562/gw: a"].observational, values[:2], rtol=1e-6)
    np.testing.assert_allclose(tasks["../x, y: a"].regimes[0], values[6:8], rtol=1e-6)
    assert "2 perturbations with fewer than 2 controls in their 'line'" in notes_of(screen)


def test_conditions_choose_rows_and_are_no_variables(small):
    screen = opened(small, where="batch == 1 and total > 0")
    wanted = (small.obs["batch"] == 1) & (small.obs[LABEL].astype(str) == "G1")
    sizes = {c.perturbation: c.n_perturbed for c in screen.comparisons}
    assert sizes["G1"] == wanted.sum()
    frame = continuous().assign(day=[1, 2] * 20)
    screen = opened(frame, where="day == 1 or perturbation == 'v1'")
    assert "day" not in screen.variables and "'day' are part of the condition" in notes_of(screen)
    with pytest.raises(InvalidData, match=r"--where 'dya == 1' cannot be evaluated"):
        opened(frame, where="dya == 1")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("batch != '1'", "the text '1', with 'batch', a column of numbers"),
        ("total > 0 and (batch not in ['1', '3'])", "the text '1', with 'batch', a column of"),
        ("`batch` != '1'", "the text '1', with 'batch', a column of numbers"),
        ("dose != 1", "'dose', a column of texts, with the number 1"),
        ("not `dose µM` == -1", "'dose µM', a column of texts, with the number 1"),
        ("kind not in [1, 2]", "'kind', a column of texts, with the number 1"),
        ("dose != batch", "'dose', a column of texts, with 'batch', a column of numbers"),
        ("kind == True", "'kind', a column of texts, with the number True"),
        ("flag != 'True'", "the text 'True', with 'flag', a column of numbers"),
    ],
)
def test_conditions_that_compare_numbers_with_text_are_refused(small, where, said):
    """They would leave every row in, or none."""
    extra = {"batch": [1, 2] * 20, "total": 1.0, "dose": ["1", "2"] * 20, "flag": [True] * 40}
    frame = continuous().assign(**extra, **{"dose µM": ["1", "2"] * 20})
    frame["kind"] = pd.Categorical(["1", "2"] * 20)
    marked = small.copy()
    for name in ("dose", "dose µM", "kind", "flag"):
        column = frame[name].iloc[np.arange(small.n_obs) % 40]
        marked.obs[name] = column.set_axis(small.obs_names)
    for source in (frame, marked):
        with pytest.raises(InvalidData, match=re.escape(f"compares {said}")):
            opened(source, where=where)


@pytest.mark.parametrize("where", ["batch != '1'", "kind not in ['1', '3']", "other != 1"])
def test_conditions_may_compare_text_with_text(where):
    """A column of texts and numbers may be compared with either."""
    frame = continuous().assign(batch=["1", "2"] * 20, other=["1", 2] * 20)
    frame["kind"] = pd.Categorical(frame["batch"])
    assert opened(frame, where=where).comparisons


def test_a_missing_number_fulfils_no_condition(small, tmp_path):
    """In a column that may have missing values, as h5ad keeps them."""
    marked = small.copy()
    marked.obs["n"] = pd.array(np.arange(small.n_obs) % 2, dtype="Int64")
    marked.obs.loc[marked.obs_names[::4], "n"] = pd.NA
    n = marked.obs["n"].astype(object)
    for source in (marked, saved(marked, tmp_path / "a.h5ad")):
        for where, fits in (
            ("n == 1", lambda v: v == 1),
            ("n != 1", lambda v: v == 0),
            ("n >= 0 and total > 0", lambda v: v in (0, 1)),
        ):
            rows = [x is not pd.NA and fits(x) for x in n]
            wanted = (np.array(rows) & (small.obs[LABEL].astype(str) == CONTROL)).sum()
            assert opened(source, where=where).comparisons[0].n_control == wanted


def test_methods_get_a_stated_number_of_controls(small):
    screen = opened(small, max_controls=10)
    assert all(len(task.observational) == 10 for task in tasks_of(screen).values())
    assert all(c.n_control == 10 for c in screen.comparisons)
    assert "Methods get 10 controls, drawn at random" in notes_of(screen)
    other = tasks_of(opened(small, max_controls=10, seed=1))["G1"]
    assert (other.observational != tasks_of(screen)["G1"].observational).any()


# --- effects and candidates


def test_effects_are_those_of_slow_formulas(small, expected):
    from scipy.stats import ttest_ind

    screen = opened(small, total="total")
    (block,) = screen.blocks()
    for comparison, effects in zip(block.comparisons, block.effects, strict=True):
        before, after = expected[CONTROL], expected[comparison.perturbation]
        slow = ttest_ind(after, before, axis=0)
        np.testing.assert_allclose(effects.statistic, slow.statistic, rtol=2e-3, atol=1e-4)
        counts = [np.expm1(side.mean(axis=0)) + 0.1 for side in (before, after)]
        change = np.log2(counts[1] / counts[0])
        np.testing.assert_allclose(effects.log_fold_change, change, rtol=2e-3, atol=1e-4)


def test_candidates_are_differential_with_the_largest_changes(small):
    (block,) = opened(small).blocks()
    at = [c.name for c in block.comparisons].index("G1")
    effects = block.effects[at]
    order = effects.order
    assert sorted(order) == list(range(small.n_vars))
    from scipy.stats import false_discovery_control

    differential = false_discovery_control(effects.p) < 0.05
    n = differential.sum()
    assert 2 < n < small.n_vars and differential[order[:n]].all()
    assert (np.diff(np.abs(effects.log_fold_change[order[:n]])) <= 0).all()
    assert (np.diff(np.abs(effects.statistic[order[n:]])) <= 0).all()
    block.gather([at])
    chosen = effects.candidates(4)
    task = block.task(at, chosen)
    assert list(task.variables) == [small.var_names[i] for i in sorted(order[:4])]


# --- what is refused


@pytest.mark.parametrize(
    "options, message",
    [
        ({"perturbation": "perturbatoin"}, "'perturbatoin'. Did you mean perturbation?"),
        ({"control": "non-targetting"}, "Did you mean non-targeting?"),
        ({"group": "batches"}, "'batches'. Did you mean batch?"),
        ({"total": "totals"}, "'totals'. Did you mean total?"),
        ({"layer": "count"}, "count"),
        ({"control": "*"}, "every label in 'perturbation' is a control"),
        ({"where": "batch > 5"}, "no control (perturbation = 'non-targeting') is left"),
        ({"where": "perturbation == 'non-targeting'"}, "no perturbation is left to compare"),
    ],
)
@pytest.mark.parametrize("written", [False, True])
def test_errors_name_culprit_and_cure(options, message, written, small, tmp_path):
    only = small.copy()
    only.var_names = only.var["gene_id"].tolist()  # so that no pattern matches a gene
    only.obs[LABEL] = only.obs[LABEL].astype(object).where(only.obs[LABEL].notna(), CONTROL)
    source = saved(only, tmp_path / "a.h5ad") if written else only
    with pytest.raises(BenchError, match=re.escape(message)):
        opened(source, **options)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"candidates": 0}, "--candidates is a whole number of 2 or more; got 0"),
        ({"max_controls": float("nan")}, "--max-controls is a whole number"),
        ({"seed": -1}, "--seed"),
        ({"perturbation": " "}, "--perturbation is empty"),
        ({"group": LABEL}, "--group and --perturbation name the same column"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(InvalidParameter, match=message):
        replace(READING, **options)


def test_options_that_a_table_does_not_have(tmp_path):
    continuous().to_csv(tmp_path / "a.csv", index=False)
    for options in ({"layer": "counts"}, {"genes": "symbol"}):
        with pytest.raises(InvalidParameter, match="says nothing about the table"):
            opened(tmp_path / "a.csv", **options)
    with pytest.raises(InvalidData, match="unknown kind of file"):
        (tmp_path / "a.xlsx").write_text("")
        opened(tmp_path / "a.xlsx")
    with pytest.raises(InvalidData, match="does not exist"):
        opened(tmp_path / "none.csv")


def test_the_identity_follows_content_and_options(small):
    same = opened(small).identity
    assert opened(small.copy()).identity == same
    assert opened(small, max_controls=10).identity != same
    assert opened(small, candidates=5).identity == same  # it is part of each task's own
    other = small.copy()
    other.X[0, 0] += 1
    assert opened(other).identity != same
