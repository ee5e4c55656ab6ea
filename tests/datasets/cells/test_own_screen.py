"""A user's own file with many perturbations: what is compared, in which values, and what is
refused."""

import gzip
import re
from dataclasses import replace

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import mmwrite

from cdnbench.datasets.cells.screens import own_screen
from cdnbench.datasets.cells.screens.own_screen import OwnScreen
from cdnbench.errors import BenchError, InvalidData, InvalidParameter
from cdnbench.prediction.notes import notes_on_rows
from cdnbench.prediction.options import Reading

CONTROL, LABEL = "non-targeting", "perturbation"
READING = Reading(perturbation=LABEL, control=CONTROL)


def opened(source, **options):
    return OwnScreen(source, replace(READING, **options))


def tasks_of(screen, candidates=None):
    """Name -> task, read block by block."""
    found = {}
    for block in screen.blocks():
        block.gather(range(len(block.comparisons)))
        for i, comparison in enumerate(block.comparisons):
            chosen = block.effects[i].candidates(candidates or len(screen.variables))
            found[comparison.name] = block.task(i, chosen)
    return found


def notes_of(screen):
    return " ".join(screen.notes)


@pytest.fixture(scope="module")
def small(screen):
    """An AnnData of counts with totals, a batch and a label for each cell."""
    x, obs = screen.counts(per_perturbation=12, controls=40)
    obs["total"] = 2 * np.asarray(x.sum(axis=1)).ravel()
    var = pd.DataFrame({"gene_id": [f"ENSG{i}" for i in range(x.shape[1])]}, index=screen.GENES)
    return anndata.AnnData(x, obs=obs, var=var)


@pytest.fixture(scope="module")
def expected(small):
    """Name of a perturbation -> its rows, by a slow and obvious computation, and the controls."""
    counts, totals = small.X.toarray(), small.obs["total"].to_numpy()
    values = np.log1p(1e4 * counts / totals[:, None])
    labels = small.obs[LABEL].astype(object).where(small.obs[LABEL].notna(), "").astype(str)
    return {name: values[(labels == name).to_numpy()] for name in set(labels) if name}


def labelled(values, labels, columns=None, **more):
    columns = columns or [f"v{i}" for i in range(values.shape[1])]
    return pd.DataFrame(values, columns=columns).assign(**{LABEL: labels}, **more)


def continuous(seed=0, n=40):
    values = np.random.default_rng(seed).normal(size=(n, 6)) + np.arange(6)
    return labelled(values, [CONTROL] * (n // 2) + ["a", "b"] * (n // 4))


# --- the forms of a file


def tenx(path, adata, types=None):
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            matrix[name] = getattr(adata.X, name)
        matrix["shape"] = np.array(adata.shape[::-1])
        matrix["barcodes"] = np.array(adata.obs_names, dtype="S")
        matrix["features/name"] = np.array(adata.var_names, dtype="S")
        matrix["features/id"] = np.array(adata.var["gene_id"], dtype="S")
        if types:
            matrix["features/feature_type"] = np.array(types, dtype="S")
    return path


def market(folder, adata, prefix=""):
    folder.mkdir(exist_ok=True)
    mmwrite(folder / f"{prefix}matrix.mtx", adata.X.T)
    rows = zip(adata.var["gene_id"], adata.var_names, strict=True)
    text = "".join(f"{i}\t{name}\tGene Expression\n" for i, name in rows)
    (folder / f"{prefix}features.tsv").write_text(text)
    with gzip.open(folder / f"{prefix}barcodes.tsv.gz", "wt") as file:
        file.write("".join(f"{b}\n" for b in adata.obs_names))
    return folder


def layered(adata):
    made = anndata.AnnData(adata.X * 0.5, obs=adata.obs, var=adata.var)
    made.layers["counts"] = adata.X
    made.raw = adata
    return made


def as_dense(adata, kind=np.asarray):
    return anndata.AnnData(kind(adata.X.toarray()), obs=adata.obs, var=adata.var)


def as_frame(adata):
    frame = pd.DataFrame(adata.X.toarray(), columns=adata.var_names, index=adata.obs_names)
    return frame.assign(total=adata.obs["total"], **{LABEL: adata.obs[LABEL]})


def saved(adata, path):
    adata.write_h5ad(path)
    return path


FORMS = {
    "h5ad": lambda a, p: (saved(a, p / "a.h5ad"), {}),
    "h5ad, columns": lambda a, p: (saved(as_dense(a, sparse.csc_matrix), p / "a.h5ad"), {}),
    "h5ad, dense": lambda a, p: (saved(as_dense(a), p / "a.h5ad"), {}),
    "h5ad, layer": lambda a, p: (saved(layered(a), p / "a.h5ad"), {"layer": "counts"}),
    "h5ad, raw": lambda a, p: (saved(layered(a), p / "a.h5ad"), {"layer": "raw"}),
    "10x": lambda a, p: (tenx(p / "a.h5", a), {"cells": cells(a, p)}),
    "folder": lambda a, p: (market(p / "m", a), {"cells": cells(a, p)}),
    "mtx": lambda a, p: (market(p / "m", a, "x_") / "x_matrix.mtx", {"cells": cells(a, p)}),
    "AnnData": lambda a, p: (a, {}),
    "AnnData, columns": lambda a, p: (as_dense(a, sparse.csc_matrix), {}),
    "AnnData, dense": lambda a, p: (as_dense(a), {}),
    "AnnData, layer": lambda a, p: (layered(a), {"layer": "counts"}),
    "AnnData, raw": lambda a, p: (layered(a), {"layer": "raw"}),
    "data frame": lambda a, p: (as_frame(a), {}),
    "csv": lambda a, p: (table(a, p / "a.csv"), {}),
    "tsv": lambda a, p: (table(a, p / "a.tsv", sep="\t"), {}),
    "txt": lambda a, p: (table(a, p / "a.txt", sep=";", decimal=","), {}),
    "csv.gz": lambda a, p: (table(a, p / "a.csv.gz"), {}),
    "parquet": lambda a, p: (parquet(a, p / "a.parquet"), {}),
}


def cells(adata, folder):
    adata.obs.to_csv(folder / "cells.csv")
    return folder / "cells.csv"


def table(adata, path, **options):
    as_frame(adata).to_csv(path, **options)
    return path


def parquet(adata, path):
    as_frame(adata).to_parquet(path)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_gives_the_same_tasks(form, small, expected, tmp_path):
    source, options = FORMS[form](small, tmp_path)
    screen = opened(source, total="total", **options)
    tasks = tasks_of(screen)
    assert set(tasks) == set(expected) - {CONTROL}
    assert screen.has_symbols == (
        form not in ("data frame", "csv", "tsv", "txt", "csv.gz", "parquet")
    )
    for name, task in tasks.items():
        assert list(task.variables) == list(small.var_names)
        assert (task.symbols is not None) == screen.has_symbols
        np.testing.assert_allclose(task.regimes[0], expected[name], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(task.observational, expected[CONTROL], rtol=1e-4, atol=1e-5)
    assert "the column 'total' as the total" in notes_of(screen)


def test_what_is_given_is_not_changed(small):
    before = small.copy()
    tasks_of(opened(small))
    assert (small.X != before.X).nnz == 0 and small.X.nnz == before.X.nnz
    pd.testing.assert_frame_equal(small.obs, before.obs)
    frame = continuous()
    same = frame.copy()
    tasks_of(opened(frame))
    pd.testing.assert_frame_equal(frame, same)


def test_a_backed_anndata_is_read_in_parts(small, expected, tmp_path):
    backed = anndata.read_h5ad(saved(small, tmp_path / "a.h5ad"), backed="r")
    screen = opened(backed, total="total")
    assert screen.source.inputs == (tmp_path / "a.h5ad",)
    found = tasks_of(screen)["G1"].regimes[0]
    np.testing.assert_allclose(found, expected["G1"], rtol=1e-4, atol=1e-5)


def test_rows_without_a_label_are_counted():
    """An empty label is none."""
    labels = [CONTROL] * 4 + ["a"] * 4 + ["", " ", None, np.nan]
    frame = labelled(np.random.default_rng(0).normal(size=(12, 3)), labels)
    adata = anndata.AnnData(frame.drop(columns=LABEL).to_numpy(), obs=frame[[LABEL]])
    for source in (frame, adata):
        screen = opened(source)
        assert [c.name for c in screen.comparisons] == ["a"]
        assert f"4 rows without a label in {LABEL!r}" in notes_of(screen)


def test_genes_are_named_by_a_column(small, tmp_path):
    for source in (small, saved(small, tmp_path / "a.h5ad")):
        assert opened(source, genes="gene_id").variables[0] == "ENSG0"
        with pytest.raises(BenchError, match="gene_idd"):
            opened(source, genes="gene_idd")


def test_guides_of_10x_are_no_genes(small, tmp_path):
    types = ["Gene Expression"] * (small.n_vars - 2) + ["CRISPR Guide Capture"] * 2
    screen = opened(tenx(tmp_path / "a.h5", small, types), cells=cells(small, tmp_path))
    assert list(screen.variables) == list(small.var_names[:-2])
    assert "2 features of type CRISPR Guide Capture" in notes_of(screen)


@pytest.mark.parametrize("rounds", [1, 4])
def test_blocks_and_chunks_change_nothing(rounds, small, expected, monkeypatch):
    monkeypatch.setattr(own_screen, "MOMENT_VALUES", small.n_vars * rounds)
    screen = opened(small, total="total")
    screen.source = replace(screen.source, raw=replace(screen.source.raw, at_once=17))
    assert len(list(screen.blocks())) == -(-len(screen.comparisons) // rounds)
    for name, task in tasks_of(screen).items():
        np.testing.assert_allclose(task.regimes[0], expected[name], rtol=1e-4, atol=1e-5)


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


def test_methods_get_a_stated_number_of_controls(small):
    screen = opened(small, max_controls=10)
    assert all(len(task.observational) == 10 for task in tasks_of(screen).values())
    assert all(c.n_control == 10 for c in screen.comparisons)
    assert "Methods get 10 controls, drawn at random" in notes_of(screen)
    other = tasks_of(opened(small, max_controls=10, seed=1))["G1"]
    assert (other.observational != tasks_of(screen)["G1"].observational).any()


# --- which values


def test_counts_of_genes_are_normalised_by_their_sums(small):
    screen = opened(small)
    counts = small.X.toarray()[(small.obs[LABEL].astype(str) == "G3").to_numpy()]
    sums = counts.sum(axis=1, keepdims=True)
    found = tasks_of(screen)["G3"].regimes[0]
    np.testing.assert_allclose(found, np.log1p(1e4 * counts / sums), rtol=1e-4)
    assert screen.kind == "log" and "--total total looks like it" in notes_of(screen)


def test_as_is_leaves_values(small):
    screen = opened(small, as_is=True)
    counts = small.X.toarray()[(small.obs[LABEL].astype(str) == "G3").to_numpy()]
    np.testing.assert_array_equal(tasks_of(screen)["G3"].regimes[0], counts)
    assert screen.kind == "counts" and "(--as-is)" in notes_of(screen)


def test_normalised_counts_of_genes_get_a_logarithm(small):
    values = 1e6 * small.X.toarray() / small.X.sum(axis=1)
    screen = opened(anndata.AnnData(sparse.csr_matrix(values), obs=small.obs, var=small.var))
    rows = (small.obs[LABEL].astype(str) == "G3").to_numpy()
    np.testing.assert_allclose(tasks_of(screen)["G3"].regimes[0], np.log1p(values[rows]), rtol=1e-4)
    assert screen.kind == "log" and "without a logarithm" in notes_of(screen)


@pytest.mark.parametrize("most, kind", [(5, "up to"), (400, "too few for totals")])
def test_whole_numbers_of_a_small_table_stay_as_they_are(most, kind):
    values = np.random.default_rng(0).integers(0, most, size=(20, 6)).astype(float)
    values[0, 0] = most
    frame = labelled(values, [CONTROL] * 10 + ["a"] * 10)
    screen = opened(frame)
    np.testing.assert_array_equal(tasks_of(screen)["a"].regimes[0], values[10:])
    assert kind in notes_of(screen)


def lognorm(small, change=lambda values: values):
    counts = small.X.toarray()
    values = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    return anndata.AnnData(sparse.csr_matrix(change(values)), obs=small.obs, var=small.var)


@pytest.mark.parametrize(
    "change, message",
    [(lambda v: v / np.log(2), "to base 2"), (lambda v: np.log1p(v), "logged twice")],
)
def test_logarithms_of_another_kind_are_refused(change, message, small):
    odd = lognorm(small, change)
    with pytest.raises(InvalidData, match=f"{message}.*--as-is"):
        opened(odd)
    assert message in notes_of(opened(odd, as_is=True))
    assert opened(lognorm(small)).kind == "log"


def test_repeated_entries_are_summed(small):
    x = small.X.copy()
    twice = sparse.csr_matrix(
        (np.repeat(x.data / 2, 2), np.repeat(x.indices, 2), 2 * x.indptr), shape=x.shape
    )
    assert twice.nnz == 2 * x.nnz
    found = tasks_of(opened(anndata.AnnData(twice, obs=small.obs, var=small.var)))["G2"]
    np.testing.assert_allclose(found.regimes[0], tasks_of(opened(small))["G2"].regimes[0])


def test_one_side_raw_and_the_other_normalised(small):
    log = lognorm(small).X.toarray()
    raw = (small.obs[LABEL].astype(str) == "G4").to_numpy()
    mixed = np.where(raw[:, None], small.X.toarray(), log)
    with pytest.raises(InvalidData, match="G4 and its controls hold different kinds of values"):
        opened(anndata.AnnData(mixed, obs=small.obs, var=small.var))


def test_copies_of_controls_are_refused(small):
    control = small.obs[LABEL].astype(str) == CONTROL
    copy = small[control][:10].copy()
    copy.obs[LABEL] = "COPY"
    copy.obs_names = [f"copy{i}" for i in range(10)]
    both = anndata.concat([small, copy])
    with pytest.raises(InvalidData, match=r"every row of COPY is also a control.*--as-is"):
        opened(both)
    assert "every row of COPY" in notes_of(opened(both, as_is=True))
    frame = continuous()
    frame.iloc[25, :6] = frame.iloc[0, :6]
    assert "Some rows are also controls: b (1)" in notes_of(opened(frame))


def test_few_rows_are_said_and_no_effect_is_none(small):
    """Halves of the controls against each other, and two treated rows."""
    values = np.random.default_rng(0).normal(size=(42, 30))
    screen = opened(labelled(values, [CONTROL] * 20 + ["half"] * 20 + ["two"] * 2))
    (block,) = screen.blocks()
    (few,) = notes_on_rows(block.comparisons)
    assert few.startswith("Few rows: two have fewer than 10 on a side")
    assert min(e.smallest_p for e in block.effects) > 0.01
    (block,) = opened(small).blocks()
    effects = {c.name: e.smallest_p for c, e in zip(block.comparisons, block.effects, strict=True)}
    assert effects["G1"] < 1e-3


def test_differences_that_float32_cannot_hold_are_kept():
    frame = continuous()
    frame["v2"] += 1e9
    screen = opened(frame)
    spread = tasks_of(screen)["a"].regimes[0][:, 2].std()
    assert 0.3 < spread < 3 and "their means were subtracted" in notes_of(screen)


def test_text_and_truth_values_are_no_variables(tmp_path):
    frame = continuous().assign(plate=["x", "y"] * 20, good=[True, False] * 20)
    frame.to_csv(tmp_path / "a.csv")
    screen = opened(tmp_path / "a.csv")
    assert list(screen.variables) == [f"v{i}" for i in range(6)]
    assert "'plate', 'good' hold text or true and false" in notes_of(screen)
    frame["v3"] = frame["v3"].astype(object)
    frame.loc[5, "v3"] = "ND"
    frame.to_csv(tmp_path / "b.csv")
    with pytest.raises(BenchError, match="'v3' hold text: 'ND' in row 6"):
        opened(tmp_path / "b.csv")


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
