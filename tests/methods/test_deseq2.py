"""DESeq2 against PyDESeq2's own table, what it refuses, and what it says where the package is
missing."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.methods.deseq2 import DESeq2
from cdnbench.task import Task

MOVED, SILENT, OUTLIER = 3, 7, 11


def counts_task(n_rows=(4, 3), n_genes=120, seed=0) -> Task:
    """Negative binomial counts of samples of different depths; one gene falls to a fifth, one is
    zero everywhere."""
    rng = np.random.default_rng(seed)
    level = np.exp(rng.normal(5, 1, n_genes))
    depth = rng.uniform(0.5, 2, sum(n_rows))
    mean = depth[:, None] * level
    mean[n_rows[0] :, MOVED] /= 5
    counts = rng.negative_binomial(10, 10 / (10 + mean))
    counts[:, SILENT] = 0
    return Task(
        name="bulk",
        variables=[f"g{i}" for i in range(n_genes)],
        observational=counts[: n_rows[0]],
        regimes=[counts[n_rows[0] :]],
    )


def test_says_that_the_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydeseq2", None)
    with pytest.raises(CannotRun, match=r"pip install 'cdnbench\[deseq2\]'"):
        DESeq2().predict_targets(counts_task())


@pytest.mark.parametrize("value", [-1.0, 0.5])
def test_what_is_no_count_is_named(value):
    task = counts_task()
    after = np.array(task.regimes[0])
    after[1, 5] = value
    with pytest.raises(CannotRun, match=f"perturbed samples hold {value:g} for 'g5'"):
        DESeq2().predict_targets(replace(task, regimes=[after]))


def test_a_size_factor_that_does_not_exist_is_refused():
    with pytest.raises(InvalidParameter, match="ratio or poscounts; got 'median'"):
        DESeq2(size_factors="median")  # type: ignore[arg-type]


def test_scores_are_the_packages_p_values():
    """The order of variables changes sums of floats, and nothing else."""
    pytest.importorskip("pydeseq2")
    task = counts_task(n_rows=(5, 5))
    after = np.array(task.regimes[0])
    after[0, OUTLIER] *= 300
    task = replace(task, regimes=[after])
    scores = DESeq2().predict_targets(task)[0]
    p = p_values_of_the_package(task)
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(p))
    assert set(np.flatnonzero(np.isnan(scores))) == {SILENT, OUTLIER}
    np.testing.assert_allclose(2 * norm.sf(scores), p, rtol=1e-6)
    assert not np.isnan(DESeq2(cooks=False).predict_targets(task)[0, OUTLIER])


def p_values_of_the_package(task: Task) -> np.ndarray:
    """(N,) p-values by the steps of PyDESeq2's own tutorial."""
    import pandas as pd
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.ds import DeseqStats

    counts = np.concatenate([task.observational, *task.regimes]).astype(int)
    names = [f"s{i}" for i in range(len(counts))]
    condition = ["control"] * len(task.observational) + ["treated"] * len(task.regimes[0])
    data = DeseqDataSet(
        counts=pd.DataFrame(counts, index=names, columns=list(task.variables)),
        metadata=pd.DataFrame({"condition": condition}, index=names),
        design="~condition",
        n_cpus=1,
        quiet=True,
    )
    data.deseq2()
    test = DeseqStats(data, contrast=["condition", "treated", "control"], n_cpus=1, quiet=True)
    test.summary()
    return test.results_df["pvalue"].to_numpy()


def test_the_gene_that_fell_is_first_whatever_the_depths():
    pytest.importorskip("pydeseq2")
    for size_factors in ("ratio", "poscounts"):
        scores = DESeq2(size_factors=size_factors).predict_targets(counts_task())
        assert np.nanargmax(scores) == MOVED


def test_depths_that_cannot_be_estimated():
    pytest.importorskip("pydeseq2")
    task = counts_task()
    before = np.array(task.observational)
    before[0] = 0
    with pytest.raises(CannotRun, match="a sample has no counts at all"):
        DESeq2().predict_targets(replace(task, observational=before))
    before = np.array(task.observational)
    before[0, ::2] = before[1, 1::2] = 0
    sparse = replace(task, observational=before)
    with pytest.raises(CannotRun, match="size_factors=poscounts"):
        DESeq2().predict_targets(sparse)
    assert np.isfinite(DESeq2(size_factors="poscounts").predict_targets(sparse)).any()


@pytest.mark.slow
@pytest.mark.data
def test_place_of_pasilla():
    """RNAi of pasilla in Drosophila cells, 4 samples against 3: DESeq2 puts it 33rd of 9,921."""
    pytest.importorskip("pydeseq2")
    import pandas as pd

    from cdnbench.datasets.real.pasilla import FILE, MIN_READS, TARGET

    folder = os.environ.get("CDNBENCH_DATA")
    if not folder or not (Path(folder) / FILE.path).exists():
        pytest.skip("needs the data folder named by CDNBENCH_DATA")
    table = pd.read_csv(Path(folder) / FILE.path, sep="\t", index_col=0)
    table = table[table.sum(axis=1) >= MIN_READS].T
    is_control = table.index.str.startswith("un")
    task = Task(name="pasilla", observational=table[is_control], regimes=[table[~is_control]])
    scores = DESeq2().predict_targets(task)[0]
    own = scores[list(task.variables).index(TARGET)]
    assert 1 + (scores > own).sum() == 33
