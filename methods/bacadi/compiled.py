"""The fully connected likelihood on a CPU, compiled: residuals without an array of its own for each
operation.

P particles, S samples, N variables, H hidden units, R regimes, M rows. One variable of one sample
is worked on at a time, for all rows, so that it stays in the processor's first cache. Everything
has the dtype of the graphs, float32 or float64; sums over the rows of a regime are float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from cdnbench.methods.statistics.elementary import compiled, exp, exp32, inner

_TOGETHER = 5  # parents that `_to_unit` takes; `_add_four` takes the others


def sigmoid(z):
    """Elementwise; the compiler takes `_sigmoid`, whose exponents are cut off where the sum with 1
    would no longer change."""
    return 1 / (1 + np.exp(-z))


@overload(
    sigmoid, jit_options={"error_model": "numpy", "fastmath": {"contract"}, "forceinline": True}
)
def _sigmoid(z):
    if z == types.float32:
        return lambda z: np.float32(1) / (np.float32(1) + exp32(min(-z, np.float32(87))))
    return lambda z: 1.0 / (1.0 + exp(min(-z, 708.0)))


class Work(NamedTuple):
    """The memory that one variable needs."""

    parents: np.ndarray  # (N + _TOGETHER,) int64, followed by zeros
    weights: np.ndarray  # (N + _TOGETHER,) of these parents in one hidden unit, followed by zeros
    units: np.ndarray  # (H, M)
    residuals: np.ndarray  # (M,)


@compiled
def _work(b1, x):
    n, n_rows = x.shape
    return Work(
        np.zeros(n + _TOGETHER, dtype=np.int64),
        np.zeros(n + _TOGETHER, dtype=x.dtype),
        np.empty((b1.shape[1], n_rows), dtype=x.dtype),
        np.empty(n_rows, dtype=x.dtype),
    )


@compiled
def _add_four(a, x, parents, z):
    """z += sum of a[k] x[parents[k]] over the first four k."""
    a0, a1, a2, a3 = a[0], a[1], a[2], a[3]
    x0, x1, x2, x3 = x[parents[0]], x[parents[1]], x[parents[2]], x[parents[3]]
    for r in range(len(z)):
        z[r] += a0 * x0[r] + a1 * x1[r] + a2 * x2[r] + a3 * x3[r]


@compiled
def _to_unit(a, x, parents, z):
    """z = sigmoid(z + sum of a[k] x[parents[k]] over the first five k)."""
    a0, a1, a2, a3, a4 = a[0], a[1], a[2], a[3], a[4]
    x0, x1, x2, x3, x4 = x[parents[0]], x[parents[1]], x[parents[2]], x[parents[3]], x[parents[4]]
    for r in range(len(z)):
        z[r] = sigmoid(z[r] + a0 * x0[r] + a1 * x1[r] + a2 * x2[r] + a3 * x3[r] + a4 * x4[r])


@compiled
def _to_units(w1, b1, graph, x, w):
    """Hidden units of one variable into w.units, for rows x (N, M). w1 (H, N), b1 (H,), graph (N,)
    are those of the variable."""
    n_parents = 0
    for i in range(len(graph)):
        if graph[i] != 0:
            w.parents[n_parents] = i
            n_parents += 1
    w.parents[n_parents:] = 0
    w.weights[n_parents:] = 0
    for h in range(len(b1)):
        for k in range(n_parents):
            w.weights[k] = w1[h, w.parents[k]] * graph[w.parents[k]]
        z = w.units[h]
        z[:] = b1[h]
        k = 0
        while n_parents - k > _TOGETHER:
            _add_four(w.weights[k:], x, w.parents[k:], z)
            k += 4
        _to_unit(w.weights[k:], x, w.parents[k:], z)


@compiled
def _subtract(weight, unit, out):
    for r in range(len(out)):
        out[r] -= weight * unit[r]


@compiled
def _to_residuals(w2, b2, units, x, out):
    """Subtract the means from the rows of one variable x (M,)."""
    for r in range(len(x)):
        out[r] = x[r] - b2
    for h in range(len(w2)):
        _subtract(w2[h], units[h], out)


@compiled
def _sums_of_squares(x, ends, out):
    """Sums of squares of the sections of x (M,) into out.

    Section r goes from ends[r - 1] to ends[r]. Place 0 of out gets the sum over all sections
    instead of that of the first one.
    """
    start, total = 0, 0.0
    for e in range(len(ends)):
        s0 = s1 = s2 = s3 = 0.0  # four, since an addition waits for the one before
        r = start
        while r + 4 <= ends[e]:
            s0 += x[r] * x[r]
            s1 += x[r + 1] * x[r + 1]
            s2 += x[r + 2] * x[r + 2]
            s3 += x[r + 3] * x[r + 3]
            r += 4
        while r < ends[e]:
            s0 += x[r] * x[r]
            r += 1
        out[e] = s0 + s1 + (s2 + s3)
        total += out[e]
        start = ends[e]
    out[0] = total


@compiled
def _first_equal(graphs, s, among):
    """The place in `among` of the first sample with the same graph as sample s.

    graphs: (N, S). Returns len(among) if there is none.
    """
    for k in range(len(among)):
        i = 0
        while i < len(graphs) and graphs[i, s] == graphs[i, among[k]]:
            i += 1
        if i == len(graphs):
            return k
    return len(among)


@compiled
def deviations(w1, b1, w2, b2, graphs, x, ends, precision, out):
    """Half the squared residuals times the precision.

    Place 0 of out has the sum over all rows, place r that over the rows of regime r.

    w1: (P, H, N, N) as [unit, parent, child]. b1, w2: (P, H, N). b2: (P, N). graphs: (N, N, P, S).
    x: (N, M), the observational rows first, then regime by regime. ends: (R + 1,), where each of
    them ends. out: (R + 1, N, P, S).

    Samples in which a variable has the same parents share the work: among hard graphs, few differ
    late in a run.
    """
    n, _, n_particles, n_samples = graphs.shape
    w = _work(b1, x)
    distinct, sums = np.empty(n_samples, dtype=np.int64), np.empty((n_samples, len(ends)))
    for p in range(n_particles):
        for j in range(n):
            n_distinct = 0
            for s in range(n_samples):
                k = _first_equal(graphs[:, j, p], s, distinct[:n_distinct])
                if k == n_distinct:
                    distinct[k] = s
                    n_distinct += 1
                    _to_units(w1[p, :, :, j], b1[p, :, j], graphs[:, j, p, s], x, w)
                    _to_residuals(w2[p, :, j], b2[p, j], w.units, x[j], w.residuals)
                    _sums_of_squares(w.residuals, ends, sums[k])
                for e in range(len(ends)):
                    out[e, j, p, s] = 0.5 * precision * sums[k, e]


@compiled
def _weigh(residuals, ends, weights):
    """Multiply residuals (M,) by the weights (R + 1,) of their data sets, in place.

    Returns their sum.
    """
    start, total = 0, 0.0
    for e in range(len(ends)):
        for r in range(start, ends[e]):
            residuals[r] *= weights[e]
            total += residuals[r]
        start = ends[e]
    return total


@compiled
def _back(weight, force, unit):
    """Overwrite `unit` with force * d(weight * unit) / d(the unit's input).

    Returns the sum of that, and the sum of force * unit.
    """
    of_input = of_unit = 0.0
    for r in range(len(force)):
        along = force[r] * unit[r]
        of_unit += along
        along *= weight * (1 - unit[r])
        of_input += along
        unit[r] = along
    return of_input, of_unit


@compiled
def slopes(w1, b1, w2, b2, graphs, x, ends, weights, by_product, by_b1, by_w2, by_b2):
    """Derivatives of minus the weighted sums of half the squared residuals, in float64.

    The arguments are those of `deviations`, with draws in place of particles: every draw has
    parameters of its own, and graphs are (N, N, draws). weights: (draws, R + 1, N), for the rows of
    each data set.
    by_product, by_b1, by_w2, by_b2: receive the derivatives by the product of graph and w1, by b1,
    by w2 and by b2, and have the shapes of these.
    """
    w = _work(b1, x)
    for m in range(len(w1)):
        for j in range(len(x)):
            _to_units(w1[m, :, :, j], b1[m, :, j], graphs[:, j, m], x, w)
            _to_residuals(w2[m, :, j], b2[m, j], w.units, x[j], w.residuals)
            by_b2[m, j] = _weigh(w.residuals, ends, weights[m, :, j])
            for h in range(len(w.units)):
                by_b1[m, h, j], by_w2[m, h, j] = _back(w2[m, h, j], w.residuals, w.units[h])
                for i in range(len(x)):
                    by_product[m, h, i, j] = inner(x[i], w.units[h])
