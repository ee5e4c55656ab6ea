"""Rank sums and fold changes against scipy's and, where it is installed, scanpy's."""

import subprocess
import sys
import time

import numpy as np
import pytest
from scipy import sparse, stats

from cdnbench.datasets.cells.screens.differential import Controls, RankSums


def cells(seed: int, n: int, n_genes: int = 30, density: float = 0.3) -> sparse.csr_matrix:
    """Few distinct values, so that many tie."""
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 5, (n, n_genes)) * (rng.random((n, n_genes)) < density)
    return sparse.csr_matrix(np.log1p(x / rng.choice([1.0, 2.0], n)[:, None]).astype(np.float32))


def streamed(controls, perturbed, labels, chunk):
    sums = RankSums(Controls.of(controls), labels.max() + 1)
    for low in range(0, len(labels), chunk):
        sums.add(perturbed[low : low + chunk], labels[low : low + chunk])
    return sums


@pytest.mark.parametrize("chunk", [7, 1000])
def test_rank_sums(chunk):
    controls, perturbed = cells(0, 200), cells(1, 120, density=0.5)
    labels = np.random.default_rng(2).integers(0, 3, 120)
    sums = streamed(controls, perturbed, labels, chunk)
    for p in range(3):
        tests, mine = sums.tests(p), perturbed[labels == p].toarray()
        n1, n0 = len(mine), 200
        for g in range(30):
            u = stats.mannwhitneyu(mine[:, g], controls[:, [g]].toarray().ravel()).statistic
            z = (u - n1 * n0 / 2) / np.sqrt(n1 * n0 * (n1 + n0 + 1) / 12)
            assert tests.score[g] == pytest.approx(z, abs=1e-9)
            assert tests.p[g] == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)
        np.testing.assert_allclose(tests.p_adjusted, stats.false_discovery_control(tests.p))
        mean1, mean0 = mine.mean(0, dtype=float), controls.toarray().mean(0, dtype=float)
        expected = np.log2((np.expm1(mean1) + 1e-9) / (np.expm1(mean0) + 1e-9))
        np.testing.assert_allclose(tests.log2_fold_change, expected, rtol=1e-9, atol=1e-9)


def test_fold_changes_rest_on_sums_of_double_precision():
    """A relative error of 1e-7 in the mean of a gene with large values is more than 1e-6 in its
    fold change."""
    rng = np.random.default_rng(0)
    controls, perturbed = (
        sparse.csr_matrix(rng.uniform(7, 9, (n, 20)).astype(np.float32)) for n in (20_000, 100)
    )
    mean1, mean0 = (x.toarray().mean(0, dtype=float) for x in (perturbed, controls))
    change = streamed(controls, perturbed, np.zeros(100, dtype=int), 100).tests(0).log2_fold_change
    np.testing.assert_allclose(change, np.log2(np.expm1(mean1) / np.expm1(mean0)), atol=1e-9)


def test_values_that_tie_with_many_controls_cost_no_more():
    def spent(distinct: int) -> float:
        rng = np.random.default_rng(0)
        controls, perturbed = (
            sparse.csr_matrix(rng.integers(1, distinct + 1, (20_000, 20)).astype(np.float32))
            for _ in range(2)
        )
        sums, labels = RankSums(Controls.of(controls), 1), np.zeros(20_000, dtype=int)
        sums.add(perturbed[:1], labels[:1])  # compiles
        return min(seconds(lambda: sums.add(perturbed, labels)) for _ in range(3))

    assert spent(2) < 5 * spent(10**6)  # 100 times where each tie is looked at


def seconds(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def test_what_is_stored_as_zero_counts_as_zero():
    controls, perturbed, labels = cells(0, 50), cells(1, 40), np.zeros(40, dtype=int)
    padded = perturbed.tocoo()
    padded = sparse.csr_matrix(
        (
            np.append(padded.data, 0.0).astype(np.float32),
            (np.append(padded.row, 0), np.append(padded.col, 0)),
        ),
        shape=perturbed.shape,
    )
    padded.data[padded.data == padded.data.max()] = 0
    clean = padded.copy()
    clean.eliminate_zeros()
    one, other = (streamed(controls, x, labels, 100).tests(0) for x in (padded, clean))
    np.testing.assert_array_equal(one.score, other.score)


def test_a_gene_that_nobody_expresses_says_nothing():
    silent = sparse.diags_array(np.arange(30) != 3, dtype=np.float32)
    controls, perturbed = (sparse.csr_matrix(x @ silent) for x in (cells(0, 50), cells(1, 40)))
    tests = streamed(controls, perturbed, np.zeros(40, dtype=int), 100).tests(0)
    assert tests.score[3] == 0 and tests.p[3] == 1 and tests.log2_fold_change[3] == 0


def test_errors():
    with pytest.raises(ValueError, match="no control cells"):
        Controls.of(cells(0, 5)[:0])
    with pytest.raises(ValueError, match="negative"):
        Controls.of(-cells(0, 5))
    with pytest.raises(ValueError, match="no cells of perturbation 1"):
        RankSums(Controls.of(cells(0, 5)), 2).tests(1)


def test_scanpy_says_the_same(papalexi):
    """On real cells, to 1e-6."""
    scanpy = pytest.importorskip("scanpy")
    cells, labels = papalexi
    controls, names = labels == "non-targeting", sorted(set(labels) - {"non-targeting"})[:5]
    kept = controls | np.isin(labels, names)
    adata = scanpy.AnnData(cells[kept])
    adata.obs["group"] = labels[kept]
    scanpy.tl.rank_genes_groups(
        adata,
        "group",
        groups=names,
        reference="non-targeting",
        method="wilcoxon",
        tie_correct=False,
    )
    sums = RankSums(Controls.of(cells[controls]), len(names))
    for p, name in enumerate(names):
        mine = labels == name
        sums.add(cells[mine], np.full(mine.sum(), p))
        theirs = (
            scanpy.get.rank_genes_groups_df(adata, name).set_index("names").loc[adata.var_names]
        )
        tests = sums.tests(p)
        np.testing.assert_allclose(tests.score, theirs.scores, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(tests.p_adjusted, theirs.pvals_adj, rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(
            tests.log2_fold_change, theirs.logfoldchanges, rtol=1e-6, atol=1e-6
        )


def test_it_leaves_the_number_of_openmp_threads_alone():
    """torch computes with as many threads as were asked for, also after a screen was prepared."""
    code = """
import numpy as np, torch
from scipy import sparse
from cdnbench.datasets.cells.screens.differential import Controls, RankSums
torch.set_num_threads(3)
before = torch.get_num_threads()
cells = sparse.csr_matrix(np.eye(4, dtype=np.float32))
RankSums(Controls.of(cells), 1).add(cells, np.zeros(4, dtype=int))
after = torch.get_num_threads()
assert before == after == 3, (before, after)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
