"""In which values the rows of a user's own file are compared, and which values are refused."""

import anndata
import numpy as np
import pytest
from own_screens import CONTROL, LABEL, continuous, labelled, notes_of, opened, tasks_of
from scipy import sparse

from cdnbench.errors import BenchError, InvalidData, InvalidParameter
from cdnbench.prediction.notes import notes_on_rows


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


def shares(small):
    counts = small.X.toarray()
    return 1e4 * counts / counts.sum(axis=1, keepdims=True)


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
def test_sides_that_were_normalised_otherwise_are_refused(one, other, words, small):
    control = (small.obs[LABEL].astype(str) == CONTROL).to_numpy()[:, None]
    mixed = np.where(control, one(shares(small)), other(shares(small)))
    odd = anndata.AnnData(sparse.csr_matrix(mixed), obs=small.obs, var=small.var)
    with pytest.raises(InvalidData, match=f"its controls were not normalised alike: .*{words}"):
        opened(odd)
    assert "not normalised alike" in notes_of(opened(odd, as_is=True))


def test_one_broken_row_is_no_other_normalisation(small):
    values = np.log1p(shares(small))
    values[np.flatnonzero(small.obs[LABEL].astype(str) == "G3")[0]] *= 1.5
    assert opened(anndata.AnnData(values, obs=small.obs, var=small.var)).kind == "log"


def with_other_rows(small, values):
    """And as many rows of these values, which are not asked for: of another assay."""
    other = anndata.AnnData(sparse.csr_matrix(values), obs=small.obs.copy(), var=small.var)
    other.obs["total"] = 0.0
    return anndata.concat([small, other], label="assay", keys=["rna", "other"], index_unique="-")


@pytest.mark.parametrize("at_once", [17, 10_000])
def test_rows_that_are_not_asked_for_decide_nothing(small, at_once, monkeypatch):
    monkeypatch.setattr("cdnbench.datasets.cells.screens.opening.CHUNK", at_once)
    wanted = tasks_of(opened(small))["G3"]
    rng = np.random.default_rng(0)
    one_below, infinite = np.zeros(small.shape), small.X.toarray()
    one_below[3, 2], infinite[5] = -1, np.nan
    for values in (rng.normal(size=small.shape), one_below, infinite, 0.5 * small.X.toarray()):
        screen = opened(with_other_rows(small, values), where="assay == 'rna'")
        found = tasks_of(screen)["G3"]
        np.testing.assert_allclose(found.regimes[0], wanted.regimes[0])
        np.testing.assert_allclose(found.observational, wanted.observational)
        assert "values are counts" in notes_of(screen)
        assert "--total total looks like it" in notes_of(screen)


def test_a_row_that_is_asked_for_and_not_finite_is_named(small):
    values = small.X.toarray()
    values[[4, 9], 3] = np.nan
    both = anndata.AnnData(values, obs=small.obs.copy(), var=small.var)
    both.obs["place"] = np.arange(small.n_obs)
    both.obs[LABEL] = both.obs[LABEL].astype(object).fillna(CONTROL)
    for where, row in (("", 5), ("place > 4", 10)):
        with pytest.raises(InvalidData, match=f"row {row} holds values that are not finite"):
            opened(both, where=where)
    assert opened(both, where="place > 9").kind == "log"


def test_estimated_counts_are_divided_by_their_totals(small):
    zeros = sparse.csr_matrix((small.n_obs, 60))
    var = small.var.reindex([*small.var_names, *(f"other{i}" for i in range(60))])
    counts = anndata.AnnData(sparse.hstack([small.X, zeros]).tocsr(), obs=small.obs, var=var)
    fractions = 1.017 * small.X.toarray()
    screen = opened(anndata.AnnData(1.017 * counts.X, obs=small.obs, var=var))
    whole = tasks_of(opened(counts))["G3"]
    np.testing.assert_allclose(tasks_of(screen)["G3"].regimes[0], whole.regimes[0], rtol=1e-5)
    assert "as estimated counts do" in notes_of(screen)
    few = anndata.AnnData(fractions[:, :30], obs=small.obs, var=small.var.iloc[:30])
    rows = (small.obs[LABEL].astype(str) == "G3").to_numpy()
    found = tasks_of(opened(few))["G3"].regimes[0]
    np.testing.assert_allclose(found, np.log1p(fractions[rows, :30]), rtol=1e-5)


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


def in_batch(small, one, other):
    """Some rows of one matrix and the others of another one, on both sides alike."""
    first = (small.obs["batch"] == 1).to_numpy()
    return anndata.AnnData(np.where(first[:, None], one, other), obs=small.obs, var=small.var)


@pytest.mark.parametrize("factor", [1, 20])
def test_counts_and_logarithms_in_one_file_are_refused(small, factor):
    """Whether the counts are small enough for logarithms or not."""
    counts = factor * small.X.toarray()
    for logs in (np.log1p(shares(small)), np.log1p(counts + 0.01), np.log1p(shares(small)) - 5.1):
        mixed = in_batch(small, counts, logs)
        words = "rows are whole numbers, as counts are .*first is row.*as logarithms are"
        with pytest.raises(InvalidData, match=f"({words}|not normalised alike).*--as-is"):
            opened(mixed)
        with pytest.raises(InvalidData, match=r"'1.0' are whole.*'0.0' are small.*--group batch"):
            opened(mixed, group="batch")
        assert "'0.0' are small" in notes_of(opened(mixed, group="batch", as_is=True))
        assert opened(mixed, where="batch == 1").kind == "log"


def test_estimated_counts_with_rows_of_whole_numbers_are_one_kind(small):
    """Rows of whole numbers, as those of few reads have, or rows with few values, are no sign of
    two kinds."""
    counts = small.X.toarray()
    some = np.random.default_rng(0).random(counts.shape) < 0.3
    estimated, deep = counts + 0.25 * some * (counts > 1), 40 * counts + 0.3 * (counts > 0)
    little, small_logs = counts.copy(), np.log1p(shares(small))
    little[:, 15:] = 0
    small_logs[:, 15:] = 0
    for one, other in ((counts, estimated), (40 * counts, deep), (little, small_logs)):
        mixed = in_batch(small, one, other)
        assert "as logarithms are (" not in notes_of(opened(mixed, as_is=True))
        assert "as logarithms are (" not in notes_of(opened(mixed, group="batch", as_is=True))
    opened(in_batch(small, counts, estimated))
    opened(in_batch(small, 40 * counts, deep))


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


def test_perturbations_that_are_called_like_controls_are_said():
    values = np.random.default_rng(0).normal(size=(30, 6))
    screen = opened(labelled(values, [CONTROL] * 10 + ["vehicle"] * 10 + ["a"] * 10))
    assert "'vehicle' (10 rows): called like controls" in notes_of(screen)
    assert f"--control '{CONTROL},vehicle'" in notes_of(screen)


def test_perturbations_that_differ_in_capitals_alone_are_said():
    values = np.random.default_rng(0).normal(size=(30, 6))
    labels = [CONTROL] * 10 + ["G17", "g17", "a", "b", "B"] * 4
    screen = opened(labelled(values, labels))
    assert "'B' and 'b', 'G17' and 'g17' differ in capital letters alone" in notes_of(screen)
    assert {c.perturbation for c in screen.comparisons} == {"G17", "g17", "a", "b", "B"}
    names = ["G17", "g17", "b", "c", "d", "e"]
    notes = notes_of(opened(labelled(values, labels, names)))
    assert "'B' and 'b' differ" in notes and "'g17'" not in notes
    assert "differ in capital" not in notes_of(opened(continuous()))


@pytest.mark.parametrize("bad", [np.inf, np.nan, -5.0])
def test_totals_that_are_none_are_refused(bad, small):
    screen = small.copy()
    screen.obs["total"] = screen.obs["total"].astype(float)
    screen.obs.loc[screen.obs_names[2], "total"] = bad
    with pytest.raises(InvalidData, match="1 cells have no total in 'total', the first in row 3"):
        opened(screen, total="total")
    assert opened(screen, total="total", where="0 < total < 1e15").kind == "log"


def test_totals_of_values_that_are_no_counts_are_refused(small):
    logs = lognorm(small)
    with pytest.raises(InvalidParameter, match="look like logarithms of counts. Leave it out"):
        opened(logs, total="total")
    with pytest.raises(InvalidParameter, match="--as-is leaves every value.*Leave one out"):
        opened(small, total="total", as_is=True)


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
    with pytest.raises(BenchError, match="'v3' holds text: 'ND' in row 6"):
        opened(tmp_path / "b.csv")
