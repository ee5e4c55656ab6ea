"""From raw counts to a prepared cell line."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from cdnbench.datasets.cells.prepared import PreparedLine
from cdnbench.datasets.cells.screens import prepare as preparation
from cdnbench.datasets.cells.screens.choose import candidate_genes
from cdnbench.datasets.cells.screens.options import Preparation
from cdnbench.datasets.cells.screens.prepare import prepare
from cdnbench.datasets.cells.screens.raw import open_raw
from cdnbench.datasets.cells.screens.split import clusters, split_by_cluster
from cdnbench.digest import digest
from cdnbench.errors import BenchError, InvalidData, InvalidParameter

OPTIONS = Preparation(min_candidates=40, max_candidates=50)


@pytest.fixture(scope="module")
def raw(tmp_path_factory, screen):
    return open_raw(screen.write(tmp_path_factory.mktemp("raw") / "screen.h5ad"))


@pytest.fixture(scope="module")
def line(raw, tmp_path_factory):
    return prepare(raw, "demo", tmp_path_factory.mktemp("prepared"), OPTIONS)


def expected(screen, name):
    """Log-normalised cells of a perturbation, in the order of the file."""
    x, obs = screen.counts()
    mine = x.toarray()[(obs["perturbation"] == name).to_numpy()]
    return np.log1p(mine / mine.sum(1, keepdims=True) * 1e4)


def test_the_perturbations_with_effects_become_tasks(line):
    assert sorted(line.names) == [f"G{i}" for i in range(8)]
    assert [t for (t,) in line.targets] == list(line.names)


def test_attrition_counts_what_each_step_left(line):
    steps = {
        step: (cells, perturbations, genes)
        for step, cells, perturbations, genes in line.attributes["attrition"]
    }
    assert steps["file"] == (912, 11, 61)
    assert steps["cells with a perturbation"] == (905, 11, 61)
    assert steps["perturbations of 20 cells or more"] == (900, 10, 61)
    assert steps["their targets among the genes"] == (840, 9, 61)
    assert steps["all targets among them"] == (780, 8, 61)


def test_cells_and_controls_are_those_of_the_file(line, screen):
    np.testing.assert_allclose(
        line.controls().toarray(), expected(screen, screen.CONTROL), rtol=1e-6
    )
    for p, name in enumerate(line.names):
        np.testing.assert_allclose(line.cells(p).toarray(), expected(screen, name), rtol=1e-6)


def test_profiles_are_mean_shifts_of_every_perturbation(line, screen):
    names = [n.decode() for n in line.arrays["profile_names"]]
    assert {"Elsewhere", "G20"} < set(names) and "G30" not in names
    shift = expected(screen, "Elsewhere").mean(0) - expected(screen, screen.CONTROL).mean(0)
    np.testing.assert_allclose(line.arrays["profiles"][names.index("Elsewhere")], shift, atol=1e-5)


def test_candidates_hold_the_target_and_say_nothing_else(line, screen):
    for p, name in enumerate(line.names):
        candidates = line.candidates(p)
        assert screen.GENES.index(name) in candidates and 40 <= len(candidates) <= 50
        assert (np.diff(candidates) > 0).all()


def test_candidates_are_the_largest_changes_filled_up_at_random():
    change = np.array([0.1, -5.0, 3.0, 0.2, 0.0, -4.0, 0.3, 0.4])
    differential = np.array([1, 1, 1, 0, 0, 1, 0, 0], dtype=bool)
    rng = np.random.default_rng(0)
    assert candidate_genes(
        change, differential, Preparation(min_candidates=2, max_candidates=2), rng
    ).tolist() == [
        1,
        5,
    ]
    filled = candidate_genes(
        change, differential, Preparation(min_candidates=6, max_candidates=10), rng
    )
    assert {0, 1, 2, 5} < set(filled) and len(filled) == 6
    assert len(candidate_genes(change, differential, Preparation(min_candidates=100), rng)) == 8


def test_trivial_means_the_largest_differential_change_is_the_target(line):
    differential = line.arrays["adjusted"] < 0.05
    for p, (target,) in enumerate(line.targets):
        largest = max(
            np.flatnonzero(differential[p]), key=lambda g: abs(line.arrays["change"][p, g])
        )
        assert line.arrays["trivial"][p] == (line.genes[largest] == target)


def test_arrays_are_mapped_read_only(line):
    for name in ("cells/data", "controls/indices", "profiles"):
        assert isinstance(line.arrays[name], np.memmap) and not line.arrays[name].flags.writeable


def test_controls_are_capped_by_a_named_seed(raw, line, tmp_path):
    capped = prepare(raw, "demo", tmp_path, Preparation(min_candidates=40, max_controls=50))
    assert capped.controls().shape[0] == 50
    np.testing.assert_array_equal(capped.arrays["change"], line.arrays["change"])  # tests use all
    again = prepare(
        raw, "demo", tmp_path / "again", Preparation(min_candidates=40, max_controls=50)
    )
    assert again.hash == capped.hash
    other = prepare(
        raw, "demo", tmp_path / "other", Preparation(min_candidates=40, max_controls=50, seed=1)
    )
    assert other.hash != capped.hash


def test_the_outcome_does_not_depend_on_how_many_cells_are_read_at_once(raw, line, tmp_path):
    assert prepare(replace(raw, at_once=37), "demo", tmp_path, OPTIONS).hash == line.hash


def test_a_stopped_preparation_goes_on(raw, line, tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(preparation, "_fill", stopped)
        prepare(raw, "demo", tmp_path, OPTIONS)
    assert not list(tmp_path.glob("*.cells.h5"))
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "survey", stopped)  # what is done is not done again
        patch.setattr(preparation, "RankSums", stopped)
        assert prepare(raw, "demo", tmp_path, OPTIONS).hash == line.hash
        patch.setattr(preparation, "_write", stopped)
        assert prepare(raw, "demo", tmp_path, OPTIONS).hash == line.hash
    assert [p.name for p in tmp_path.iterdir()] == ["demo.cells.h5"]


def test_log_normalised_values_give_the_same_tasks(raw, line, tmp_path, screen):
    import anndata

    x, obs = screen.counts()
    total = np.asarray(x.sum(1)).ravel()
    logged = sparse.csr_matrix(np.log1p(x.toarray() / total[:, None] * 1e4).astype(np.float32))
    path = tmp_path / "logged.h5ad"
    anndata.AnnData(logged, obs=obs, var=pd.DataFrame(index=screen.GENES)).write_h5ad(path)
    with pytest.raises(InvalidData, match="--values lognorm"):
        prepare(open_raw(path), "demo", tmp_path, OPTIONS)
    ours = prepare(
        open_raw(path),
        "demo",
        tmp_path,
        Preparation(min_candidates=40, max_candidates=50, values="lognorm"),
    )
    assert sorted(ours.names) == sorted(line.names)
    np.testing.assert_allclose(ours.arrays["profiles"], line.arrays["profiles"], atol=1e-4)


def test_filters(raw, tmp_path, screen):
    line = prepare(
        raw,
        "demo",
        tmp_path,
        Preparation(min_candidates=40, where="batch == 1", max_mito=0.03, min_genes=45),
    )
    x, obs = screen.counts()
    dense = x.toarray()
    kept = (
        (obs["batch"] == 1).to_numpy()
        & ((dense > 0).sum(1) >= 45)
        & (dense[:, -1] <= 0.03 * dense.sum(1))
        & obs["perturbation"].notna().to_numpy()
    )
    assert line.attributes["attrition"][2][1] == kept.sum()
    assert (
        line.controls().shape[0]
        == (kept & (obs["perturbation"] == screen.CONTROL).to_numpy()).sum()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"perturbation": "pertubation"},
            "no column of obs.*pertubation.*Did you mean perturbation",
        ),
        (
            {"control": "NT"},
            r"no row has perturbation = 'NT'.*--control NAME.*Frequent: non-targeting \(300 "
            r"rows\)",
        ),
        ({"min_perturbed": 1000}, "no perturbation has 1000 cells"),
        (
            {"more_than": 60},
            "(?s)no perturbation has more than 60 differential genes.*"
            "their targets among the genes",
        ),
        (
            {"where": "bath == 1"},
            "--where 'bath == 1' cannot be evaluated.*Columns: perturbation, batch",
        ),
        ({"total": "nUMI"}, "no column of obs.*nUMI"),
    ],
)
def test_what_cannot_be_prepared_says_why(raw, tmp_path, options, message):
    with pytest.raises(BenchError, match=message):
        prepare(raw, "demo", tmp_path, Preparation(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 2},
        {"alpha": float("nan")},
        {"alpha": -1},
        {"max_mito": float("inf")},
        {"values": "tpm"},
        {"min_candidates": 2000},
        {"min_perturbed": 0},
    ],
)
def test_a_threshold_out_of_range_is_named(options):
    with pytest.raises(InvalidParameter, match=next(iter(options))):
        Preparation(**options)


def test_clusters_do_not_straddle_the_split_and_the_largest_is_for_training():
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(6, 40))
    member = np.repeat(np.arange(6), [20, 5, 5, 5, 5, 5])
    found = clusters(centres[member] + 0.1 * rng.normal(size=(45, 40)), 6, seed=0)
    split = split_by_cluster(found, seed=0)
    assert all(len(set(split[found == c])) == 1 for c in set(found))
    assert set(split[:20]) == {"train"}
    assert {np.sum(split[20:] == "train"), np.sum(split[20:] == "test")} == {10, 15}


def test_a_published_split_can_be_used(raw, tmp_path):
    table = pd.DataFrame(
        {
            "pert": [f"ENSG{i}" for i in range(6)],
            "name": [f"G{i}" for i in range(6)],
            "cluster": range(6),
            "split": ["train", "test"] * 3,
            "fp_data": ["data/single_cell/demo/x.npy"] * 5 + ["data/single_cell/other/x.npy"],
        }
    )
    table.to_csv(tmp_path / "split.csv")
    line = prepare(raw, "demo", tmp_path, OPTIONS, split_list=tmp_path / "split.csv")
    assert dict(zip(line.names, line.split, strict=True)) == {
        **{f"G{i}": ["train", "test"][i % 2] for i in range(5)}, "G5": "", "G6": "", "G7": "",
    }  # fmt: skip
    with pytest.raises(InvalidData, match="no rows of the cell line 'k562'; it has demo, other"):
        prepare(raw, "k562", tmp_path, OPTIONS, split_list=tmp_path / "split.csv")


def test_a_prepared_file_that_is_broken_says_so(line, tmp_path):
    whole = line.path.read_bytes()
    cut = tmp_path / "cut.cells.h5"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidData, match="cut.cells.h5 is not a whole prepared cell line"):
        PreparedLine.open(cut)
    with pytest.raises(InvalidData, match="bench data prepare"):
        PreparedLine.open(tmp_path / "none.cells.h5")


def test_real_cells(real_file, tmp_path):
    raw = open_raw(real_file("papalexi2021_thp1_eccite_299genes_counts.h5ad"))
    line = prepare(raw, "thp1", tmp_path, Preparation(total="total_umis", where="guide_frac > .5"))
    assert set(line.names) == {"IFNGR2", "JAK2", "STAT1"}


@pytest.mark.parametrize("damage", ["format", "cut"])
def test_what_another_version_made_is_made_anew(raw, tmp_path, damage):
    made = prepare(raw, "a", tmp_path, OPTIONS)
    before = made.path.read_bytes()
    if damage == "cut":
        made.path.write_bytes(before[: len(before) // 2])
    else:
        with h5py.File(made.path, "a") as file:
            attributes = json.loads(str(file.attrs["attributes"]))
            file.attrs["attributes"] = json.dumps({**attributes, "format": 1})
    again = prepare(raw, "a", tmp_path, OPTIONS)
    assert again.hash == made.hash and again.attributes["format"] == made.attributes["format"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"where": "batch"}, "is no condition"),
        ({"where": "batch = 1"}, "is no condition"),
        ({"total": "perturbation"}, "names a column of numbers"),
        ({"total": "batch"}, "counts in the file and"),
    ],
)
def test_columns_that_are_not_what_they_are_taken_for(raw, tmp_path, options, words):
    with pytest.raises(InvalidData, match=words):
        prepare(raw, "a", tmp_path, replace(OPTIONS, **options))


def test_an_empty_outcome_says_which_step_to_look_at(raw, tmp_path):
    with pytest.raises(InvalidData, match="left none; --more-than and --alpha"):
        prepare(raw, "a", tmp_path, replace(OPTIONS, more_than=1000))


def test_another_layer_or_other_names_of_genes_are_prepared_anew(raw, line, tmp_path, screen):
    import anndata

    adata = anndata.read_h5ad(raw.path)
    other = adata.X.copy()
    other.data = other.data * 2
    adata.layers["other"] = other
    adata.var["alt"] = [f"{gene}x" for gene in adata.var_names]
    obs = adata.obs["perturbation"]
    adata.obs["target"] = [f"{label}x" if f"{label}" in screen.GENES else "" for label in obs]
    adata.write_h5ad(path := tmp_path / "both.h5ad")
    first = prepare(open_raw(path), "demo", tmp_path, OPTIONS)
    layer = prepare(open_raw(path, layer="other"), "demo", tmp_path, OPTIONS)
    assert first.hash == line.hash != layer.hash
    options = replace(OPTIONS, target="target")
    with pytest.raises(InvalidData):  # no target is a gene by its usual name
        prepare(open_raw(path), "demo", tmp_path, options)
    assert prepare(open_raw(path, genes="alt"), "demo", tmp_path, options).genes[0] == "G0x"
    assert prepare(open_raw(path), "demo", tmp_path, OPTIONS).hash == line.hash


def market(folder, screen):
    """The screen as an .mtx with the names beside it, and the table of its cells."""
    from scipy.io import mmwrite

    x, obs = screen.counts()
    mmwrite(folder / "matrix.mtx", x.T)
    (folder / "features.tsv").write_text("".join(f"ENSG\t{gene}\n" for gene in screen.GENES))
    (folder / "barcodes.tsv").write_text("".join(f"{cell}\n" for cell in obs.index))
    obs.to_csv(folder / "cells.csv")
    return folder / "matrix.mtx", folder / "cells.csv"


def test_other_names_beside_an_mtx_are_prepared_anew(line, tmp_path, screen):
    path, cells = market(tmp_path, screen)
    out = tmp_path / "out"
    assert list(prepare(open_raw(path, cells=cells), "demo", out, OPTIONS).genes) == list(
        line.genes
    )
    features = tmp_path / "features.tsv"
    features.write_text(features.read_text().replace("\tG59\n", "\tother\n"))
    again = prepare(open_raw(path, cells=cells), "demo", out, OPTIONS)
    assert "other" in again.genes and "G59" not in again.genes


def test_another_table_of_cells_is_prepared_anew(tmp_path, screen):
    path, cells = market(tmp_path, screen)
    out = tmp_path / "out"
    made = prepare(open_raw(path, cells=cells), "demo", out, OPTIONS)
    assert "G7" in made.names
    renamed = tmp_path / "renamed.csv"
    renamed.write_bytes(cells.read_bytes())
    written = made.path.stat().st_mtime_ns
    same = prepare(open_raw(path, cells=renamed), "demo", out, OPTIONS)
    assert same.path.stat().st_mtime_ns == written  # its content is the same
    cells.write_text(cells.read_text().replace(",G7,", ",,"))
    assert "G7" not in prepare(open_raw(path, cells=cells), "demo", out, OPTIONS).names


def test_what_an_earlier_version_prepared_is_opened_where_nothing_was_asked_for(raw):
    """Recipes had neither the layer nor the names of genes nor the table of cells."""
    earlier = digest(
        preparation.FORMAT,
        preparation.READING,
        [[raw.path.name, raw.path.stat().st_size, raw.path.stat().st_mtime_ns]],
        OPTIONS.to_dict(),
        "",
        "demo",
    )
    assert preparation.recipe_of(raw, "demo", OPTIONS, None) == earlier
