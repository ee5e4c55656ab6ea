"""Candidates ranked by profiles that a forward model predicted elsewhere."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from cdnbench import load_method
from cdnbench.datasets.cells.suites import PerturbSeq
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.methods.profiles.profiles import shift
from cdnbench.runners.plan import make_plan
from cdnbench.task import Task

GENES = list("ABCDEFGH")
CHANGES = np.random.default_rng(1).normal(size=(4, 8))  # of knocking down A, B, C, D


def task(target: int = 1, genes=GENES, **changes) -> Task:
    rng = np.random.default_rng(target)
    before = rng.normal(5, 0.1, (200, len(genes)))
    after = rng.normal(5, 0.1, (150, len(genes))) + CHANGES[target, : len(genes)]
    fields = {"variables": genes, "symbols": genes, "observational": before, "regimes": [after]}
    return Task(name="t", **{**fields, **changes})


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(CHANGES, index=list("ABCD"), columns=GENES)


def load(path, **parameters):
    return load_method("profiles", file=str(path), **parameters)


def write(frame: pd.DataFrame, path):
    if path.suffix == ".h5ad":
        anndata.AnnData(frame).write_h5ad(path)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("kind", ["h5ad", "csv", "tsv", "parquet"])
def test_scores_are_correlations_with_the_observed_shift(frame, kind, tmp_path):
    path = write(frame, tmp_path / f"predicted.{kind}")
    seen = task()
    scores = load(path).predict_targets(seen)[0]
    observed = shift(seen)[0]
    expected = [np.corrcoef(observed, change)[0, 1] for change in CHANGES]
    np.testing.assert_allclose(scores[:4], expected, rtol=1e-5)
    assert scores[:4].argmax() == 1 and np.isnan(scores[4:]).all()


def test_a_sparse_matrix_and_a_column_of_obs(frame, tmp_path):
    path = tmp_path / "predicted.h5ad"
    obs = pd.DataFrame({"perturbation": ["A+ctrl", "ctrl+B", "C", "D"]}, index=list("1234"))
    var = pd.DataFrame(index=GENES)
    anndata.AnnData(sparse.csr_matrix(CHANGES), obs=obs, var=var).write_h5ad(path)
    plain = load(write(frame, tmp_path / "plain.csv")).predict_targets(task())
    found = load(path, column="perturbation").predict_targets(task())
    np.testing.assert_allclose(found, plain, rtol=1e-9)
    with pytest.raises(InvalidParameter, match=r"no column 'gene'.*perturbation"):
        load(path, column="gene").predict_targets(task())


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_of_a_table(frame, kind, tmp_path):
    path = tmp_path / f"named.{kind}"
    named = frame.reset_index(drop=True).assign(knocked=list("ABCD"))
    named.to_parquet(path) if kind == "parquet" else named.to_csv(path, index=False)
    plain = load(write(frame, tmp_path / "plain.csv")).predict_targets(task())
    np.testing.assert_allclose(load(path, column="knocked").predict_targets(task()), plain)


def test_expression_is_compared_with_the_controls(frame, tmp_path):
    change = write(frame, tmp_path / "change.csv")
    seen = task()
    level = write(frame + seen.observational.mean(axis=0, dtype=float), tmp_path / "level.csv")
    np.testing.assert_allclose(
        load(level, holds="expression").predict_targets(seen),
        load(change).predict_targets(seen),
        rtol=1e-5,
    )
    with pytest.raises(InvalidParameter, match="change or expression"):
        load(change, holds="counts")


def test_only_common_genes_count(frame, tmp_path):
    other = frame[["H", "B", "A", "C"]].assign(Z=100.0)
    path = write(other, tmp_path / "some.csv")
    scores = load(path).predict_targets(task())[0]
    observed = shift(task())[0]
    np.testing.assert_allclose(
        scores[1], np.corrcoef(observed[[7, 1, 0, 2]], CHANGES[1, [7, 1, 0, 2]])[0, 1], rtol=1e-5
    )


def test_what_cannot_be_ranked_is_named(frame, tmp_path):
    path = write(frame, tmp_path / "predicted.csv")
    with pytest.raises(CannotRun, match="write profiles:file=FILE"):
        load_method("profiles").predict_targets(task())
    strangers = [f"X{i}" for i in range(8)]
    with pytest.raises(CannotRun, match="0 genes in common"):
        load(path).predict_targets(task(variables=strangers, symbols=strangers))
    rows = write(frame.set_axis(list("WXYZ")), tmp_path / "rows.csv")
    with pytest.raises(CannotRun, match=r"none of the 8 candidates.*W, X, Y"):
        load(rows).predict_targets(task())
    twice = write(frame.set_axis(list("ABBD")), tmp_path / "twice.csv")
    with pytest.raises(InvalidParameter, match="several rows for 'B'"):
        load(twice).predict_targets(task())
    nameless = tmp_path / "nameless.parquet"
    frame.reset_index(drop=True).to_parquet(nameless)
    with pytest.raises(InvalidParameter, match="does not name its rows"):
        load(nameless).predict_targets(task())


def test_the_content_of_the_file_is_part_of_the_key(frame, tmp_path):
    path = write(frame, tmp_path / "predicted.csv")
    key = load(path).key("task", 0)
    write(frame + 1, path)
    changed = load(path).key("task", 0)
    write(frame, path)
    assert key == load(path).key("task", 0) != changed
    with pytest.raises(InvalidParameter, match=r"no file .*gone\.csv"):
        load(tmp_path / "gone.csv").key("task", 0)


def test_each_line_has_its_file(frame, tmp_path):
    write(frame, tmp_path / "one.csv")
    write(-frame, tmp_path / "two.csv")
    method = load(tmp_path / "{line}.csv")
    one = method.predict_targets(task(metadata={"cell_line": "one"}))[0, :4]
    two = method.predict_targets(task(metadata={"cell_line": "two"}))[0, :4]
    np.testing.assert_allclose(one, load(tmp_path / "one.csv").predict_targets(task())[0, :4])
    np.testing.assert_allclose(one, -two)
    with pytest.raises(InvalidParameter, match=r"no file .*three\.csv"):
        method.predict_targets(task(metadata={"cell_line": "three"}))
    with pytest.raises(InvalidParameter, match="the task names none"):
        method.predict_targets(task())


def test_the_key_holds_the_content_of_every_file_that_fits(frame, tmp_path):
    method = load(tmp_path / "{line}-{line}.csv")
    with pytest.raises(InvalidParameter, match="no file fits"):
        method.weights_digest()
    write(frame, tmp_path / "one-one.csv")
    before = method.weights_digest()
    write(frame, tmp_path / "one-two.csv")
    assert method.weights_digest() == before
    write(-frame, tmp_path / "two-two.csv")
    both = method.weights_digest()
    (tmp_path / "two-two.csv").rename(tmp_path / "three-three.csv")
    assert len({before, both, method.weights_digest()}) == 3


@pytest.fixture(scope="module")
def screens(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("screens")
    PerturbSeq.small(folder)
    return str(folder)


def test_one_file_for_several_lines_is_refused_before_work_starts(frame, screens, tmp_path):
    lines = sorted({s.metadata["cell_line"] for s in PerturbSeq(data=screens).specs()})
    assert len(lines) > 1
    write(frame, tmp_path / f"{lines[0]}.csv")
    one = f"profiles:file={tmp_path / lines[0]}.csv"
    with pytest.raises(InvalidParameter, match=r"2 cell lines .*{line}"):
        make_plan("perturbseq", {"data": screens}, one)
    assert make_plan("perturbseq", {"data": screens, "cell_lines": lines[0]}, one).jobs
    each = f"profiles:file={tmp_path}/{{line}}.csv"
    with pytest.raises(InvalidParameter, match=rf"no file .*{lines[1]}\.csv"):
        make_plan("perturbseq", {"data": screens}, each)
    for line in lines[1:]:
        write(frame, tmp_path / f"{line}.csv")
    assert make_plan("perturbseq", {"data": screens}, each).jobs
