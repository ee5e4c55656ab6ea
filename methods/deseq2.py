"""DESeq2's Wald test on raw counts, by PyDESeq2: the usual test for bulk RNA-seq with a few
replicates.

M. I. Love, W. Huber, S. Anders 2014, Moderated estimation of fold change and dispersion for RNA-seq
data with DESeq2, Genome Biol. 15:550. Counts of a gene are negative binomial around a mean that is
the sample's size factor times the gene's level before or after. The dispersion of a gene is moved
towards the trend of all genes (section "Estimation of dispersions" there), which is what a few
replicates need. PyDESeq2 (Muzellec et al. 2023, Bioinformatics 39:btad547) is called unchanged,
once for each regime, with the design "~ condition". It is an optional extra:
pip install 'cdnbench[deseq2]'.

    score = |Wald statistic| = |log fold change| / (its standard error)

The statistic is standard normal if nothing changed, so the order is that of the p-values, and no
gene ties with another because its p-value is smaller than a float can hold.

A gene has no score (NaN) if all its counts are zero, or if DESeq2 leaves it without a p-value
because one sample decides it (Cook's distance; only with three rows or more on a side).

Parameters
    size_factors   how the depth of a sample is estimated: "ratio", DESeq2's default, is the median
                   ratio to the geometric mean over samples, from genes that no sample lacks;
                   "poscounts" also uses genes that are zero in some samples
    cooks          whether genes that one sample decides get NaN, as in DESeq2

Deviations from the reference: no batch and no other covariate can be given, neither adjusted
p-values nor shrunken fold changes are computed, and the search for a trend of the dispersion falls
back to their mean where PyDESeq2 does so. A task without a gene that all samples express is
refused with size_factors="ratio", where PyDESeq2 goes over to an iterative estimate.

Units: it takes counts and nothing else. Whole numbers from 0 on are taken for counts.

Speed: some 3 ms a gene on one core with 7 rows, more with more rows. For hundreds of single cells
use another test.

Reference: https://github.com/owkin/PyDESeq2, 0.5.4. Licence of the package: MIT; of this file: MIT.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.method import MethodInfo, Trial
from cdnbench.methods.statistics.control_scale import require_a_score
from cdnbench.relabelling import in_canonical_order
from cdnbench.task import Task

BEFORE, AFTER = "control", "treated"
"""The name that sorts first is the reference level of the design, as controls are by custom. With
the other level, iterations end elsewhere, and statistics differ in the third or fourth digit."""


def _timeout_s(sizes) -> float:
    # 3 ms a gene with 7 rows, 6 ms with 200; times 15
    return 180.0 + 0.05 * sizes.n_variables * sizes.n_regimes * (1 + sizes.n_samples / 100)


@dataclass(frozen=True)
class DESeq2:
    """Absolute Wald statistic of each gene."""

    size_factors: Literal["ratio", "poscounts"] = "ratio"
    cooks: bool = True

    info: ClassVar[MethodInfo] = MethodInfo(
        name="deseq2",
        summary="DESeq2's Wald test of each gene on raw counts, for bulk RNA-seq with a few "
        "replicates",
        citation="Love, Huber, Anders 2014, Moderated estimation of fold change and dispersion for "
        "RNA-seq data with DESeq2, Genome Biol. 15:550",
        licence="MIT",
        reference="https://github.com/owkin/PyDESeq2",
        depends_on_units=True,
        default=False,  # an optional package, and raw counts
        packages=("pydeseq2",),
        timeout_s=_timeout_s,
        min_samples=2,
        version="2",
        trial=Trial(counts=True),
    )

    def __post_init__(self) -> None:
        if self.size_factors not in (known := ("ratio", "poscounts")):
            raise InvalidParameter(
                f"deseq2: size_factors takes {' or '.join(known)}; got {self.size_factors!r}."
            )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores >= 0; NaN for genes that cannot be tested.

        Raises
        ------
        CannotRun: the package is missing, the values are not counts, a sample has no counts, no
        gene is expressed in all samples, or no gene can be tested.
        """
        _check_counts(task)
        try:
            import pydeseq2  # noqa: F401  # type: ignore[reportMissingImports]
        except ImportError:
            raise CannotRun(
                "the package pydeseq2 is not installed: pip install 'cdnbench[deseq2]'"
            ) from None
        return in_canonical_order(task, self._solve)[""]

    def _solve(self, task: Task) -> dict[str, np.ndarray]:
        before = task.observational.astype(np.int64)
        scores = [self._statistics(before, after.astype(np.int64)) for after in task.regimes]
        return {"": require_a_score(np.stack(scores))}

    def _statistics(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """(N,) |Wald statistics| of counts (M0, N) and (M, N)."""
        import pandas as pd
        from pydeseq2.dds import DeseqDataSet  # type: ignore[reportMissingImports]
        from pydeseq2.default_inference import DefaultInference  # type: ignore[reportMissingImports]
        from pydeseq2.ds import DeseqStats  # type: ignore[reportMissingImports]

        counts = np.concatenate([before, after])
        expressed = counts.any(axis=0)
        self._check_depths(counts[:, expressed])
        samples = [f"sample {i}" for i in range(len(counts))]
        conditions = [BEFORE] * len(before) + [AFTER] * len(after)
        inference = DefaultInference(n_cpus=1)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            data = DeseqDataSet(
                counts=pd.DataFrame(
                    counts[:, expressed],
                    index=samples,
                    columns=[str(i) for i in np.flatnonzero(expressed)],
                ),
                metadata=pd.DataFrame({"condition": conditions}, index=samples),
                design="~condition",
                size_factors_fit_type=self.size_factors,
                inference=inference,
                quiet=True,
            )
            data.deseq2()
            test = DeseqStats(
                data, contrast=["condition", AFTER, BEFORE], inference=inference, quiet=True
            )
            test.run_wald_test()
            statistics = test.statistics.to_numpy(dtype=np.float64, copy=True)
            if self.cooks:
                statistics[np.asarray(data.cooks_outlier(), dtype=bool)] = np.nan
        scores = np.full(counts.shape[1], np.nan)
        scores[expressed] = np.abs(statistics)
        return scores

    def _check_depths(self, counts: np.ndarray) -> None:
        """Raises
        ------
        CannotRun: the depth of a sample cannot be estimated from counts (M, N).
        """
        if not counts.size or not counts.any(axis=1).all():
            raise CannotRun("a sample has no counts at all, so its depth is unknown; leave it out")
        if self.size_factors == "ratio" and not (counts > 0).all(axis=0).any():
            raise CannotRun(
                "every gene has a zero in some sample, so depths have no reference; "
                "--method deseq2:size_factors=poscounts does without one"
            )


def _check_counts(task: Task) -> None:
    """Raises
    ------
    CannotRun: a value is not a whole number from 0 on; the message names the first.
    """
    for name, samples in [("control", task.observational)] + [
        ("perturbed", samples) for samples in task.regimes
    ]:
        wrong = (samples < 0) | (samples != np.floor(samples))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise CannotRun(
                "deseq2 needs raw counts, whole numbers from 0 on; the "
                f"{name} samples hold {samples[row, column]:.6g} for "
                f"{task.variables[column]!r}. Give counts before any normalisation"
            )
