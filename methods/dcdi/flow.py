"""The deep sigmoidal flow of `densities.SigmoidalFlow`, compiled: rows are the contiguous axis.

w is `kernels.Work`, of which flow (layers, 5, width, B) and between (layers + 1, 4, B) are used.
"""

from __future__ import annotations

import math

import numpy as np

from cdnbench.methods.statistics.elementary import (
    LOG_SQRT_2PI,
    add,
    add_product,
    add_products,
    compiled,
    exp,
    log1p,
)

_DELTA = 1e-6
_BASE_SCALE = 2 * math.e + 1e-5  # twice the base density's variance


@compiled
def flow_log_density(x, outputs, gradient, of_outputs, w):
    """Summed log-density of x (B,) under deep sigmoidal flows with parameters (P, B), as
    `densities.SigmoidalFlow`.

    gradient: of each log-density; its derivatives, unless it is 0, go to of_outputs (P, B).
    """
    n_layers, width = w.flow.shape[0], w.flow.shape[2]
    n_rows = len(x)
    size = n_rows * width
    total = 0.0
    h = w.between[0, 0, :n_rows]
    h[:] = x
    for i in range(n_layers):
        parts = w.flow[i].reshape(5, -1)
        a, back, s, bump, wt = (
            parts[0, :size],
            parts[1, :size],
            parts[2, :size],
            parts[3, :size],
            parts[4, :size],
        )
        raw = outputs[3 * width * i : 3 * width * (i + 1)].reshape(3, size)
        raw_a, raw_w = raw[0], raw[2]
        h, p, slope, h_out = (
            w.between[i, 0, :n_rows],
            w.between[i, 1, :n_rows],
            w.between[i, 2, :n_rows],
            w.between[i + 1, 0, :n_rows],
        )
        for k in range(size):
            e = exp(-abs(raw_a[k]))
            d = 1.0 / (1.0 + e)
            a[k] = max(raw_a[k], 0.0) + log1p(e) + _DELTA
            back[k] = d if raw_a[k] >= 0.0 else e * d  # sigmoid, for the way back
        for k in range(width):
            at = slice(k * n_rows, (k + 1) * n_rows)
            _sigmoid(h, a[at], raw[1, at], s[at], bump[at])
        _softmax(raw_w.reshape(width, n_rows), wt.reshape(width, n_rows), p)
        p[:], slope[:] = 0.0, 0.0
        for k in range(width):
            at = slice(k * n_rows, (k + 1) * n_rows)
            add_product(wt[at], s[at], p)
            add_products(wt[at], bump[at], a[at], slope)
        for b in range(n_rows):
            slope[b] = max(slope[b], 1e-304)
            p[b] = p[b] * (1.0 - _DELTA) + _DELTA / 2
            log_p, log_1_p = math.log(p[b]), math.log1p(-p[b])
            total += math.log(slope[b]) - log_p - log_1_p
            h_out[b] = log_p - log_1_p
    last = w.between[n_layers, 0, :n_rows]
    total -= np.dot(last, last) / _BASE_SCALE
    if gradient != 0.0:
        of_h = w.between[n_layers, 1, :n_rows]
        of_h[:] = -2 / _BASE_SCALE * gradient * last
        for layer in range(n_layers):
            i = n_layers - 1 - layer
            _back(i, gradient, of_h, of_outputs[3 * width * i : 3 * width * (i + 1)], w)
    constant = n_layers * (math.log1p(-_DELTA) - 2 * _DELTA) - 0.5 - LOG_SQRT_2PI
    return total + n_rows * constant


@compiled
def _sigmoid(h, a, b, s, bump):
    for k in range(len(s)):
        z = a[k] * h[k] + b[k]
        e = exp(-abs(z))
        d = 1.0 / (1.0 + e)
        s[k] = d if z >= 0.0 else e * d
        bump[k] = e * d * d


@compiled
def _softmax(raw, weight, scratch):
    """Softmax over the first axis of (width, B)."""
    scratch[:] = raw[0]
    for k in range(len(raw)):
        r = raw[k]
        for b in range(len(r)):
            scratch[b] = max(scratch[b], r[b])
    for k in range(len(raw)):
        r, v = raw[k], weight[k]
        for b in range(len(r)):
            v[b] = exp(r[b] - scratch[b])
    scratch[:] = 0.0
    for k in range(len(raw)):
        add(weight[k], scratch)
    for b in range(len(scratch)):
        scratch[b] = 1.0 / scratch[b]
    for k in range(len(raw)):
        v = weight[k]
        for b in range(len(v)):
            v[b] *= scratch[b]


@compiled
def _back(i, gradient, of_h, of_outputs, w):
    """Go back through layer i.

    of_h (B,): the gradient of its output, replaced by that of its input.
    of_outputs (3 width, B): receives the gradient of its parameters.
    """
    n_rows, width = len(of_h), w.flow.shape[2]
    parts = w.flow[i].reshape(5, -1)
    h, p, slope = w.between[i, 0, :n_rows], w.between[i, 1, :n_rows], w.between[i, 2, :n_rows]
    mean = w.between[i, 3, :n_rows]
    for b in range(n_rows):
        up, down = 1.0 / p[b], 1.0 / (1.0 - p[b])
        p[b] = (of_h[b] * (up + down) + gradient * (down - up)) * (1.0 - _DELTA)
        slope[b] = gradient / slope[b]
        of_h[b] = mean[b] = 0.0
    for k in range(width):
        some = slice(k * n_rows, (k + 1) * n_rows)
        _unit(
            p,
            slope,
            h,
            of_h,
            mean,
            parts[0, some],
            parts[1, some],
            parts[2, some],
            parts[3, some],
            parts[4, some],
            of_outputs[k],
            of_outputs[width + k],
            of_outputs[2 * width + k],
        )
    for k in range(width):
        weight, of_w = parts[4, k * n_rows : (k + 1) * n_rows], of_outputs[2 * width + k]
        for b in range(n_rows):
            of_w[b] = weight[b] * (of_w[b] - mean[b])


@compiled
def _unit(of_p, of_slope, h, of_h, mean, a, back, s, bump, weight, of_a, of_b, of_w):
    # One array is written at a time: with more the compiler does not check whether they overlap,
    # and then uses no vectors.
    for b in range(len(h)):
        of_b[b] = weight[b] * bump[b] * (of_p[b] + of_slope[b] * a[b] * (1.0 - 2.0 * s[b]))
    for b in range(len(h)):
        of_w[b] = of_p[b] * s[b] + of_slope[b] * a[b] * bump[b]
    for b in range(len(h)):
        of_a[b] = (of_slope[b] * weight[b] * bump[b] + of_b[b] * h[b]) * back[b]
    add_product(weight, of_w, mean)
    add_product(of_b, a, of_h)
