"""Two files become one task, or an error that says what is wrong with them as a pair."""

import os

import anndata
import numpy as np
import pandas as pd
import pytest

from cdnbench.datasets.cells.screens.own_screen import OwnScreen
from cdnbench.errors import InvalidTask, UnknownName
from cdnbench.pairs import read_pair, smallest_p
from cdnbench.prediction.options import Reading
from cdnbench.prediction.pair import finding_of
from cdnbench.registry import load_method

NAMES = ["ACTB", "GAPDH", "TP53", "MYC", "EGFR", "KRAS"]
TP53 = np.eye(6)[2]


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    control = rng.normal(5, 1, size=(120, 6))
    treated = rng.normal(5, 1, size=(90, 6)) + 3 * TP53
    return [pd.DataFrame(values, columns=NAMES) for values in (control, treated)]


def written(folder, frames, name="csv", **options):
    paths = [folder / f"control.{name}", folder / f"treated.{name}"]
    for frame, path in zip(frames, paths, strict=True):
        frame.to_csv(path, **({"index": False} | options))
    return paths


def first(pair, method="target-shift"):
    return finding_of(pair.task, load_method(method)).variables[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sep": ";"},
        {"sep": ";", "decimal": ","},
        {"sep": "\t", "decimal": ","},
        {"sep": " "},
        {"index": True},
        {"index": True, "index_label": "cell"},
    ],
)
def test_tables_of_every_layout_give_the_same_ranking(tmp_path, frames, options):
    frames[1].index += 1000
    frames[1] = frames[1][NAMES[::-1]]
    pair = read_pair(*written(tmp_path, frames, **options))
    assert pair.task.variables == tuple(NAMES) and first(pair) == "TP53"
    assert len(pair.notes) == (2 if options.get("index") else 0)


def test_decimal_commas_between_commas_are_refused(tmp_path, frames):
    paths = written(tmp_path, frames)
    for path in paths:
        header, *lines = path.read_text().splitlines()
        path.write_text("\n".join([header, *(line.replace(".", ",") for line in lines)]))
    with pytest.raises(InvalidTask, match=r"control.csv.*decimal commas.*semicolons or tabs"):
        read_pair(*paths)


def test_a_trailing_field_is_refused(tmp_path, frames):
    paths = written(tmp_path, frames)
    for path in paths:
        header, *lines = path.read_text().splitlines()
        path.write_text("\n".join([header, *(f"{line},{i}" for i, line in enumerate(lines))]))
    with pytest.raises(InvalidTask, match=r"control.csv: row 1.*7 fields.*6 names"):
        read_pair(*paths)


def test_npz_files_with_other_keys_and_orders(tmp_path, frames):
    paths = [tmp_path / "control.npz", tmp_path / "treated.npz"]
    np.savez(paths[0], X=frames[0].to_numpy(), genes=NAMES)
    np.savez(paths[1], data=frames[1][NAMES[::-1]].to_numpy(), names=NAMES[::-1])
    pair = read_pair(*paths)
    assert pair.task.variables == tuple(NAMES) and first(pair) == "TP53"
    np.savez(paths[1], data=frames[1][NAMES[::-1]].to_numpy())
    with pytest.raises(InvalidTask, match="'v0', .*treated.npz holds no names"):
        read_pair(*paths)


# --- variables in rows


def test_variables_in_rows(tmp_path, frames):
    turned = [frame.iloc[:80].T for frame in frames]
    for columns in (range(80), [f"s{i}" for i in range(80)]):
        for frame in turned:
            frame.columns = list(columns)
        paths = written(tmp_path, turned, "tsv", sep="\t", index=True, index_label="gene")
        with pytest.raises(InvalidTask, match="same names .'ACTB'.*use --transpose"):
            read_pair(*paths)
        pair = read_pair(*paths, transpose=True)
        assert pair.task.observational.shape == (80, 6) and first(pair) == "TP53"
        assert read_pair(*paths, as_is=True).task.n_variables == 80


def test_variables_in_rows_with_other_samples_are_recognised(tmp_path, frames):
    turned = [frames[0].T, frames[1].T.add_prefix("treated")]
    paths = written(tmp_path, turned, index=True, index_label="gene")
    with pytest.raises(InvalidTask, match="use --transpose if they are the variables"):
        read_pair(*paths)
    assert first(read_pair(*paths, transpose=True)) == "TP53"


def test_identifiers_that_are_numbers_may_be_the_variables(tmp_path, frames):
    """As those of Entrez. Numbers that only count the rows say nothing."""
    turned = [frame.iloc[:80].T.set_axis([7157, 4609, 3725, 1956, 3845, 207]) for frame in frames]
    for frame in turned:
        frame.columns = [f"s{i}" for i in range(80)]
    paths = written(tmp_path, turned, index=True, index_label="entrez")
    with pytest.raises(InvalidTask, match="same names .'7157'.*use --transpose"):
        read_pair(*paths)
    assert first(read_pair(*paths, transpose=True)) == "3725"
    frames[0] = frames[0].sample(frac=1, random_state=0)
    assert first(read_pair(*written(tmp_path, frames, index=True, index_label="cell"))) == "TP53"


def test_transposing_needs_names_in_the_rows(tmp_path, frames):
    with pytest.raises(InvalidTask, match="'5.*' repeat|names"):
        read_pair(*written(tmp_path, [frame.round(0) for frame in frames]), transpose=True)
    paths = [tmp_path / "control.npz", tmp_path / "treated.npz"]
    for path, frame in zip(paths, frames, strict=True):
        np.savez(path, X=frame.to_numpy().T, variables=NAMES)
    assert first(read_pair(*paths, transpose=True)) == "TP53"
    with pytest.raises(InvalidTask, match="6 names for 120 columns.*--transpose"):
        read_pair(*paths)


# --- columns that differ


def test_columns_that_differ_are_named_and_intersect_is_offered(tmp_path, frames):
    frames[1] = frames[1].rename(columns={"KRAS": "JUN"})
    paths = written(tmp_path, frames)
    with pytest.raises(
        InvalidTask,
        match=r"'KRAS' only in .*control.csv; 'JUN' only in .*treated.csv. "
        "--intersect compares the 5 that",
    ):
        read_pair(*paths)
    pair = read_pair(*paths, intersect=True)
    assert pair.task.variables == tuple(NAMES[:5]) and first(pair) == "TP53"
    assert any("'KRAS' only in" in note and "5 variables" in note for note in pair.notes)


def test_nothing_in_common_is_refused_with_intersect_too(tmp_path, frames):
    paths = written(tmp_path, [frames[0], frames[1].add_prefix("x")])
    with pytest.raises(InvalidTask, match="none in common"):
        read_pair(*paths, intersect=True)


# --- the same samples, other values, few rows


def test_the_same_file_twice_is_refused(tmp_path, frames):
    control, treated = written(tmp_path, frames)
    os.link(control, tmp_path / "link.csv")
    for path in (control, tmp_path / "link.csv"):
        with pytest.raises(InvalidTask, match="are the same file"):
            read_pair(control, path)


def test_the_same_samples_are_refused_in_any_order_and_format(tmp_path, frames):
    control, treated = written(tmp_path, frames)
    frames[0][::-1].to_csv(treated, index=False)
    with pytest.raises(InvalidTask, match="hold the same samples.*--as-is"):
        read_pair(control, treated)
    frames[0][NAMES[::-1]].astype("float32").to_parquet(tmp_path / "treated.parquet", index=False)
    with pytest.raises(InvalidTask, match="hold the same samples"):
        read_pair(control, tmp_path / "treated.parquet")
    assert read_pair(control, treated, as_is=True).task.n_variables == 6


def test_perturbed_rows_among_the_controls(tmp_path, frames):
    control, treated = written(tmp_path, [pd.concat(frames), frames[1]])
    with pytest.raises(InvalidTask, match="Every row of .*treated.csv is also in"):
        read_pair(control, treated)
    frames[0].iloc[:3] = frames[1].iloc[:3]
    pair = read_pair(*written(tmp_path, frames))
    assert any("3 rows of" in note for note in pair.notes)


def test_equal_patterns_of_discrete_values_are_no_copies(tmp_path):
    rng = np.random.default_rng(0)
    frames = [
        pd.DataFrame((rng.random((200, 3)) < p).astype(int), columns=list("abc"))
        for p in (0.5, [0.5, 0.9, 0.5])
    ]
    pair = read_pair(*written(tmp_path, frames))
    assert first(pair) == "b" and not pair.notes


def test_counts_against_normalised_counts_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    counts = [pd.DataFrame(rng.poisson(20, size=(60, 6)), columns=NAMES) for _ in range(2)]
    logs = np.log1p(1e4 * counts[1].div(counts[1].sum(axis=1), axis=0))
    paths = written(tmp_path, [counts[0], logs])
    with pytest.raises(InvalidTask, match="different kinds of values: whole numbers.*--as-is"):
        read_pair(*paths)
    assert read_pair(*paths, as_is=True).task.n_variables == 6
    pair = read_pair(*written(tmp_path, counts))
    assert any("whole numbers of 6 variables" in note for note in pair.notes)


def counted(folder, factor=1.0, n=300):
    """Two .h5ad and one .csv of both: gene 7 falls, and treated rows were sequenced deeper."""
    rng = np.random.default_rng(0)
    mean = rng.lognormal(1, 1, size=n)
    fallen = np.where(np.arange(n) == 7, 0.1, 1) * mean
    depth = [rng.lognormal(0, 0.3, size=(rows, 1)) for rows in (60, 40)]
    counts = [
        rng.poisson(depth[0] * mean).astype(float),
        rng.poisson(3 * depth[1] * fallen) * factor,
    ]
    counts[0] = counts[0] * factor
    names = [f"g{i}" for i in range(n)]
    paths = [folder / "control.h5ad", folder / "treated.h5ad"]
    for part, path in zip(counts, paths, strict=True):
        anndata.AnnData(part, var=pd.DataFrame(index=names)).write_h5ad(path)
    return counts, names, paths


@pytest.mark.parametrize("factor", [1.0, 1.017])
def test_counts_of_two_files_are_normalised_as_those_of_one(tmp_path, factor):
    """Whole counts, and estimated ones with fractions."""
    counts, names, paths = counted(tmp_path, factor)
    pair = read_pair(*paths)
    assert first(pair) == "g7"
    assert any("is taken of all rows alike" in note for note in pair.notes)
    frame = pd.DataFrame(np.concatenate(counts), columns=names)
    obs = pd.DataFrame({"drug": ["no"] * 60 + ["yes"] * 40}, index=map(str, range(100)))
    both = anndata.AnnData(frame.to_numpy(), obs=obs, var=pd.DataFrame(index=names))
    screen = OwnScreen(both, Reading(perturbation="drug", control="no"))
    (block,) = screen.blocks()
    block.gather([0])
    task = block.task(0, np.arange(len(names)))
    np.testing.assert_array_equal(pair.task.observational, task.observational)
    np.testing.assert_array_equal(pair.task.regimes[0], task.regimes[0])
    as_they_are = read_pair(*paths, as_is=True).task
    np.testing.assert_allclose(as_they_are.observational, counts[0], rtol=1e-6)


def test_features_that_are_no_genes_are_left_out(tmp_path):
    counts, names, paths = counted(tmp_path)
    types = ["Gene Expression"] * 299 + ["CRISPR Guide Capture"]
    var = pd.DataFrame({"feature_types": types}, index=names)
    counts[1][:, -1] += 100
    for part, path in zip(counts, paths, strict=True):
        anndata.AnnData(part, var=var).write_h5ad(path)
    pair = read_pair(*paths)
    assert pair.task.variables == tuple(names[:-1]) and first(pair) == "g7"
    words = "1 features of type CRISPR Guide Capture are no genes and were left out"
    assert sum(words in note for note in pair.notes) == 2


def test_rows_without_counts_are_left_out(tmp_path):
    counts, names, paths = counted(tmp_path)
    counts[1][3] = 0
    anndata.AnnData(counts[1], var=pd.DataFrame(index=names)).write_h5ad(paths[1])
    pair = read_pair(*paths)
    assert len(pair.task.regimes[0]) == 39
    assert any("1 rows without any count are left out" in note for note in pair.notes)
    anndata.AnnData(0 * counts[1], var=pd.DataFrame(index=names)).write_h5ad(paths[1])
    with pytest.raises(InvalidTask, match="treated.h5ad holds nothing but zeros"):
        read_pair(*paths)


def test_fractions_of_a_wide_table_stay_and_their_totals_are_said(tmp_path):
    counts, names, _ = counted(tmp_path, 1.017)
    pair = read_pair(*written(tmp_path, [pd.DataFrame(c, columns=names) for c in counts]))
    np.testing.assert_allclose(pair.task.observational, counts[0], rtol=1e-6)
    assert any("if they are estimated counts" in note for note in pair.notes)


@pytest.mark.parametrize(
    "one, other, words",
    [
        (np.log1p, lambda x: np.log1p(100 * x), "10,000 per row.*1,000,000 per row"),
        (np.log1p, lambda x: np.log2(1 + x), r"log\(1 \+ value\).*log2\(1 \+ value\)"),
        (np.log1p, lambda x: np.log1p(np.log1p(x)), r"log\(1 \+ log"),
        (lambda x: x, lambda x: 100 * x, "add up to 10,000 per row.*add up to 1,000,000"),
        (
            np.log1p,
            lambda x: np.log1p(x * np.linspace(1, 2, len(x))[:, None]),
            "no such total",
        ),
    ],
)
def test_two_files_that_were_normalised_otherwise_are_refused(tmp_path, one, other, words):
    counts, names, _ = counted(tmp_path)
    shares = [1e4 * c / c.sum(axis=1, keepdims=True) for c in counts]
    frames = [pd.DataFrame(x, columns=names) for x in (one(shares[0]), other(shares[1]))]
    with pytest.raises(InvalidTask, match=f"not normalised alike.*{words}.*--as-is"):
        read_pair(*written(tmp_path, frames))
    assert read_pair(*written(tmp_path, frames), as_is=True).task.n_variables == 300
    alike = [pd.DataFrame(one(x), columns=names) for x in shares]
    assert first(read_pair(*written(tmp_path, alike))) == "g7"


def test_logarithms_of_counts_to_other_bases_are_refused(tmp_path):
    """They have no common total, but each comes from whole numbers."""
    rng = np.random.default_rng(0)
    counts = [rng.poisson(np.arange(10, 70, 10), size=(rows, 6)) for rows in (60, 40)]
    logs = [np.log1p(counts[0]), np.log2(1 + counts[1])]
    paths = written(tmp_path, [pd.DataFrame(x, columns=NAMES) for x in logs])
    with pytest.raises(InvalidTask, match=r"log\(1 \+ value\) of counts.*log2.* of counts"):
        read_pair(*paths)
    logs = [np.log1p(x) for x in counts]
    read_pair(*written(tmp_path, [pd.DataFrame(x, columns=NAMES) for x in logs]))


def test_a_file_with_a_part_of_the_genes_may_have_no_common_total(tmp_path):
    counts, names, _ = counted(tmp_path)
    logs = [np.log1p(1e4 * c / c.sum(axis=1, keepdims=True)) for c in counts]
    frames = [pd.DataFrame(x, columns=names) for x in logs]
    paths = written(tmp_path, [frames[0], frames[1].iloc[:, :50]])
    assert first(read_pair(*paths, intersect=True)) == "g7"


def test_a_handful_of_rows_is_said(tmp_path, frames):
    pair = read_pair(*written(tmp_path, [frames[0], frames[1].iloc[:2]]))
    assert any("treated.csv has 2" in note and "uncertain" in note for note in pair.notes)


def test_control_against_control_is_said_and_an_effect_is_not(tmp_path, frames):
    words = "more than chance explains"
    halves = [frames[0].iloc[:60], frames[0].iloc[60:]]
    assert any(words in note for note in read_pair(*written(tmp_path, halves)).notes)
    assert read_pair(*written(tmp_path, frames)).notes == ()
    wider = [frames[0], 5 + (frames[0].sample(frac=1, random_state=1) - 5) * (1 + 2 * TP53)]
    wider[1] += np.random.default_rng(1).normal(0, 1e-3, size=wider[1].shape)
    assert not any(words in note for note in read_pair(*written(tmp_path, wider)).notes)


def test_few_false_words_on_controls_against_controls():
    """The corrected p-value holds its level: 20 of 200 pairs would be far too many at 5 %."""
    rng = np.random.default_rng(0)
    p = [smallest_p(rng.normal(size=(60, 6)), rng.normal(size=(60, 6))) for _ in range(200)]
    assert np.mean(np.array(p) <= 0.05) < 0.1


# --- columns that describe the samples


def test_descriptions_of_samples_are_said_and_can_be_left_out(tmp_path, frames):
    told = [f.assign(Batch=range(len(f)), amount=10.0 * i) for i, f in enumerate(frames)]
    pair = read_pair(*written(tmp_path, told))
    (note,) = (note for note in pair.notes if "--not-variables" in note)
    assert "'Batch', 'amount'" in note and "--not-variables Batch,amount" in note
    pair = read_pair(*written(tmp_path, told), not_variables="Batch, amount")
    assert pair.task.variables == tuple(NAMES) and not pair.notes
    told[1] = told[1].drop(columns="amount")
    paths = written(tmp_path, told)
    assert read_pair(*paths, not_variables="Batch,amount").task.variables == tuple(NAMES)
    with pytest.raises(UnknownName, match="'amounts'. Did you mean amount"):
        read_pair(*paths, not_variables="Batch,amounts")
    with pytest.raises(InvalidTask, match="no variable is left"):
        read_pair(*paths, not_variables=",".join(told[0]))


def test_an_index_that_was_written_and_shuffled_does_not_rank_first(tmp_path, frames):
    """As where one table was split into two files, and the index of either one was kept."""
    frames[1].index += len(frames[0])
    shuffled = [f.sample(frac=1, random_state=0) for f in frames]
    for place in (0, 6):
        told = [f.copy() for f in shuffled]
        for table in told:
            table.insert(place, "Unnamed: 0", table.index)
        pair = read_pair(*written(tmp_path, told))
        assert pair.task.variables == tuple(NAMES) and first(pair) == "TP53"
        assert sum("Unnamed: 0" in note for note in pair.notes) == 2
        assert read_pair(*written(tmp_path, told), not_variables="Unnamed: 0")


@pytest.mark.parametrize("name", ["Sample", "row", "counter"])
def test_numbers_of_rows_are_said(tmp_path, frames, name):
    frames[1].index += 1000 if name == "row" else 120
    told = [f.assign(**{name: f.index}).sample(frac=1, random_state=0) for f in frames]
    (note,) = (n for n in read_pair(*written(tmp_path, told)).notes if "--not-variables" in n)
    assert note.startswith(repr(name)) and f"--not-variables {name}" in note


# --- what float32 cannot hold


@pytest.mark.parametrize("offset", [0.0, 1e9, -3e9])
def test_small_differences_between_large_values_are_kept(tmp_path, frames, offset):
    plain = read_pair(*written(tmp_path, frames))
    moved = read_pair(*written(tmp_path, [frame + offset * TP53 for frame in frames]))
    method = load_method("effect-size")
    np.testing.assert_allclose(
        method.predict_targets(moved.task), method.predict_targets(plain.task), rtol=1e-3
    )
    assert any("too small for float32" in note for note in moved.notes) == bool(offset)


def test_differences_that_centring_cannot_save_are_refused(tmp_path, frames):
    paths = written(tmp_path, [frame * (1 - TP53 + 1e-50 * TP53) for frame in frames])
    with pytest.raises(InvalidTask, match="'TP53'.*Multiply"):
        read_pair(*paths)


def test_large_values_are_no_logarithms_whose_total_could_be_taken(tmp_path):
    """Log2 intensities of proteins, one of which is zero in the treated samples."""
    rng = np.random.default_rng(0)
    sides = [np.round(rng.normal(25, 2, size=(rows, 60)), 2) for rows in (30, 20)]
    sides[1][:, 7] = 0
    names = [f"p{i}" for i in range(60)]
    pair = read_pair(*written(tmp_path, [pd.DataFrame(x, columns=names) for x in sides]))
    assert first(pair) == "p7"


def test_a_large_column_is_no_total(tmp_path):
    """A temperature beside five small variables, which the intervention raises."""
    rng = np.random.default_rng(0)
    sides = [rng.uniform(0.1, 0.9, size=(rows, 6)) for rows in (60, 40)]
    for side, kelvin in zip(sides, (310, 320), strict=True):
        side[:, 2] = rng.normal(kelvin, 0.15, size=len(side))
    pair = read_pair(*written(tmp_path, [pd.DataFrame(x, columns=NAMES) for x in sides]))
    assert first(pair) == NAMES[2]


def test_whole_intensities_are_no_counts(tmp_path):
    """One dominant protein falls. Shares of the total would raise all others."""
    rng = np.random.default_rng(0)
    sides = [np.round(rng.lognormal(14, 0.1, size=(rows, 150))) for rows in (30, 20)]
    for side, factor in zip(sides, (400, 100), strict=True):
        side[:, 7] *= factor
    names = [f"p{i}" for i in range(150)]
    pair = read_pair(*written(tmp_path, [pd.DataFrame(x, columns=names) for x in sides]))
    assert any("as intensities are" in note for note in pair.notes)
    assert pair.task.regimes[0][:, 7].mean() > 1e6 and first(pair) == "p7"
