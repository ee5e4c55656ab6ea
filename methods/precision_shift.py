"""Precision matrix times shift: the shift of each variable that the others do not account for.

In a linear system at rest, A x = u, a perturbation u moves the mean by A^-1 u, so A times the
observed shift is u. Network identification by multiple regression (NIR; Gardner, di Bernardo,
Lorenz, Collins 2003, Science 301:102) and mode of action by network identification (MNI; di
Bernardo et al. 2005, Nat. Biotechnol. 23:377) fit A to perturbations with known targets and then
read u off a new one. Here no perturbation is known, and the precision matrix Omega of the control
rows takes A's place. With d the shift of the means, all in control standard deviations,

    score = |(Omega d)_i|.

(Omega d)_i / Omega_ii is the shift of x_i beyond the one that its regression on all other variables
predicts. The shifts of the target's descendants are explained by the target. Its parents' are not:
their regressions have the target on the right-hand side. In these units a parent scores less than
the target, the less so the more of the target's variance it makes up, which is why the score is not
the residual shift in residual standard deviations.

Omega is the inverse of the covariance shrunk by O. Ledoit, M. Wolf 2004, A well-conditioned
estimator for large-dimensional covariance matrices, J. Multivar. Anal. 88:365, of columns in
control standard deviations, so that units mean nothing and fewer rows than variables are enough.
Where there are fewer rows than variables, everything comes from the (M0, M0) matrix of products of
the rows.

It has no parameters. Our own reading of a class of methods; there is no reference code (the
shrinkage is tested against scikit-learn's). Licence: MIT, with this package.
Degenerate data: copies of a column are scored as one (`copies.py`). A variable that is constant
before and moves is measured in standard deviations of all rows; one that is constant throughout
gets NaN. One row per regime is enough; the control needs two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from cdnbench.method import MethodInfo
from cdnbench.methods.copies import solve_without_copies
from cdnbench.methods.statistics.control_scale import mean_and_deviation, require_a_score
from cdnbench.task import Task

_SMALLEST_SHRINKAGE = 1e-8
_SMALLEST_EIGENVALUE = 1e-10  # of standardised columns; smaller ones are zero to float32


def _timeout_s(sizes) -> float:
    return (
        120.0
        + 2e-9 * sizes.n_variables * min(sizes.n_variables, sizes.n_samples) ** 2
        + (0.01 * sizes.n_variables * sizes.n_regimes)
    )


@dataclass(frozen=True)
class PrecisionShift:
    """Shrunk precision matrix of the control rows times the shift of the means."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="precision-shift",
        summary="Shift of each mean beyond what the other variables' shifts predict, by a shrunk "
        "precision matrix",
        citation="di Bernardo et al. 2005, Chemogenomic profiling on a genome-wide scale using "
        "reverse-engineered gene networks, Nat. Biotechnol. 23",
        licence="MIT",
        timeout_s=_timeout_s,
        min_samples=1,
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores >= 0; NaN for constant variables.

        Raises
        ------
        CannotRun: fewer than two control rows, or nothing varies.
        """
        outputs = solve_without_copies(task, lambda part: {"": _solve(part)})
        return require_a_score(outputs[""])


def _solve(task: Task) -> np.ndarray:
    before = np.asarray(task.observational, dtype=np.float64)
    shifts = np.empty((task.n_regimes, task.n_variables))
    for r, after in enumerate(task.regimes):
        mean, deviation = mean_and_deviation(task.observational, after)
        shifts[r] = (np.mean(after, axis=0, dtype=np.float64) - mean) / deviation
    scores = np.abs(shifts)
    varies = np.ptp(task.observational, axis=0) > 0
    if varies.any():
        x = before[:, varies]
        precision = shrunk_precision((x - x.mean(axis=0)) / x.std(axis=0, ddof=1))
        scores[:, varies] = np.abs(precision.times(shifts[:, varies]))
    return scores


class Precision(NamedTuple):
    """The matrix `basis` diag(`inside`) `basis`^T + `outside` I. basis: (N, K) orthonormal columns.
    inside: (K,). diagonal: (N,) of the whole."""

    basis: np.ndarray
    inside: np.ndarray
    outside: float
    diagonal: np.ndarray

    def times(self, rows: np.ndarray) -> np.ndarray:
        """Each of the (R, N) rows multiplied by the matrix."""
        return (rows @ self.basis * self.inside) @ self.basis.T + self.outside * rows


def shrunk_precision(samples: np.ndarray) -> Precision:
    """Inverse of the Ledoit-Wolf covariance of (n, N) samples with mean zero."""
    n, n_variables = samples.shape
    wide = n_variables > n
    products = (samples @ samples.T if wide else samples.T @ samples) / n
    values, vectors = np.linalg.eigh(products)
    mu = np.trace(products) / n_variables
    shrinkage = max(_shrinkage(samples, values, mu), _SMALLEST_SHRINKAGE)
    values = values.clip(0)
    if wide:
        kept = values > _SMALLEST_EIGENVALUE * max(values.max(), 1.0)
        values = values[kept]
        basis = samples.T @ vectors[:, kept] / np.sqrt(n * values)
        outside = 1 / (shrinkage * mu)
    else:
        basis, outside = vectors, 0.0
    inside = 1 / ((1 - shrinkage) * values + shrinkage * mu) - outside
    diagonal = basis**2 @ inside + outside
    return Precision(basis, inside, outside, diagonal)


def _shrinkage(samples: np.ndarray, eigenvalues: np.ndarray, mu: float) -> float:
    """Ledoit and Wolf's weight of the identity; eigenvalues and mean variance of the sample
    covariance."""
    n, n_variables = samples.shape
    squares = float(np.square(eigenvalues).sum())
    distance = squares - n_variables * mu**2
    noise = (np.square(np.square(samples).sum(axis=1)).sum() / n - squares) / n
    return float(min(noise, distance) / distance) if distance > 1e-12 * squares else 0.0
